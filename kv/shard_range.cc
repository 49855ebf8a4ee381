#include "kv/shard_range.h"

#include <fmt/format.h>

#include "base/coding.h"

namespace flotilla::kv {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kFrozen = 1;

// An error has to fit into the trailer of an answer.
constexpr std::size_t kShownBytesMax = 256;

std::string Hexadecimal(std::string_view key) {
  std::string out;
  for (const char byte : key.substr(0, kShownBytesMax)) {
    out += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  }
  if (key.size() > kShownBytesMax) out += "...";
  return out;
}

}  // namespace

std::string EncodeShardRange(const ShardRange& range) {
  std::string out;
  out.push_back(static_cast<char>(kVersion));
  out.push_back(static_cast<char>(range.frozen ? kFrozen : 0));
  AppendVarint(out, range.epoch.value());
  AppendPrefixed(out, range.start);
  AppendPrefixed(out, range.end);
  return out;
}

bool DecodeShardRange(std::string_view bytes, ShardRange& range) {
  Reader reader(bytes);
  std::uint8_t version = 0;
  std::uint8_t flags = 0;
  std::uint64_t epoch = 0;
  std::string_view start;
  std::string_view end;
  if (!reader.Byte(version) || version != kVersion || !reader.Byte(flags) || flags > kFrozen ||
      !reader.Varint(epoch) || !reader.Prefixed(start) || !reader.Prefixed(end) ||
      !reader.empty()) {
    return false;
  }
  range.start = start;
  range.end = end;
  range.epoch = Epoch(epoch);
  range.frozen = flags == kFrozen;
  return true;
}

Status WrongShard(GroupId group, const ShardRange& range) {
  const std::string why = range.frozen ? "is being merged into another and answers for no key"
                                       : "does not hold all keys of the request";
  return Error(Reason::kWrongShard,
               fmt::format("group {} {} (epoch {}): learn from the directory which group does, and "
                           "ask that one",
                           group.value(), why, range.epoch.value()),
               {{std::string(kGroupMetadata), std::to_string(group.value())},
                {std::string(kEpochMetadata), std::to_string(range.epoch.value())},
                {std::string(kRangeStartMetadata), Hexadecimal(range.start)},
                {std::string(kRangeEndMetadata), Hexadecimal(range.end)}});
}

}  // namespace flotilla::kv
