#include "raft/outgoing_snapshot.h"

#include <rocksdb/file_system.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "raft/log/format.h"
#include "raft/log/io_status.h"

namespace flotilla::raft {
namespace {

using log::kPageBytes;

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
    : options_(options),
      snapshot_(snapshot),
      files_(files),
      calls_(calls),
      rate_(rate),
      direct_(options.direct_io) {}

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
    if (++failures >= options_.attempts_max || !options_.wanted()) co_return answer.status();
    const bool go_on = co_await SleepFor(kPause * failures);
    if (!go_on) co_return Error(Reason::kNodeStopping, "the node is stopping");
  }
}

Task<StatusOr<std::string>> OutgoingSnapshot::Call(PeerMethod method, std::string body) {
  if (!options_.wanted()) {
    co_return Error(Reason::kNotLeader,
                    "the snapshot is not wanted any more: another leads, or sends");
  }
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
  ASSIGN_OR_RETURN(part.data, ReadData(part.file, part.offset));
  return part;
}

Status OutgoingSnapshot::OpenFile(std::uint64_t number, const std::string& path) {
  if (reader_ && open_file_ == number) return absl::OkStatus();
  reader_.reset();
  open_file_ = number;
  if (direct_) {
    // Nobody else reads these pages: they are not to take the place of others.
    rocksdb::FileOptions direct;
    direct.use_direct_reads = true;
    if (files_->NewRandomAccessFile(path, direct, &reader_, nullptr).ok()) return absl::OkStatus();
    direct_ = false;
  }
  return log::FromIo(files_->NewRandomAccessFile(path, rocksdb::FileOptions(), &reader_, nullptr),
                     path);
}

StatusOr<std::string_view> OutgoingSnapshot::ReadData(std::uint64_t number, std::uint64_t offset) {
  const SnapshotFile& file = snapshot_.files[number];
  const std::string path = snapshot_.directory + "/" + file.name;
  RETURN_IF_ERROR(OpenFile(number, path));
  if (!buffer_) {
    buffer_ = log::AllocatePages(log::RoundUp(options_.part_bytes, kPageBytes) + 2 * kPageBytes);
  }
  const std::uint64_t bytes = std::min<std::uint64_t>(options_.part_bytes, file.bytes - offset);
  // Direct reads are of whole pages.
  const std::uint64_t begin = direct_ ? offset / kPageBytes * kPageBytes : offset;
  const std::uint64_t end = direct_ ? log::RoundUp(offset + bytes, kPageBytes) : offset + bytes;
  rocksdb::Slice slice;
  RETURN_IF_ERROR(log::FromIo(
      reader_->Read(begin, end - begin, rocksdb::IOOptions(), &slice, buffer_.get(), nullptr),
      path));
  if (slice.size() < offset - begin + bytes) {
    return Error(Reason::kInternal, fmt::format("{}: shorter than its snapshot says", path));
  }
  return std::string_view(slice.data() + (offset - begin), bytes);
}

}  // namespace flotilla::raft
