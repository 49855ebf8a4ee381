// Keys: what is encoded comes back, and the order of the bytes is the order of the keys, slot by
// slot in hashed keyspaces.
//
// input: keyspace fixed32 | another | u8 length of the first key | first key | the other key

#include "kv/key_codec.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/coding.h"
#include "kv/slots.h"
#include "tests/fuzz/fuzz.h"

namespace flotilla::fuzz {
namespace {

using kv::KeyspaceId;

void ExpectRoundTrip(KeyspaceId keyspace, std::string_view key) {
  const std::string encoded = kv::EncodeKey(keyspace, key);
  KeyspaceId found;
  std::string decoded;
  CHECK(kv::DecodeKey(encoded, found, decoded));
  CHECK(found == keyspace && decoded == key);
  CHECK(kv::KeyspaceStart(keyspace) <= encoded);
  if (keyspace.value() != UINT32_MAX) CHECK(encoded < kv::KeyspaceEnd(keyspace));

  std::string version = encoded;
  kv::AppendVersionSuffix(version, Timestamp(keyspace.value()));
  std::string_view prefix;
  Timestamp timestamp;
  CHECK(kv::SplitVersionKey(version, prefix, timestamp));
  CHECK(prefix == encoded && timestamp.value() == keyspace.value());
}

void ExpectOrder(std::pair<KeyspaceId, std::string_view> a,
                 std::pair<KeyspaceId, std::string_view> b) {
  const std::string first = kv::EncodeKey(a.first, a.second);
  const std::string second = kv::EncodeKey(b.first, b.second);
  const auto slot = [](const auto& one) {
    return kv::IsHashed(one.first) ? kv::SlotOf(one.second) : kv::Slot();
  };
  CHECK((first < second) ==
        (std::tuple(a.first, slot(a), a.second) < std::tuple(b.first, slot(b), b.second)));
  CHECK((first == second) == (a == b));
  // Versions of one key stand together, the newest first.
  if (a == b) return;
  std::string newer = first;
  std::string older = first;
  std::string other = second;
  kv::AppendVersionSuffix(newer, Timestamp(2));
  kv::AppendVersionSuffix(older, Timestamp(1));
  kv::AppendVersionSuffix(other, Timestamp(UINT64_MAX));
  CHECK(newer < older);
  CHECK((other < newer) == (other < older));
}

}  // namespace

void Fuzz(std::string_view input) {
  KeyspaceId keyspace;
  std::string key;
  if (kv::DecodeKey(input, keyspace, key)) CHECK(kv::EncodeKey(keyspace, key) == input);
  std::string_view encoded;
  Timestamp timestamp;
  if (kv::SplitVersionKey(input, encoded, timestamp)) {
    std::string again(encoded);
    kv::AppendVersionSuffix(again, timestamp);
    CHECK(again == input);
  }

  Reader reader(input);
  std::uint32_t first = 0;
  std::uint32_t second = 0;
  std::uint8_t length = 0;
  if (!reader.Fixed32(first) || !reader.Fixed32(second) || !reader.Byte(length)) return;
  const std::string_view keys = reader.rest();
  const std::string_view a = keys.substr(0, std::min<std::size_t>(length, keys.size()));
  const std::string_view b = keys.substr(a.size());
  ExpectRoundTrip(KeyspaceId(first), a);
  ExpectRoundTrip(KeyspaceId(second), b);
  ExpectOrder({KeyspaceId(first), a}, {KeyspaceId(second), b});
  ExpectOrder({KeyspaceId(first), a}, {KeyspaceId(first), b});
}

std::vector<std::string> Seeds() {
  using namespace std::string_literals;
  std::string pair;
  AppendFixed32(pair, 1);
  AppendFixed32(pair, 1);
  pair += "\x03"s + "a\0b"s + "a\0\xff\0\1"s;
  std::string hashed;
  AppendFixed32(hashed, 1 | kv::kHashedBit);
  AppendFixed32(hashed, 1 | kv::kHashedBit);
  hashed += "\x01"s + "abc";
  return {pair, hashed, kv::EncodeKey(KeyspaceId(1), "a\0b"s),
          kv::EncodeKey(KeyspaceId(7), "") + "12345678"};
}

}  // namespace flotilla::fuzz
