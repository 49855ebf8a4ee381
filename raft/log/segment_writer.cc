#include "raft/log/segment_writer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "raft/log/io_status.h"
#include "raft/log/summary.h"

namespace flotilla::raft::log {
namespace {

const rocksdb::IOOptions kIo;
// Pages are dropped from memory in runs of so many bytes.
constexpr std::uint64_t kForgetBytes = 1 << 20;
// Summaries that wait; without one a segment is read whole.
constexpr std::size_t kSealedMax = 4;

std::uint64_t Mix(std::uint64_t value) {
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

}  // namespace

SegmentWriter::SegmentWriter(SegmentFiles& files, LogState& state, const Clock& clock,
                             const RecoveredTail& tail)
    : files_(files),
      state_(state),
      clock_(clock),
      position_(tail.end),
      synced_(tail.end),
      next_generation_(tail.next_generation) {
  if (!tail.summary.empty()) sealed_.push_back({tail.end.generation, tail.summary});
}

std::optional<SegmentWriter::Sealed> SegmentWriter::TakeSealed() {
  if (sealed_.empty()) return std::nullopt;
  std::optional<Sealed> sealed = std::move(sealed_.front());
  sealed_.pop_front();
  return sealed;
}

std::uint64_t SegmentWriter::NewSalt() const {
  const auto wall = static_cast<std::uint64_t>(clock_.WallNow().count());
  const auto now = static_cast<std::uint64_t>(clock_.Now().time_since_epoch().count());
  return Mix(Mix(Mix(next_generation_) ^ wall) ^ now);
}

std::size_t SegmentWriter::room() const {
  if (file_ == nullptr) return 0;
  const std::uint64_t used = position_.offset + kBatchHeaderBytes;
  return used < file_bytes_ ? file_bytes_ - used : 0;
}

Status SegmentWriter::Roll(std::size_t record_bytes, bool& fatal) {
  fatal = false;
  // The next header says that everything before it is there and synced.
  fatal = true;
  if (!header_.empty()) RETURN_IF_ERROR(WriteHeaderAlone());
  if (synced_ < position_) RETURN_IF_ERROR(Sync());
  fatal = false;
  const std::size_t bytes =
      RoundUp(kFirstBatchOffset + kBatchHeaderBytes + record_bytes, kPageBytes);
  CHECK_LE(bytes, std::numeric_limits<std::uint32_t>::max());
  CHECK_LE(next_generation_, std::numeric_limits<std::uint32_t>::max());
  ASSIGN_OR_RETURN(SegmentFiles::NewSegment created, files_.Create(next_generation_, bytes));

  if (file_ != nullptr && sealed_.size() < kSealedMax) {
    sealed_.push_back({position_.generation, EncodeSummary(seed_, position_, summary_)});
  }
  summary_.clear();

  SegmentHeader header;
  header.generation = next_generation_++;
  header.salt = NewSalt();
  header.bytes = created.bytes;
  header.previous_end = position_;
  header.oldest_generation = state_.OldestNeeded();
  if (header.oldest_generation == 0) header.oldest_generation = header.generation;

  file_ = std::move(created.file);
  path_ = std::move(created.path);
  seed_ = ChecksumSeed(header.generation, header.salt);
  file_bytes_ = header.bytes;
  header_ = EncodeSegmentHeader(header);
  position_ = {header.generation, kFirstBatchOffset};
  direct_ = files_.OpenDirect(path_);
  pages_ = direct_ ? nullptr : files_.OpenToForget(path_);
  forgotten_ = 0;

  Segment segment;
  segment.generation = generation();
  segment.path = path_;
  segment.file = file_;
  segment.seed = seed_;
  segment.bytes = file_bytes_;
  segment.end = 0;
  state_.AddSegment(std::move(segment));
  state_.SetSpares(files_.spares());
  return absl::OkStatus();
}

Status SegmentWriter::WriteHeaderAlone() {
  RETURN_IF_ERROR(FromIo(WriteAt(0, header_), "writing the header of " + path_));
  header_.clear();
  RETURN_IF_ERROR(Sync());
  return files_.SyncDirectory();
}

BatchBuilder& SegmentWriter::Begin() {
  CHECK(file_ != nullptr);
  builder_.Begin(seed_, position_.offset, header_);
  return builder_;
}

Status SegmentWriter::Write(std::uint64_t oldest_generation, bool sync, bool& synced) {
  const std::string_view bytes = builder_.Finish(synced_, oldest_generation);
  const std::uint64_t offset = position_.offset - header_.size();
  CHECK_LE(offset + bytes.size(), file_bytes_) << path_;
  RETURN_IF_ERROR(FromIo(WriteAt(offset, bytes), "writing to the log segment " + path_));
  const bool first = !header_.empty();
  header_.clear();
  position_.offset = builder_.end_offset();
  summary_ += builder_.summary();
  synced = sync || first;
  if (!synced) return absl::OkStatus();
  RETURN_IF_ERROR(Sync());
  // The content first: a name that has become durable means a segment that exists.
  if (first) RETURN_IF_ERROR(files_.SyncDirectory());
  return absl::OkStatus();
}

rocksdb::IOStatus SegmentWriter::WriteAt(std::uint64_t offset, std::string_view bytes) {
  if (direct_) return direct_->Write(offset, bytes);
  return file_->Write(offset, rocksdb::Slice(bytes.data(), bytes.size()), kIo, nullptr);
}

Status SegmentWriter::Sync() {
  const MonoTime began = clock_.Now();
  const auto sync = [this] { return direct_ ? direct_->Sync() : file_->Sync(kIo, nullptr); };
  rocksdb::IOStatus status = sync();
  if (Planted(Plant::kFailedSyncIgnored)) status = rocksdb::IOStatus::OK();
  if (Planted(Plant::kFailedSyncRetried) && !status.ok()) status = sync();
  state_.CountSync(clock_.Now() - began);
  RETURN_IF_ERROR(FromIo(status, "syncing the log segment " + path_));
  synced_ = position_;
  ForgetPages();
  return absl::OkStatus();
}

void SegmentWriter::ForgetPages() {
  const std::uint64_t whole = position_.offset / kPageBytes * kPageBytes;
  if (pages_ == nullptr || whole < forgotten_ + kForgetBytes) return;
  pages_->InvalidateCache(forgotten_, whole - forgotten_).PermitUncheckedError();
  forgotten_ = whole;
}

}  // namespace flotilla::raft::log
