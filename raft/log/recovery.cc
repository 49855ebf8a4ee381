#include "raft/log/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/planted.h"
#include "raft/log/io_status.h"
#include "raft/log/replay.h"
#include "raft/log/summary.h"

namespace flotilla::raft::log {
namespace {

constexpr std::size_t kReadBytes = 4 << 20;
// Checksum and length (8), and one byte each for both kinds, group, term and index.
constexpr std::size_t kEntryBytesMin = 13;
const rocksdb::IOOptions kIo;

class Recoverer {
 public:
  Recoverer(rocksdb::FileSystem& files, SegmentFiles& segments, LogState& state,
            LogRecovery& recovery)
      : files_(files), segments_(segments), state_(state), recovery_(recovery) {}

  StatusOr<RecoveredTail> Run();

 private:
  struct Found {
    SegmentHeader header;
    bool valid = false;    // the header is this segment's
    bool damaged = false;  // it is nobody's; otherwise the file was never written under this name
    std::uint64_t bytes = 0;
  };

  Status ReadHeaders(const std::vector<std::uint64_t>& generations);
  // A segment without a header was never synced: nothing in it says that it was.
  Status CheckBlank(std::uint64_t generation);
  // Reads the file from its start; what does not exist is not in `data`.
  Status ReadFile(const std::string& path, std::size_t bytes, std::string& data);
  // What valid batches hold up to `limit`, or up to the first that is not. `end` is where that was.
  std::string Summarize(const SegmentHeader& header, std::string_view data, std::uint64_t limit,
                        std::uint64_t& end, std::uint64_t& oldest);
  // The same for a segment that was left and ends at `limit`: from its summary if it has a good
  // one.
  StatusOr<std::string> SummaryOf(const SegmentHeader& header, std::uint64_t limit);
  // Applies a summary's records.
  Status ReplaySegment(const SegmentHeader& header, std::string_view summary);
  bool ReadBatch(std::uint32_t seed, std::string_view data, Position at, BatchHeader& batch,
                 std::vector<Record>& records) const;
  Status CheckTornTail(const SegmentHeader& header, std::string_view data, std::uint64_t end);
  StatusOr<std::vector<SegmentHeader>> FollowChain(const SegmentHeader& newest,
                                                   std::uint64_t oldest);
  Status Adopt(const SegmentHeader& header, std::uint64_t end);
  Status MakeDurable(const SegmentHeader& newest, std::string_view data);
  void FillState();

