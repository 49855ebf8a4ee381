#include <gtest/gtest.h>

#include "kv/limits.h"
#include "kv/slots.h"
#include "tests/kv/machine.h"

namespace flotilla::kv {
namespace {

constexpr KeyspaceId kHashed{7 | kHashedBit};

AggregatePage Of(Machine& machine, const AggregateRequest& request) {
  const auto page = machine.store().Aggregate(request);
  EXPECT_TRUE(page.ok()) << page.status();
  return page.value_or(AggregatePage());
}

TEST(Aggregate, CountsKeysAndBytesAndAddsUpIntegers) {
  Machine machine;
  for (const char* value : {"7", "-10", "007", "+1", "1.5", "", " 1", "1x"}) {
    machine.Write(Put("key" + std::string(value), value));
  }
  machine.Write(Put("gone", "1"));
  machine.Write(Delete("gone"));
  machine.Write(Put("brief", "1", 5));
  machine.Write(Put("key7", "8"));
  machine.Write(kParent, {}, 10);
  const AggregatePage page = Of(machine, {.sum = true});
  EXPECT_EQ(page.keys, 8u);
  EXPECT_EQ(page.bytes, 8 * 3 + 2 * (1 + 3 + 3 + 2 + 3 + 0 + 2 + 2));
  EXPECT_EQ(page.sum, 8 - 10 + 7);
  EXPECT_EQ(page.not_integers, 5u);
  EXPECT_FALSE(page.more);
  const AggregatePage counted = Of(machine, {.start = "key-", .end = "key1"});
  EXPECT_EQ(counted.keys, 2u);  // "-10", "007"
  EXPECT_EQ(counted.sum, 0);
}

TEST(Aggregate, FiltersByValues) {
  Machine machine;
  for (const char* value : {"red", "red wine", "a red wine"}) machine.Write(Put(value, value));
  const auto count = [&](ValueFilter filter, std::string value) {
    return Of(machine, {.filter = filter, .filter_value = std::move(value)}).keys;
  };
  EXPECT_EQ(count(ValueFilter::kAll, ""), 3u);
  EXPECT_EQ(count(ValueFilter::kEquals, "red"), 1u);
  EXPECT_EQ(count(ValueFilter::kContains, "red"), 3u);
  EXPECT_EQ(count(ValueFilter::kBeginsWith, "red"), 2u);
  EXPECT_EQ(count(ValueFilter::kEquals, "blue"), 0u);
}

TEST(Aggregate, ASumThatDoesNotFitIsAnError) {
  Machine machine;
  const auto reason = [&] { return ReasonOf(machine.store().Aggregate({.sum = true}).status()); };
  machine.Write(Put("a", "9223372036854775807"));
  EXPECT_EQ(reason(), Reason::kNone);
  machine.Write(Put("b", "1"));
  EXPECT_EQ(reason(), Reason::kBadRequest);
  EXPECT_EQ(Of(machine, {}).keys, 2u) << "only the sum is wrong";
  machine.Write(Put("b", "-9223372036854775808"));
  EXPECT_EQ(Of(machine, {.sum = true}).sum, -1);
  machine.Write(Put("b", "9223372036854775808"));
  EXPECT_EQ(reason(), Reason::kBadRequest);
  AggregatePage total{.sum = INT64_MAX};
  EXPECT_EQ(ReasonOf(AddPage({.sum = 1}, total)), Reason::kBadRequest);
}

// However many rows there are, an answer looks at so many, and says where to go on.
TEST(Aggregate, LooksAtABoundedNumberOfRows) {
  for (const KeyspaceId keyspace : {kDefaultKeyspace, kHashed}) {
    Machine machine;
    constexpr std::uint64_t kKeys = kAggregateRowsMax + 5000;
    std::vector<std::string> keys;
    for (std::uint64_t i = 0; i < kKeys; ++i) keys.push_back("k" + std::to_string(i));
    for (std::uint64_t i = 0; i < kKeys; i += 1000) {
      CommandView command{.keyspace = keyspace};
      for (std::uint64_t j = i; j < i + 1000; ++j) command.ops.push_back(Put(keys[j], "2"));
      machine.Write(kParent, {command});
    }
    AggregateRequest request{.keyspace = keyspace, .sum = true};
    AggregatePage total;
    int pages = 0;
    do {
      const AggregatePage page = Of(machine, request);
      EXPECT_LE(page.keys, kAggregateRowsMax);
      ASSERT_TRUE(AddPage(page, total).ok());
      request.resume = page.resume;
      ++pages;
    } while (total.more && pages < 10);
    EXPECT_EQ(pages, 2);
    EXPECT_EQ(total.keys, kKeys);
    EXPECT_EQ(total.sum, static_cast<std::int64_t>(2 * kKeys));
    request.resume = KeyspaceEnd(keyspace);
    EXPECT_EQ(Of(machine, request).keys, 0u);
    // Keys that do not count are looked at as well.
    request = {.keyspace = keyspace, .filter = ValueFilter::kEquals, .filter_value = "3"};
    EXPECT_TRUE(Of(machine, request).more);
  }
}

TEST(Aggregate, OfAPartGoesOnWhereTheRestIs) {
  Machine machine;
  for (const char* key : {"a", "b", "c"}) machine.Write(Put(key, "1"));
  machine.Control(kParent, SplitAt("b"));
  AggregateRequest request{.start = "a"};
  const AggregatePage page = Of(machine, request);
  EXPECT_EQ(page.keys, 1u);
  EXPECT_EQ(page.resume, Encoded("b"));
  request.resume = page.resume;
  EXPECT_EQ(ReasonOf(machine.store().Aggregate(request).status()), Reason::kWrongShard);
  const auto rest = machine.store(kChild).Aggregate(request);
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(rest->keys, 2u);
  EXPECT_FALSE(rest->more);
  machine.Control(kParent, Freeze{});
  request.resume.clear();
  EXPECT_EQ(ReasonOf(machine.store().Aggregate(request).status()), Reason::kWrongShard);
  request.past_last_slot = 0;
  EXPECT_EQ(ReasonOf(machine.store().Aggregate(request).status()), Reason::kBadRequest);
}

}  // namespace
}  // namespace flotilla::kv
