#include "raft/log/format.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "base/planted.h"
#include "raft/log/summary.h"

namespace flotilla::raft::log {
namespace {

constexpr std::uint32_t kSegmentMagic = 0x31474c46;  // "FLG1"
constexpr std::uint32_t kBatchMagic = 0x31424c46;    // "FLB1"
constexpr std::uint32_t kFormatVersion = 1;
constexpr std::size_t kRecordPrefixBytes = 8;  // checksum and length
// A buffer that one huge batch has blown up is given back.
constexpr std::size_t kBufferBytesKept = 32 << 20;

void StoreFixed32(char* out, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) out[i] = static_cast<char>(value >> (8 * i));
}

void StoreFixed64(char* out, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) out[i] = static_cast<char>(value >> (8 * i));
}

// But for what was forgotten.
void AppendHardState(const HardState& hard_state, std::string& out) {
  AppendVarint(out, hard_state.term.value());
  AppendVarint(out, hard_state.vote.value());
  AppendVarint(out, hard_state.commit.value());
}

bool ReadHardState(Reader& reader, HardState& hard_state) {
  return reader.Varint(hard_state.term) && reader.Varint(hard_state.vote) &&
         reader.Varint(hard_state.commit);
}

}  // namespace

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string sector;
  sector.reserve(kSectorBytes);
  AppendFixed32(sector, 0);  // the checksum
  AppendFixed32(sector, kSegmentMagic);
  AppendFixed32(sector, kFormatVersion);
  AppendFixed32(sector, 0);
  AppendFixed64(sector, header.generation);
  AppendFixed64(sector, header.salt);
  AppendFixed64(sector, header.bytes);
  AppendFixed64(sector, header.previous_end.generation);
  AppendFixed64(sector, header.previous_end.offset);
  AppendFixed64(sector, header.oldest_generation);
  CHECK_EQ(sector.size(), kSegmentHeaderBytes);
  StoreFixed32(sector.data(), Crc32c(std::string_view(sector).substr(4)));
  sector.resize(kSectorBytes, '\0');
  return sector;
}

HeaderState DecodeSegmentHeader(std::string_view sector, SegmentHeader& header) {
  if (std::all_of(sector.begin(), sector.end(), [](char c) { return c == '\0'; })) {
    return HeaderState::kBlank;
  }
  if (sector.size() < kSegmentHeaderBytes) return HeaderState::kDamaged;
  const std::string_view bytes = sector.substr(0, kSegmentHeaderBytes);
  if (LoadFixed32(bytes.data()) != Crc32c(bytes.substr(4)) ||
      LoadFixed32(bytes.data() + 4) != kSegmentMagic ||
      LoadFixed32(bytes.data() + 8) != kFormatVersion) {
    return HeaderState::kDamaged;
  }
  header.generation = LoadFixed64(bytes.data() + 16);
  header.salt = LoadFixed64(bytes.data() + 24);
  header.bytes = LoadFixed64(bytes.data() + 32);
  header.previous_end = {LoadFixed64(bytes.data() + 40), LoadFixed64(bytes.data() + 48)};
  header.oldest_generation = LoadFixed64(bytes.data() + 56);
  return HeaderState::kValid;
}

void AppendFields(const Record& record, std::string& out) {
  switch (record.kind) {
    case RecordKind::kHardState:
      AppendHardState(record.hard_state, out);
      return;
    case RecordKind::kForgottenHardState:
      AppendHardState(record.hard_state, out);
      AppendVarint(out, record.hard_state.forgotten.term.value());
      AppendVarint(out, record.hard_state.forgotten.index.value());
      return;
    case RecordKind::kEntry:
    case RecordKind::kRewrittenEntry:
      out.push_back(static_cast<char>(record.entry_kind));
      AppendVarint(out, record.term.value());
      AppendVarint(out, record.index.value());
      return;
    case RecordKind::kStart:
    case RecordKind::kReset:
      AppendVarint(out, record.index.value());
      AppendVarint(out, record.term.value());
      return;
    case RecordKind::kRemove:
      return;
  }
}

bool ReadFields(Reader& reader, Record& record) {
  switch (record.kind) {
    case RecordKind::kHardState:
      return ReadHardState(reader, record.hard_state);
    case RecordKind::kForgottenHardState:
      return ReadHardState(reader, record.hard_state) &&
             reader.Varint(record.hard_state.forgotten.term) &&
             reader.Varint(record.hard_state.forgotten.index) &&
             record.hard_state.forgotten != LogEnd();
    case RecordKind::kEntry:
    case RecordKind::kRewrittenEntry: {
      std::uint8_t kind = 0;
      if (!reader.Byte(kind) || kind > static_cast<std::uint8_t>(kLastEntryKind)) {
        return false;
      }
      record.entry_kind = static_cast<EntryKind>(kind);
      return reader.Varint(record.term) && reader.Varint(record.index);
    }
    case RecordKind::kStart:
    case RecordKind::kReset:
      return reader.Varint(record.index) && reader.Varint(record.term);
    case RecordKind::kRemove:
      return true;
  }
  return false;
}

std::uint32_t ChecksumSeed(std::uint64_t generation, std::uint64_t salt) {
  if (Planted(Plant::kChecksumWithoutGeneration)) return 0;
  std::string seed;
  AppendFixed64(seed, generation);
  AppendFixed64(seed, salt);
  return Crc32c(seed);
}

void BatchBuilder::Begin(std::uint32_t seed, std::uint64_t offset, std::string_view prefix) {
  CHECK_EQ(offset % kSectorBytes, 0u);
  if (buffer_.capacity() > kBufferBytesKept) buffer_ = std::string();
  buffer_.assign(prefix);
  seed_ = seed;
  offset_ = offset;
  base_ = prefix.size();
  records_ = 0;
  summary_.clear();
  buffer_.resize(base_ + kBatchHeaderBytes);
}