  rocksdb::FileSystem& files_;
  SegmentFiles& segments_;
  LogState& state_;
  LogRecovery& recovery_;
  std::map<std::uint64_t, Found> found_;
  Position synced_;  // some batch says that everything before was
  std::uint64_t log_bytes_ = 0;
  Replay replay_{0};
  std::string buffer_;
};

Status Recoverer::ReadFile(const std::string& path, std::size_t bytes, std::string& data) {
  std::uint64_t file_bytes = 0;
  RETURN_IF_ERROR(
      FromIo(files_.GetFileSize(path, kIo, &file_bytes, nullptr), "asking the size of " + path));
  bytes = std::min<std::size_t>(bytes, file_bytes);
  data.resize(bytes);
  rocksdb::FileOptions options;
  options.use_mmap_reads = false;
  std::unique_ptr<rocksdb::FSSequentialFile> file;
  RETURN_IF_ERROR(FromIo(files_.NewSequentialFile(path, options, &file, nullptr),
                         "opening the log segment " + path));
  std::size_t size = 0;
  while (size < bytes) {
    rocksdb::Slice part;
    const std::size_t wanted = std::min(kReadBytes, bytes - size);
    RETURN_IF_ERROR(FromIo(file->Read(wanted, kIo, &part, data.data() + size, nullptr),
                           "reading the log segment " + path));
    if (part.empty()) break;
    if (part.data() != data.data() + size) std::copy_n(part.data(), part.size(), &data[size]);
    size += part.size();
  }
  data.resize(size);
  recovery_.bytes_read += size;
  return absl::OkStatus();
}

Status Recoverer::ReadHeaders(const std::vector<std::uint64_t>& generations) {
  for (const std::uint64_t generation : generations) {
    std::string sector;
    const std::string path = segments_.PathOf(generation);
    Found& found = found_[generation];
    RETURN_IF_ERROR(
        FromIo(files_.GetFileSize(path, kIo, &found.bytes, nullptr), "asking the size of " + path));
    log_bytes_ += found.bytes;
    RETURN_IF_ERROR(ReadFile(path, kSectorBytes, sector));
    const HeaderState state = DecodeSegmentHeader(sector, found.header);
    found.valid = state == HeaderState::kValid && found.header.generation == generation;
    // A recycled file keeps an earlier life's header until the first write under its new name.
    found.damaged = state == HeaderState::kDamaged ||
                    (state == HeaderState::kValid && found.header.generation > generation);
    if (state == HeaderState::kBlank) RETURN_IF_ERROR(CheckBlank(generation));
    // A file gets its name when all of it is on the disk.
    if (sector.size() < kSectorBytes || (found.valid && found.bytes < found.header.bytes)) {
      return Damaged(path, found.bytes, "the file is cut off here");
    }
  }
  return absl::OkStatus();
}

Status Recoverer::CheckBlank(std::uint64_t generation) {
  const std::string path = segments_.PathOf(generation);
  RETURN_IF_ERROR(ReadFile(path, found_[generation].bytes, buffer_));
  for (std::size_t offset = kFirstBatchOffset; offset < buffer_.size(); offset += kSectorBytes) {
    const std::string_view sector = std::string_view(buffer_).substr(offset, kSectorBytes);
    if (!SeemsSyncedBatch(sector, generation)) continue;
    return Damaged(path, 0,
                   fmt::format("the segment's header is gone, though the batch at offset {} says "
                               "that it had been synced",
                               offset));
  }
  return absl::OkStatus();
}

bool Recoverer::ReadBatch(std::uint32_t seed, std::string_view data, Position at,
                          BatchHeader& batch, std::vector<Record>& records) const {
  if (at.offset >= data.size()) return false;
  if (!DecodeBatchHeader(data.substr(at.offset), seed, batch)) return false;
  // A batch from further back, that a confused disk put here.
  if (batch.synced > at) return false;
  std::string_view rest = data.substr(at.offset + kBatchHeaderBytes);
  if (batch.record_bytes > rest.size()) return false;
  rest = rest.substr(0, batch.record_bytes);
  records.clear();
  while (!rest.empty()) {
    if (!DecodeRecord(rest, seed, records.emplace_back())) return false;
    rest.remove_prefix(records.back().bytes);
  }
  return records.size() == batch.records;
}

std::string Recoverer::Summarize(const SegmentHeader& header, std::string_view data,
                                 std::uint64_t limit, std::uint64_t& end, std::uint64_t& oldest) {
  const std::uint32_t seed = ChecksumSeed(header.generation, header.salt);
  std::vector<Record> records;
  BatchHeader batch;
  std::string summary;
  end = kFirstBatchOffset;
  while (end < limit && ReadBatch(seed, data, {header.generation, end}, batch, records)) {
    std::uint64_t offset = end + kBatchHeaderBytes;
    for (const Record& record : records) {
      AddToSummary(record, offset, summary);
      offset += record.bytes;
    }
    end = RoundUp(offset, kSectorBytes);
    oldest = std::max(oldest, batch.oldest_generation);
    synced_ = std::max(synced_, batch.synced);
  }
  return summary;
}

StatusOr<std::string> Recoverer::SummaryOf(const SegmentHeader& header, std::uint64_t limit) {
  const std::uint32_t seed = ChecksumSeed(header.generation, header.salt);
  const std::string summary_path = segments_.SummaryPathOf(header.generation);
  if (files_.FileExists(summary_path, kIo, nullptr).ok()) {
    std::string file;
    RETURN_IF_ERROR(ReadFile(summary_path, SIZE_MAX, file));
    if (const auto records = DecodeSummary(file, seed, {header.generation, limit})) {
      file.erase(0, file.size() - records->size());
      return file;
    }
  }
  const std::string path = segments_.PathOf(header.generation);
  RETURN_IF_ERROR(ReadFile(path, std::min(limit, header.bytes), buffer_));
  std::uint64_t end = 0;
  std::uint64_t oldest = 0;
  std::string summary = Summarize(header, buffer_, limit, end, oldest);
  if (end == limit) return summary;
  return Damaged(path, end,
                 fmt::format("no valid batch begins here, though the log was synced up to "
                             "offset {}",
                             limit));
}

Status Recoverer::ReplaySegment(const SegmentHeader& header, std::string_view summary) {
  const std::string path = segments_.PathOf(header.generation);
  SummaryReader reader(summary);
  Record record;
  std::uint64_t offset = 0;
  while (reader.Next(record, offset)) {
    if (offset + record.payload_bytes > header.bytes) {
      return Damaged(path, offset, "a record reaches beyond the end of the file");
    }
    std::string what;
    if (!replay_.Apply(record, static_cast<std::uint32_t>(header.generation),
                       static_cast<std::uint32_t>(offset), what)) {
      return Damaged(path, offset, what);
    }
  }
  if (!reader.sound()) {
    return Damaged(segments_.SummaryPathOf(header.generation), 0, "its records make no sense");
  }
  ++recovery_.segments_read;
  return absl::OkStatus();
}

Status Recoverer::CheckTornTail(const SegmentHeader& header, std::string_view data,
                                std::uint64_t end) {
  const std::uint32_t seed = ChecksumSeed(header.generation, header.salt);
  std::uint64_t garbage_end = end;
  for (std::uint64_t offset = end; offset + kBatchHeaderBytes <= data.size();
       offset += kSectorBytes) {
    BatchHeader batch;
    if (!DecodeBatchHeader(data.substr(offset), seed, batch)) continue;
    if (batch.synced > Position{header.generation, end}) {
      return Damaged(segments_.PathOf(header.generation), end,
                     fmt::format("no valid batch begins here, though the one at offset {} says "
                                 "that the log was synced up to offset {}",
                                 offset, batch.synced.offset));
    }
    garbage_end = std::max(garbage_end,
                           RoundUp(offset + kBatchHeaderBytes + batch.record_bytes, kSectorBytes));
  }
  recovery_.torn_bytes = garbage_end - end;
  return absl::OkStatus();
}

StatusOr<std::vector<SegmentHeader>> Recoverer::FollowChain(const SegmentHeader& newest,
                                                            std::uint64_t oldest) {
  std::vector<SegmentHeader> chain = {newest};
  while (chain.back().previous_end.generation != 0 &&
         chain.back().previous_end.generation >= oldest) {
    const std::uint64_t generation = chain.back().previous_end.generation;
    if (generation >= chain.back().generation) {
      return Damaged(segments_.PathOf(chain.back().generation), 0,
                     "its header names a later segment as the one before");
    }
    const auto found = found_.find(generation);
    if (found == found_.end()) {
      return Damaged(segments_.PathOf(generation), 0, "the file is missing, and is still needed");
    }
    if (!found->second.valid) {
      return Damaged(segments_.PathOf(generation), 0, "the segment's header is not valid");
    }
    chain.push_back(found->second.header);
  }
  if (chain.back().generation != oldest && oldest != 0) {
    return Damaged(segments_.PathOf(oldest), 0, "the file is missing, and is still needed");
  }
  std::reverse(chain.begin(), chain.end());
  return chain;
}

Status Recoverer::Adopt(const SegmentHeader& header, std::uint64_t end) {
  Segment segment;
  segment.generation = static_cast<std::uint32_t>(header.generation);
  segment.path = segments_.PathOf(header.generation);
  ASSIGN_OR_RETURN(segment.file, segments_.OpenSegment(header.generation));
  segment.seed = ChecksumSeed(header.generation, header.salt);
  segment.bytes = header.bytes;
  segment.end = end;
  state_.table().Add(std::move(segment));
  return absl::OkStatus();
}

// What was read is relied on from now, and may have been in memory only: not yet written, or taken
// for written although its sync had failed. So the end of it is written once more, and synced.
Status Recoverer::MakeDurable(const SegmentHeader& newest, std::string_view data) {
  const std::uint64_t from = synced_.generation == newest.generation ? synced_.offset : 0;
  Segment& segment = state_.table().newest();
  if (from < data.size() && !Planted(Plant::kTailNotRewritten)) {
    const std::string_view rest = data.substr(from);
    RETURN_IF_ERROR(
        FromIo(segment.file->Write(from, rocksdb::Slice(rest.data(), rest.size()), kIo, nullptr),
               "writing to the log segment " + segment.path));
  }
  return FromIo(segment.file->Sync(kIo, nullptr), "syncing the log segment " + segment.path);
}

void Recoverer::FillState() {
  for (auto& [id, group] : replay_.groups()) {
    RecoveredGroup& recovered = recovery_.groups[id];
    recovered.hard_state = group.hard_state;
    recovered.start_index = group.start;
    recovered.start_term = group.start_term;
    recovered.entries.reserve(group.items.size());
    for (std::size_t i = 0; i < group.items.size(); ++i) {
      recovered.entries.push_back({group.items[i].term, group.items[i].bytes});
    }
    recovered.configurations.assign(std::make_move_iterator(group.configurations.begin()),
                                    std::make_move_iterator(group.configurations.end()));
    state_.groups().try_emplace(id, 0).first->second.Restore(
        group.hard_state, group.hard_state_generation, group.start, group.start_term,
        group.start_generation, std::move(group.items), state_.table());
  }
}

StatusOr<RecoveredTail> Recoverer::Run() {
  ASSIGN_OR_RETURN(const std::vector<std::uint64_t> generations, segments_.OpenDirectory());
  RETURN_IF_ERROR(ReadHeaders(generations));
  RecoveredTail tail;
  ASSIGN_OR_RETURN(const std::uint64_t in_spares, segments_.NewestGenerationInSpares());
  tail.next_generation = std::max(in_spares, generations.empty() ? 0 : generations.back()) + 1;

  const SegmentHeader* newest = nullptr;
  for (auto found = found_.rbegin(); found != found_.rend() && newest == nullptr; ++found) {
    if (found->second.damaged) {
      return Damaged(segments_.PathOf(found->first), 0, "the segment's header is not valid");
    }
    if (found->second.valid) newest = &found->second.header;
  }

  std::map<std::uint64_t, std::uint64_t> kept;  // generation -> end
  if (newest != nullptr) {
    std::string newest_data;
    RETURN_IF_ERROR(ReadFile(segments_.PathOf(newest->generation), newest->bytes, newest_data));
    std::uint64_t oldest = newest->oldest_generation;
    std::uint64_t end = 0;
    const std::string newest_summary =
        Summarize(*newest, newest_data, newest_data.size(), end, oldest);
    RETURN_IF_ERROR(CheckTornTail(*newest, newest_data, end));

    replay_ = Replay(log_bytes_ / kEntryBytesMin);
    ASSIGN_OR_RETURN(const std::vector<SegmentHeader> chain, FollowChain(*newest, oldest));
    for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
      const std::uint64_t limit = chain[i + 1].previous_end.offset;
      ASSIGN_OR_RETURN(const std::string summary, SummaryOf(chain[i], limit));
      RETURN_IF_ERROR(ReplaySegment(chain[i], summary));
      kept[chain[i].generation] = limit;
      recovery_.bytes += limit;
    }
    RETURN_IF_ERROR(ReplaySegment(*newest, newest_summary));
    kept[newest->generation] = end;
    recovery_.bytes += end;
    tail.end = {newest->generation, end};
    tail.oldest_generation = oldest;
    tail.summary =
        EncodeSummary(ChecksumSeed(newest->generation, newest->salt), tail.end, newest_summary);
    if (const auto gap = replay_.FindGap()) {
      return Damaged(segments_.PathOf(chain.front().generation), 0,
                     fmt::format("entry {} of group {} is nowhere in the log", gap->index.value(),
                                 gap->group.value()));
    }
    for (const SegmentHeader& header : chain) {
      RETURN_IF_ERROR(Adopt(header, kept.at(header.generation)));
    }
    if (!Planted(Plant::kRecoveredNotSynced)) {
      RETURN_IF_ERROR(MakeDurable(*newest, std::string_view(newest_data).substr(0, end)));
    }
    FillState();
  }
  // Emptied before the power cut, or renamed and never written.
  for (const auto& [generation, found] : found_) {
    if (kept.contains(generation)) continue;
    RETURN_IF_ERROR(segments_.Retire(generation, found.bytes, nullptr));
  }
  return tail;
}

}  // namespace

StatusOr<RecoveredTail> Recover(rocksdb::FileSystem& files, SegmentFiles& segments, LogState& state,
                                LogRecovery& recovery) {
  return Recoverer(files, segments, state, recovery).Run();
}

}  // namespace flotilla::raft::log
