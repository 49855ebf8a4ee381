// The bytes of the log: segment headers, batches, records. raft/log/README.md has the picture and
// worked bytes.
//
//   segment:  header (one sector) | batch | batch | ...          batches begin on sectors
//   batch:    batch header | record | record | ... | zeros to the end of the sector
//   record:   crc32c | body length | kind | group | fields of the kind
//
// Every checksum starts from a seed made of the segment's generation and salt, so that what an
// earlier life of a recycled file left behind never verifies.
//
// Pure functions; nothing here does I/O. Decoders never trust their input.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/coding.h"
#include "raft/core/types.h"

namespace flotilla::raft::log {

inline constexpr std::size_t kSectorBytes = 512;
// Writes end on pages: the kernel then never has to read a page of a recycled segment in order to
// change a part of it.
inline constexpr std::size_t kPageBytes = 4096;
static_assert(kPageBytes % kSectorBytes == 0);

inline constexpr std::size_t kSegmentHeaderBytes = 64;
inline constexpr std::size_t kBatchHeaderBytes = 40;
// The first batch of a segment begins here.
inline constexpr std::uint64_t kFirstBatchOffset = kSectorBytes;
// The most that a record has besides an entry's payload: checksum and length (8), kinds (2), group,
// term and index as varints (10 each).
inline constexpr std::size_t kRecordOverheadMax = 40;

constexpr std::uint64_t RoundUp(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// A place in the log. Positions of different segments compare by generation.
struct Position {
  std::uint64_t generation = 0;
  std::uint64_t offset = 0;

  auto operator<=>(const Position&) const = default;
};

struct SegmentHeader {
  // Grows with every segment and is never used twice; also in the file's name.
  std::uint64_t generation = 0;
  // Not to be guessed by clients, who choose the bytes of payloads.
  std::uint64_t salt = 0;
  // Of the file.
  std::uint64_t bytes = 0;
  // The segment before and where the valid part of it ends, which is synced; zero for the first.
  Position previous_end;
  // No earlier segment is needed.
  std::uint64_t oldest_generation = 0;

  bool operator==(const SegmentHeader&) const = default;
};

enum class HeaderState {
  kValid,
  kBlank,  // zeros: the file was made but never written
  kDamaged,
};

// Exactly one sector.
std::string EncodeSegmentHeader(const SegmentHeader& header);
HeaderState DecodeSegmentHeader(std::string_view sector, SegmentHeader& header);

// What every checksum of a segment starts from.
std::uint32_t ChecksumSeed(std::uint64_t generation, std::uint64_t salt);

struct BatchHeader {
  std::uint32_t record_bytes = 0;  // after the header, without the padding
  std::uint32_t records = 0;
  // When the batch was written, everything before this position was synced.
  Position synced;
  // No earlier segment is needed, once this batch is durable.
  std::uint64_t oldest_generation = 0;

  bool operator==(const BatchHeader&) const = default;
};

enum class RecordKind : std::uint8_t {
  kHardState = 1,
  kEntry = 2,               // the group's log ends with this entry now
  kRewrittenEntry = 3,      // this entry again, copied from an old segment; what follows it stays
  kStart = 4,               // the group's log starts after this index; later entries stay
  kReset = 5,               // the same, and the log is empty
  kRemove = 6,              // the group is gone
  kForgottenHardState = 7,  // of a group that was forgotten once: HardState::forgotten, too
};

inline bool IsEntry(RecordKind kind) {
  return kind == RecordKind::kEntry || kind == RecordKind::kRewrittenEntry;
}

// One record, decoded; `payload` is a view into the input. Only the fields of its kind are set.
struct Record {
  RecordKind kind = RecordKind::kHardState;
  GroupId group;
  HardState hard_state;
  Term term;    // of the entry, or at the start
  Index index;  // likewise
  EntryKind entry_kind = EntryKind::kNoop;
  std::string_view payload;
  std::uint32_t payload_bytes = 0;  // also where the payload itself is not at hand
  std::size_t bytes = 0;            // of the whole record
};

// The fields of a record's kind, but for an entry's payload: what a record and its summary
// (summary.h) say alike.
void AppendFields(const Record& record, std::string& out);
// False when they are not all there, or there is no such kind.
bool ReadFields(Reader& reader, Record& record);

// Lays out one batch in a buffer that it reuses.
class BatchBuilder {
 public:
  // Begins a batch that will lie at `offset` of a segment with this seed. `prefix` goes in front
  // (the header of a new segment) and counts for no offset.
  void Begin(std::uint32_t seed, std::uint64_t offset, std::string_view prefix);

  // Each returns the record's offset in the segment.
  std::uint64_t AddHardState(GroupId group, const HardState& hard_state);
  std::uint64_t AddEntry(RecordKind kind, GroupId group, Term term, Index index,
                         EntryKind entry_kind, std::string_view payload);
  std::uint64_t AddStart(RecordKind kind, GroupId group, Index index, Term term);
  std::uint64_t AddRemove(GroupId group);

  // Fills the header in and pads to the page. The bytes to write, valid until the next Begin().
  std::string_view Finish(Position synced, std::uint64_t oldest_generation);

  // Where the next batch begins, after Finish().
  std::uint64_t end_offset() const { return end_offset_; }
  std::uint32_t records() const { return records_; }
  // What a summary of the segment says of the batch.
  std::string_view summary() const { return summary_; }

 private:
  std::uint64_t Add(const Record& record);

  std::string buffer_;
  std::uint32_t seed_ = 0;
  std::uint64_t offset_ = 0;  // of the batch in the segment
  std::size_t base_ = 0;      // of the batch in the buffer
  std::uint64_t end_offset_ = 0;
  std::uint32_t records_ = 0;
  std::string summary_;
};

// True when `bytes` begins with a valid batch header. Says nothing about the records.
bool DecodeBatchHeader(std::string_view bytes, std::uint32_t seed, BatchHeader& header);

// True when the sector seems to begin with a batch of a segment of this generation that was synced
// before. Without the segment's header no checksum can be verified.
bool SeemsSyncedBatch(std::string_view sector, std::uint64_t generation);

// Decodes the record that `bytes` begins with; false when it is not one or does not verify.
bool DecodeRecord(std::string_view bytes, std::uint32_t seed, Record& record);

}  // namespace flotilla::raft::log
