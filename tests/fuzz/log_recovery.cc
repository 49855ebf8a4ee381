// Segment files as a disk may hold them, through the real recovery. Either the log opens, gives
// every entry that it says it has, goes on, and is the same at the next start; or it refuses,
// naming file and offset.
//
// input: files, each
//   u8 name (below 128: NAME/2, .log or, when odd, .spare; else NAME - 128, .summary)
//   | pieces, each a u8 and its fields; 0 ends:
//     1 header: varint generation, salt, bytes / 512, previous generation, offset, oldest
//     2 batch: varint synced generation, offset, oldest | u8 records | (prefixed body of a record)*
//     3 bytes: prefixed
//     4 zeros: varint
//     5 summary: varint generation, salt, offset | prefixed records
// All get right checksums; batches and records with the seed of the file's last header.

#include <optional>

#include "base/coding.h"
#include "base/crc32c.h"
#include "raft/log/format.h"
#include "raft/log/summary.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lone_log.h"

namespace flotilla::fuzz {
namespace {

using namespace raft;
using namespace raft::log;

constexpr char kDirectory[] = "/log";
constexpr std::size_t kSegmentBytes = 16 << 10;
constexpr std::size_t kFileBytesMax = 64 << 10;

// ---- the image ------------------------------------------------------------------------------

bool ReadNumbers(Reader& reader, std::initializer_list<std::uint64_t*> numbers) {
  for (std::uint64_t* number : numbers) {
    if (!reader.Varint(*number)) return false;
  }
  return true;
}

bool AddHeader(Reader& reader, std::uint32_t& seed, std::string& content) {
  SegmentHeader header;
  std::uint64_t sectors = 0;
  if (!ReadNumbers(reader,
                   {&header.generation, &header.salt, &sectors, &header.previous_end.generation,
                    &header.previous_end.offset, &header.oldest_generation})) {
    return false;
  }
  header.bytes = sectors * kSectorBytes;
  seed = ChecksumSeed(header.generation, header.salt);
  content += EncodeSegmentHeader(header);
  return true;
}

void AppendSealed(std::string& out, std::uint32_t seed, std::string_view covered) {
  AppendFixed32(out, ExtendCrc32c(seed, covered));
  out += covered;
}

bool AddBatch(Reader& reader, std::uint32_t seed, std::string& content) {
  std::uint64_t generation = 0;
  std::uint64_t offset = 0;
  std::uint64_t oldest = 0;
  std::uint8_t count = 0;
  if (!ReadNumbers(reader, {&generation, &offset, &oldest}) || !reader.Byte(count)) return false;
  std::string records;
  for (int i = 0; i < count; ++i) {
    std::string_view body;
    if (!reader.Prefixed(body)) return false;
    std::string covered;
    AppendFixed32(covered, static_cast<std::uint32_t>(body.size()));
    covered += body;
    AppendSealed(records, seed, covered);
  }
  std::string header = "FLB1";
  AppendFixed32(header, static_cast<std::uint32_t>(records.size()));
  AppendFixed32(header, count);
  AppendFixed64(header, generation);
  AppendFixed64(header, offset);
  AppendFixed64(header, oldest);
  AppendSealed(content, seed, header);
  content += records;
  content.resize(RoundUp(content.size(), kSectorBytes));
  return true;
}

bool AddSummary(Reader& reader, std::string& content) {
  std::uint64_t generation = 0;
  std::uint64_t salt = 0;
  std::uint64_t offset = 0;
  std::string_view records;
  if (!ReadNumbers(reader, {&generation, &salt, &offset}) || !reader.Prefixed(records)) {
    return false;
  }
  content += EncodeSummary(ChecksumSeed(generation, salt), {generation, offset}, records);
  return true;
}

// False at the end of the input, or where it makes no sense.
bool ReadFile(Reader& reader, std::string& name, std::string& content) {
  std::uint8_t number = 0;
  if (!reader.Byte(number)) return false;
  char text[32];
  if (number < 128) {
    std::snprintf(text, sizeof text, "%010d.%s", number / 2, number % 2 == 0 ? "log" : "spare");
  } else {
    std::snprintf(text, sizeof text, "%010d.summary", number - 128);
  }
  name = text;
  std::uint32_t seed = 0;
  std::uint8_t piece = 0;
  while (reader.Byte(piece) && piece != 0 && content.size() <= kFileBytesMax) {
    std::string_view bytes;
    std::uint64_t zeros = 0;
    switch (piece) {
      case 1:
        if (!AddHeader(reader, seed, content)) return false;
        break;
      case 2:
        if (!AddBatch(reader, seed, content)) return false;
        break;
      case 3:
        if (!reader.Prefixed(bytes)) return false;
        content += bytes;
        break;
      case 4:
        if (!reader.Varint(zeros) || zeros > kFileBytesMax) return false;
        content.append(zeros, '\0');
        break;
      case 5:
        if (!AddSummary(reader, content)) return false;
        break;
      default:
        return false;
    }
  }
  return true;
}

// ---- the log --------------------------------------------------------------------------------

LogOptions SmallLog() {
  LogOptions options;
  options.directory = kDirectory;
  options.segment_bytes = kSegmentBytes;
  options.cache_bytes = 1 << 10;
  return options;
}

void ExpectGoodRefusal(const Status& status) {
  CHECK(ReasonOf(status) == Reason::kDataDamaged) << status.ToString();
  const ErrorMetadata metadata = MetadataOf(status);
  CHECK(metadata.contains("file") && metadata.contains("offset")) << status.ToString();
}

// Nothing when a summary was believed that was made up: reads do not believe it.
std::optional<std::vector<Entry>> MustRead(LoneLog& log, GroupId group) {
  auto entries = log.ReadAll(group);
  if (entries.ok()) return *std::move(entries);
  ExpectGoodRefusal(entries.status());
  return std::nullopt;
}

}  // namespace

void Fuzz(std::string_view input) {
  sim::SimFileSystem files;
  files.CreateDir(kDirectory, {}, nullptr).PermitUncheckedError();
  Reader reader(input);
  std::string name;
  std::string content;
  while (ReadFile(reader, name, content)) {
    const std::string path = std::string(kDirectory) + "/" + name;
    CHECK(rocksdb::WriteStringToFile(&files, content, path, true).ok());
    content.clear();
  }

  std::map<GroupId, std::vector<Entry>> entries;
  {
    LoneLog log(files, SmallLog());
    if (!log.status().ok()) return ExpectGoodRefusal(log.status());
    for (const auto& [group, recovered] : log.recovery().groups) {
      auto read = MustRead(log, group);
      if (!read.has_value()) return;
      entries[group] = *std::move(read);
      const Status appended = log.AppendOne(group, "appended");
      CHECK(appended.ok()) << appended.ToString();
    }
  }
  LoneLog again(files, SmallLog());
  CHECK(again.status().ok()) << again.status().ToString();
  CHECK_EQ(again.recovery().groups.size(), entries.size());
  for (const auto& [group, before] : entries) {
    auto read = MustRead(again, group);
    CHECK(read.has_value());
    std::vector<Entry> after = *std::move(read);
    CHECK_EQ(after.size(), before.size() + 1);
    CHECK(after.back().payload.view() == "appended");
    after.pop_back();
    CHECK(after == before);
  }
}

std::vector<std::string> Seeds() {
  const auto numbers = [](std::initializer_list<std::uint64_t> values) {
    std::string out;
    for (const std::uint64_t value : values) AppendVarint(out, value);
    return out;
  };
  const auto header = [&](std::uint64_t generation, std::uint64_t previous, std::uint64_t offset,
                          std::uint64_t oldest) {
    return "\1" + numbers({generation, 99, kSegmentBytes / kSectorBytes, previous, offset, oldest});
  };
  const auto entry = [&](RecordKind kind, std::uint64_t index) {
    std::string out;
    AppendPrefixed(out, numbers({static_cast<std::uint64_t>(kind), 2, 1, 3, index}) + "payload");
    return out;
  };
  const auto batch = [&](Position synced, const std::vector<std::string>& records) {
    std::string out = "\2" + numbers({synced.generation, synced.offset, 1});
    out.push_back(static_cast<char>(records.size()));
    for (const std::string& record : records) out += record;
    return out;
  };
  std::string hard_state;
  AppendPrefixed(hard_state, numbers({1, 2, 3, 1, 2}));
  std::string start;
  AppendPrefixed(start, numbers({4, 2, 1, 3}));
  const std::string first = "\2" + header(1, 0, 0, 1) +
                            batch({1, 512}, {hard_state, entry(RecordKind::kEntry, 1)}) +
                            batch({1, 1024}, {entry(RecordKind::kEntry, 2)});
  const std::string rest = "\4" + numbers({8192});
  const std::string second = "\4" + header(2, 1, 1536, 1) +
                             batch({2, 512}, {entry(RecordKind::kEntry, 3), start}) +
                             batch({2, 1024}, {entry(RecordKind::kRewrittenEntry, 2)});
  const std::string end(1, '\0');
  // Of the first segment: its records, and where they lie.
  std::string records = numbers({1, 552, 2, 3, 1, 2}) + numbers({2, 565, 2, 1, 3, 1, 7}) +
                        numbers({2, 1064, 2, 1, 3, 2, 7});
  std::string summary = "\x81\5" + numbers({1, 99, 1536});
  AppendPrefixed(summary, records);
  const std::string spare = "\3" + rest + rest + end;
  return {first + rest + end, first + rest + end + second + rest + end,
          first + "\3\5abcde" + rest + end + spare, first + batch({1, 2048}, {}) + end,
          first + rest + end + second + rest + end + summary + end};
}

}  // namespace flotilla::fuzz