std::uint64_t BatchBuilder::Add(const Record& record) {
  const std::size_t start = buffer_.size();
  buffer_.resize(start + kRecordPrefixBytes);
  buffer_.push_back(static_cast<char>(record.kind));
  AppendVarint(buffer_, record.group.value());
  AppendFields(record, buffer_);
  buffer_.append(record.payload);
  const std::size_t body_bytes = buffer_.size() - start - kRecordPrefixBytes;
  CHECK_LE(body_bytes, std::numeric_limits<std::uint32_t>::max());
  StoreFixed32(buffer_.data() + start + 4, static_cast<std::uint32_t>(body_bytes));
  StoreFixed32(buffer_.data() + start,
               ExtendCrc32c(seed_, std::string_view(buffer_).substr(start + 4)));
  ++records_;
  const std::uint64_t offset = offset_ + (start - base_);
  AddToSummary(record, offset, summary_);
  return offset;
}

std::uint64_t BatchBuilder::AddHardState(GroupId group, const HardState& hard_state) {
  Record record;
  const bool forgotten = hard_state.forgotten != LogEnd();
  record.kind = forgotten ? RecordKind::kForgottenHardState : RecordKind::kHardState;
  record.group = group;
  record.hard_state = hard_state;
  return Add(record);
}

std::uint64_t BatchBuilder::AddEntry(RecordKind kind, GroupId group, Term term, Index index,
                                     EntryKind entry_kind, std::string_view payload) {
  Record record;
  record.kind = kind;
  record.group = group;
  record.term = term;
  record.index = index;
  record.entry_kind = entry_kind;
  record.payload = payload;
  record.payload_bytes = static_cast<std::uint32_t>(payload.size());
  return Add(record);
}

std::uint64_t BatchBuilder::AddStart(RecordKind kind, GroupId group, Index index, Term term) {
  Record record;
  record.kind = kind;
  record.group = group;
  record.index = index;
  record.term = term;
  return Add(record);
}

std::uint64_t BatchBuilder::AddRemove(GroupId group) {
  Record record;
  record.kind = RecordKind::kRemove;
  record.group = group;
  return Add(record);
}

std::string_view BatchBuilder::Finish(Position synced, std::uint64_t oldest_generation) {
  const std::size_t batch_bytes = buffer_.size() - base_;
  CHECK_LE(batch_bytes, std::numeric_limits<std::uint32_t>::max());
  char* const header = buffer_.data() + base_;
  StoreFixed32(header + 4, kBatchMagic);
  StoreFixed32(header + 8, static_cast<std::uint32_t>(batch_bytes - kBatchHeaderBytes));
  StoreFixed32(header + 12, records_);
  StoreFixed64(header + 16, synced.generation);
  StoreFixed64(header + 24, synced.offset);
  StoreFixed64(header + 32, oldest_generation);
  StoreFixed32(header, ExtendCrc32c(seed_, std::string_view(header + 4, kBatchHeaderBytes - 4)));
  end_offset_ = RoundUp(offset_ + batch_bytes, kSectorBytes);
  buffer_.resize(base_ + RoundUp(offset_ + batch_bytes, kPageBytes) - offset_);
  return buffer_;
}

bool DecodeBatchHeader(std::string_view bytes, std::uint32_t seed, BatchHeader& header) {
  if (bytes.size() < kBatchHeaderBytes) return false;
  if (LoadFixed32(bytes.data() + 4) != kBatchMagic) return false;
  if (LoadFixed32(bytes.data()) != ExtendCrc32c(seed, bytes.substr(4, kBatchHeaderBytes - 4))) {
    return false;
  }
  header.record_bytes = LoadFixed32(bytes.data() + 8);
  header.records = LoadFixed32(bytes.data() + 12);
  header.synced = {LoadFixed64(bytes.data() + 16), LoadFixed64(bytes.data() + 24)};
  header.oldest_generation = LoadFixed64(bytes.data() + 32);
  return true;
}

bool SeemsSyncedBatch(std::string_view sector, std::uint64_t generation) {
  return sector.size() >= kBatchHeaderBytes && LoadFixed32(sector.data() + 4) == kBatchMagic &&
         LoadFixed64(sector.data() + 16) == generation &&
         LoadFixed64(sector.data() + 24) > kFirstBatchOffset;
}

bool DecodeRecord(std::string_view bytes, std::uint32_t seed, Record& record) {
  if (bytes.size() < kRecordPrefixBytes) return false;
  const std::uint32_t body_bytes = LoadFixed32(bytes.data() + 4);
  if (body_bytes > bytes.size() - kRecordPrefixBytes) return false;
  const std::string_view covered = bytes.substr(4, body_bytes + kRecordPrefixBytes - 4);
  if (LoadFixed32(bytes.data()) != ExtendCrc32c(seed, covered)) return false;
  record.bytes = kRecordPrefixBytes + body_bytes;
  Reader reader(bytes.substr(kRecordPrefixBytes, body_bytes));
  std::uint8_t kind = 0;
  if (!reader.Byte(kind) || !reader.Varint(record.group)) return false;
  record.kind = static_cast<RecordKind>(kind);
  if (!ReadFields(reader, record)) return false;
  if (!IsEntry(record.kind)) return reader.empty();
  record.payload = reader.rest();
  record.payload_bytes = static_cast<std::uint32_t>(record.payload.size());
  return true;
}

}  // namespace flotilla::raft::log
