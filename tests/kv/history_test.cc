// Records keep their history: who wrote each version, and what came after it.

#include <gtest/gtest.h>

#include "base/timestamp.h"
#include "tests/kv/machine.h"

namespace flotilla::kv {
namespace {

HistoryPage Of(Machine& machine, const HistoryRequest& request) {
  const StatusOr<HistoryPage> page = machine.store().History(request);
  EXPECT_TRUE(page.ok()) << page.status();
  return page.value_or(HistoryPage());
}

TEST(History, SaysWhoWroteAndWhatCameAfter) {
  Machine machine;
  machine.Write(Put("a", "other"));
  const Timestamp first = machine.Write(Put("k", "1")).timestamp;
  const TxnId txn = machine.Begin();
  const std::string key = Encoded("k");
  const TxnPrepare prepare{.anchor = key,
                           .valid_until_ms = UINT64_MAX >> kTimestampCounterBits,
                           .one_phase = true,
                           .writes = {{.key = key, .value = "2"}}};
  const std::vector<WriteResult> stepped =
      machine.Step(kParent, {{.key = key, .txn = txn, .step = prepare}});
  ASSERT_EQ(stepped[0].outcome, WriteOutcome::kApplied);
  const Timestamp second = stepped[0].timestamp;
  const Timestamp third = machine.Write(Delete("k")).timestamp;
  const Timestamp fourth = machine.Write(Put("k", "3", 5)).timestamp;
  machine.Write(kParent, std::vector<CommandView>{{}}, 10);
  const HistoryPage page = Of(machine, {.key = "k"});
  ASSERT_EQ(page.versions.size(), 5u);
  EXPECT_FALSE(page.more);
  EXPECT_EQ(page.versions[0].kind, VersionKind::kExpired);
  EXPECT_FALSE(page.versions[0].superseded);
  EXPECT_EQ(page.versions[1].timestamp, fourth);
  EXPECT_EQ(page.versions[1].superseded->kind, VersionKind::kExpired);
  EXPECT_NE(page.versions[1].expires_at_ms, 0u);
  EXPECT_EQ(
      page.versions[2],
      (HistoryVersion{.timestamp = third,
                      .kind = VersionKind::kDeleted,
                      .superseded = Successor{.timestamp = fourth, .kind = VersionKind::kPut}}));
  EXPECT_EQ(
      page.versions[3],
      (HistoryVersion{.timestamp = second,
                      .transaction = txn,
                      .value = "2",
                      .superseded = Successor{.timestamp = third, .kind = VersionKind::kDeleted}}));
  EXPECT_EQ(page.versions[4], (HistoryVersion{.timestamp = first,
                                              .value = "1",
                                              .superseded = Successor{.timestamp = second,
                                                                      .kind = VersionKind::kPut,
                                                                      .transaction = txn}}));
}

TEST(History, GoesOnWhereThePageBeforeEnded) {
  Machine machine;
  for (int i = 0; i < 10; ++i) machine.Write(Put("k", std::to_string(i)));
  std::vector<HistoryVersion> all;
  HistoryPage page{.more = true};
  for (HistoryRequest request{.key = "k", .limit = 3}; page.more;) {
    page = Of(machine, request);
    all.insert(all.end(), page.versions.begin(), page.versions.end());
    request.before = all.back().timestamp;
  }
  EXPECT_EQ(all, Of(machine, {.key = "k"}).versions);
  EXPECT_EQ(all.size(), 10u);
  EXPECT_TRUE(Of(machine, {.key = "none"}).versions.empty());
  // Large values make small pages.
  for (int i = 0; i < 3; ++i) machine.Write(Put("large", std::string(2 << 20, 'x')));
  EXPECT_EQ(Of(machine, {.key = "large"}).versions.size(), 1u);
}

TEST(History, SaysSinceWhenItIsWhole) {
  StoreOptions options;
  options.retention_ms = 10'000;
  Machine machine(options);
  machine.Write(Put("k", "1"));
  EXPECT_EQ(Of(machine, {.key = "k"}).complete_since, Timestamp());
  const Timestamp last = machine.Write(kParent, {{.ops = {Put("k", "2")}}}, 50'000)[0].timestamp;
  EXPECT_EQ(MillisecondsOf(Of(machine, {.key = "k"}).complete_since),
            MillisecondsOf(last) - 10'000);
}

TEST(History, OfAKeyElsewhereIsRefused) {
  Machine machine;
  machine.Write(Put("a", "1"));
  machine.Control(kParent, SplitAt("c"));
  EXPECT_EQ(ReasonOf(machine.store().History({.key = "d"}).status()), Reason::kWrongShard);
}

}  // namespace
}  // namespace flotilla::kv
