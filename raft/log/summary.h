// The summary of a segment: its records without the payloads of entries, in a small file beside it,
// so that a start need not read the whole log.
//
// A summary is written once its segment is full and synced, and says where the segment ended. It is
// a mere help: one that is missing, torn or damaged, or that was made for another life or another
// end of the segment, is as good as none, and the segment is read instead. What a summary spares is
// verified when it is read: every record has its own checksum.
//
// Pure functions; nothing here does I/O. The decoder never trusts its input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/coding.h"
#include "raft/log/format.h"

namespace flotilla::raft::log {

// Checksum, magic, generation and end. (The bytes of the format: README.md.)
inline constexpr std::size_t kSummaryHeaderBytes = 24;

// Adds a record, which lies at `offset` of the segment, to a summary's records.
void AddToSummary(const Record& record, std::uint64_t offset, std::string& records);

// The content of the file, for a segment with this seed that ends at `end`.
std::string EncodeSummary(std::uint32_t seed, Position end, std::string_view records);
// Nothing unless `file` is a sound summary of this very segment and end. The records are a view.
std::optional<std::string_view> DecodeSummary(std::string_view file, std::uint32_t seed,
                                              Position end);

// Gives records back in their order. Payloads are there for configurations alone.
class SummaryReader {
 public:
  explicit SummaryReader(std::string_view records) : reader_(records) {}

  // False at the end, or where something is no record: then `sound()` is false.
  bool Next(Record& record, std::uint64_t& offset);
  bool sound() const { return sound_; }

 private:
  bool Decode(Record& record, std::uint64_t& offset);

  Reader reader_;
  bool sound_ = true;
};

}  // namespace flotilla::raft::log
