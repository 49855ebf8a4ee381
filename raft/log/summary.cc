#include "raft/log/summary.h"

#include <limits>

#include "base/crc32c.h"

namespace flotilla::raft::log {
namespace {

constexpr std::uint32_t kSummaryMagic = 0x31534c46;  // "FLS1"
constexpr std::size_t kChecksumBytes = 4;

}  // namespace

void AddToSummary(const Record& record, std::uint64_t offset, std::string& records) {
  records.push_back(static_cast<char>(record.kind));
  AppendVarint(records, offset);
  AppendVarint(records, record.group.value());
  AppendFields(record, records);
  if (!IsEntry(record.kind)) return;
  AppendVarint(records, record.payload_bytes);
  if (record.entry_kind == EntryKind::kConfiguration) records.append(record.payload);
}

std::string EncodeSummary(std::uint32_t seed, Position end, std::string_view records) {
  std::string covered;
  covered.reserve(kSummaryHeaderBytes + records.size());
  AppendFixed32(covered, kSummaryMagic);
  AppendFixed64(covered, end.generation);
  AppendFixed64(covered, end.offset);
  covered.append(records);
  std::string file;
  file.reserve(kChecksumBytes + covered.size());
  AppendFixed32(file, ExtendCrc32c(seed, covered));
  file.append(covered);
  return file;
}

std::optional<std::string_view> DecodeSummary(std::string_view file, std::uint32_t seed,
                                              Position end) {
  Reader reader(file);
  std::uint32_t checksum = 0;
  if (!reader.Fixed32(checksum) || checksum != ExtendCrc32c(seed, reader.rest())) {
    return std::nullopt;
  }
  std::uint32_t magic = 0;
  Position position;
  if (!reader.Fixed32(magic) || magic != kSummaryMagic || !reader.Fixed64(position.generation) ||
      !reader.Fixed64(position.offset) || position != end) {
    return std::nullopt;
  }
  return reader.rest();
}

bool SummaryReader::Next(Record& record, std::uint64_t& offset) {
  if (reader_.empty() || !sound_) return false;
  sound_ = Decode(record, offset);
  return sound_;
}

bool SummaryReader::Decode(Record& record, std::uint64_t& offset) {
  record = Record();
  std::uint8_t kind = 0;
  if (!reader_.Byte(kind) || !reader_.Varint(offset) || !reader_.Varint(record.group)) return false;
  if (offset > std::numeric_limits<std::uint32_t>::max()) return false;
  record.kind = static_cast<RecordKind>(kind);
  if (!ReadFields(reader_, record)) return false;
  if (!IsEntry(record.kind)) return true;
  std::uint64_t bytes = 0;
  if (!reader_.Varint(bytes) || bytes > std::numeric_limits<std::uint32_t>::max()) return false;
  record.payload_bytes = static_cast<std::uint32_t>(bytes);
  return record.entry_kind != EntryKind::kConfiguration || reader_.Take(bytes, record.payload);
}

}  // namespace flotilla::raft::log
