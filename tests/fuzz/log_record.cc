// Records of the log, and the groups' state that they add up to.
//
// input: (prefixed body of a record)*. Each gets its length and checksum, so that the fuzzer need
// not guess those; the input as a whole is also decoded as it is.

#include "base/coding.h"
#include "base/crc32c.h"
#include "raft/log/format.h"
#include "raft/log/replay.h"
#include "tests/fuzz/fuzz.h"

namespace flotilla::fuzz {
namespace {

using namespace raft;
using namespace raft::log;

constexpr std::uint32_t kSeed = 77;

std::string Seal(std::string_view body) {
  std::string covered;
  AppendFixed32(covered, static_cast<std::uint32_t>(body.size()));
  covered += body;
  std::string record;
  AppendFixed32(record, ExtendCrc32c(kSeed, covered));
  return record + covered;
}

void Encode(const Record& record, BatchBuilder& batch) {
  switch (record.kind) {
    case RecordKind::kHardState:
    case RecordKind::kForgottenHardState:
      batch.AddHardState(record.group, record.hard_state);
      break;
    case RecordKind::kEntry:
    case RecordKind::kRewrittenEntry:
      batch.AddEntry(record.kind, record.group, record.term, record.index, record.entry_kind,
                     record.payload);
      break;
    case RecordKind::kStart:
    case RecordKind::kReset:
      batch.AddStart(record.kind, record.group, record.index, record.term);
      break;
    case RecordKind::kRemove:
      batch.AddRemove(record.group);
      break;
  }
}

void ExpectSame(const Record& a, const Record& b) {
  CHECK(a.kind == b.kind && a.group == b.group && a.hard_state == b.hard_state);
  CHECK(a.term == b.term && a.index == b.index);
  CHECK(a.entry_kind == b.entry_kind && a.payload == b.payload);
}

void ExpectRoundTrip(const Record& record) {
  BatchBuilder batch;
  batch.Begin(kSeed, kFirstBatchOffset, {});
  Encode(record, batch);
  const std::string bytes(batch.Finish({1, kFirstBatchOffset}, 1));
  BatchHeader header;
  CHECK(DecodeBatchHeader(bytes, kSeed, header));
  CHECK_EQ(header.records, 1u);
  Record again;
  CHECK(DecodeRecord(std::string_view(bytes).substr(kBatchHeaderBytes), kSeed, again));
  CHECK_EQ(again.bytes, header.record_bytes);
  ExpectSame(record, again);
}

void ExpectSound(const ReplayedGroup& group) {
  for (const auto& [index, configuration] : group.configurations) {
    CHECK(!group.items.empty() && index >= group.first && index <= group.last());
  }
  if (!group.items.empty()) CHECK_GT(group.first, group.start);
}

}  // namespace

void Fuzz(std::string_view input) {
  Record record;
  BatchHeader batch;
  SegmentHeader segment;
  DecodeRecord(input, kSeed, record);
  DecodeBatchHeader(input, kSeed, batch);
  DecodeSegmentHeader(input.substr(0, kSectorBytes), segment);

  constexpr std::uint64_t kEntriesMax = 1000;
  Replay replay(kEntriesMax);
  Reader reader(input);
  std::string_view body;
  std::uint32_t offset = kFirstBatchOffset;
  while (reader.Prefixed(body)) {
    const std::string sealed = Seal(body);
    Record sealed_record;
    if (!DecodeRecord(sealed, kSeed, sealed_record)) continue;
    ExpectRoundTrip(sealed_record);
    std::string what;
    if (!replay.Apply(sealed_record, 1, offset, what)) {
      CHECK(!what.empty());
      return;
    }
    ++offset;
  }
  const auto gap = replay.FindGap();
  for (const auto& [id, group] : replay.groups()) {
    if (!gap) ExpectSound(group);
  }
}

std::vector<std::string> Seeds() {
  const auto body = [](RecordKind kind, std::initializer_list<std::uint64_t> fields) {
    std::string out(1, static_cast<char>(kind));
    for (const std::uint64_t field : fields) AppendVarint(out, field);
    return out;
  };
  constexpr std::uint64_t kGroup = 2;
  // After the group an entry has its kind in one byte, which a small varint is.
  std::string all;
  AppendPrefixed(all, body(RecordKind::kHardState, {kGroup, 3, 1, 2}));
  for (std::uint64_t index = 1; index <= 4; ++index) {
    AppendPrefixed(all, body(RecordKind::kEntry, {kGroup, 1, 3, index}) + "payload");
  }
  Configuration configuration;
  configuration.voters = {NodeId(1), NodeId(2)};
  AppendPrefixed(all,
                 body(RecordKind::kEntry, {kGroup, 2, 3, 5}) + EncodeConfiguration(configuration));
  AppendPrefixed(all, body(RecordKind::kStart, {kGroup, 2, 3}));
  AppendPrefixed(all, body(RecordKind::kRewrittenEntry, {kGroup, 1, 3, 3}) + "payload");
  std::string rest;
  AppendPrefixed(rest, body(RecordKind::kReset, {kGroup, 9, 4}));
  AppendPrefixed(rest, body(RecordKind::kEntry, {kGroup, 0, 4, 10}));
  AppendPrefixed(rest, body(RecordKind::kRemove, {3}));
  return {all, rest, all + rest};
}

}  // namespace flotilla::fuzz
