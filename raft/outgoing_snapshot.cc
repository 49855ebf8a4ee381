#include "raft/outgoing_snapshot.h"

#include <rocksdb/file_system.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "raft/log/io_status.h"

namespace flotilla::raft {
namespace {

// Sent at once, whatever the rate.
constexpr Duration kBurst = std::chrono::milliseconds(50);
// Before the second attempt; longer before each further one.
constexpr Duration kPause = std::chrono::milliseconds(200);

}  // namespace

Duration TransferRate::Spend(std::uint64_t bytes) {
  const MonoTime now = clock_->Now();
  free_at_ = std::max(free_at_, now) + Duration(bytes * 1'000'000'000 / bytes_per_second_max_);
  return free_at_ - now - kBurst;
}

OutgoingSnapshot::OutgoingSnapshot(const Options& options, const SnapshotInfo& snapshot,
                                   rocksdb::FileSystem* files, PeerCalls* calls, TransferRate* rate)
    : options_(options), snapshot_(snapshot), files_(files), calls_(calls), rate_(rate) {}

OutgoingSnapshot::~OutgoingSnapshot() = default;

Task<Status> OutgoingSnapshot::Send() {
  int failures = 0;  // in a row
  while (true) {
    std::string open = Open();
    StatusOr<std::string> answer = co_await Call(PeerMethod::kSnapshotOpen, std::move(open));
    if (answer.ok()) {
      StatusOr<std::vector<std::uint64_t>> received =
          DecodeOffsets(*answer, snapshot_.files.size());
      if (!received.ok()) co_return received.status();
      received_ = *std::move(received);
    }
    while (answer.ok()) {
      const StatusOr<SnapshotPart> part = NextPart();
      if (!part.ok()) co_return part.status();
      std::string body = EncodeSnapshotPart(*part);
      answer = co_await Call(PeerMethod::kSnapshotPart, std::move(body));
      if (!answer.ok()) break;
      if (part->file == snapshot_.files.size()) co_return absl::OkStatus();
      failures = 0;
      received_[part->file] += part->data.size();
      const bool go_on = co_await SleepFor(rate_->Spend(part->data.size()));
      if (!go_on) co_return Error(Reason::kNodeStopping, "the node is stopping");
    }
    if (++failures >= options_.attempts_max) co_return answer.status();
    const bool go_on = co_await SleepFor(kPause * failures);
    if (!go_on) co_return Error(Reason::kNodeStopping, "the node is stopping");
  }
}

Task<StatusOr<std::string>> OutgoingSnapshot::Call(PeerMethod method, std::string body) {
  const StatusOr<Bytes> answer =
      co_await AwaitCallback<StatusOr<Bytes>>([&](Completion<StatusOr<Bytes>> done) {
        calls_->Call(options_.to, method, Bytes(std::move(body)), options_.part_timeout,
                     {.bulk = true}, std::move(done));
      });
  if (!answer.ok()) co_return answer.status();
  co_return DecodeSnapshotAnswer(answer->view());
}

std::string OutgoingSnapshot::Open() const {
  return EncodeSnapshotOpen({.id = options_.id,
                             .group = options_.group,
                             .index = snapshot_.mark.index,
                             .term = snapshot_.mark.term,
                             .files = snapshot_.files});
}

StatusOr<SnapshotPart> OutgoingSnapshot::NextPart() {
  SnapshotPart part{.id = options_.id,
                    .group = options_.group,
                    .index = snapshot_.mark.index,
                    .term = snapshot_.mark.term,
                    .file = 0,
                    .offset = 0,
                    .data = {}};
  while (part.file < snapshot_.files.size() &&
         received_[part.file] >= snapshot_.files[part.file].bytes) {
    ++part.file;
  }
  if (part.file == snapshot_.files.size()) return part;
  part.offset = received_[part.file];
  RETURN_IF_ERROR(ReadData(part.file, part.offset));
  part.data = data_;
  return part;
}

Status OutgoingSnapshot::ReadData(std::uint64_t number, std::uint64_t offset) {
  const SnapshotFile& file = snapshot_.files[number];
  const std::string path = snapshot_.directory + "/" + file.name;
  if (!reader_ || open_file_ != number) {
    reader_.reset();
    RETURN_IF_ERROR(log::FromIo(
        files_->NewRandomAccessFile(path, rocksdb::FileOptions(), &reader_, nullptr), path));
    open_file_ = number;
  }
  data_.resize(std::min<std::uint64_t>(options_.part_bytes, file.bytes - offset));
  rocksdb::Slice slice;
  RETURN_IF_ERROR(log::FromIo(
      reader_->Read(offset, data_.size(), rocksdb::IOOptions(), &slice, data_.data(), nullptr),
      path));
  if (slice.size() != data_.size()) {
    return Error(Reason::kInternal, fmt::format("{}: shorter than its snapshot says", path));
  }
  if (slice.data() != data_.data()) data_.assign(slice.data(), slice.size());
  return absl::OkStatus();
}

}  // namespace flotilla::raft
