// Scans and counts over groups that hold parts of a keyspace, as a router asks them: in order,
// nothing lost, nothing twice, while the groups split.

#include <gtest/gtest.h>

#include <algorithm>

#include "kv/limits.h"
#include "kv/slots.h"
#include "tests/kv/machine.h"

namespace flotilla::kv {
namespace {

constexpr KeyspaceId kHashed{7 | kHashedBit};

std::string RandomKey(Random& random) {
  std::string key;
  for (std::uint64_t i = random.Between(1, 4); i > 0; --i) {
    key.push_back(
        "\x00\x01\xff"
        "ab"[random.Below(5)]);
  }
  return key;
}

using Model = std::map<std::string, std::string>;

class Cluster {
 public:
  Cluster(std::uint64_t seed, KeyspaceId keyspace) : random_(seed), keyspace_(keyspace) {
    machine_.Control(kParent,
                     SetRange{.start = KeyspaceStart(keyspace), .end = KeyspaceEnd(keyspace)});
  }

  struct Moment {
    Timestamp as_of = {};  // zero: now
    const Model& model;
  };
  // Now, or some time ago.
  Moment AnyMoment() {
    if (history_.empty() || random_.Chance(0.4)) return {.model = model_};
    const auto past =
        std::next(history_.begin(), static_cast<std::ptrdiff_t>(random_.Below(history_.size())));
    return {.as_of = past->first, .model = past->second};
  }
  Machine& machine() { return machine_; }
  Random& random() { return random_; }

  void WriteOne() {
    const std::string key = RandomKey(random_);
    const std::string value = std::to_string(static_cast<int>(random_.Below(2000)) - 1000);
    const bool puts = random_.Chance(0.7);
    const WriteOp op = puts ? Put(key, value, random_.Chance(0.1) ? 1'000'000 : 0) : Delete(key);
    const auto done =
        machine_.Write(HolderOf(EncodeKey(keyspace_, key)), {{.keyspace = keyspace_, .ops = {op}}});
    ASSERT_EQ(done.front().outcome, WriteOutcome::kApplied);
    if (puts) {
      model_[key] = value;
    } else {
      model_.erase(key);
    }
    if (random_.Chance(0.2)) history_[done.front().timestamp] = model_;
  }

  void SplitOne() {
    const std::string at =
        IsHashed(keyspace_)
            ? SlotBound(keyspace_, static_cast<std::uint32_t>(random_.Below(kSlots)))
            : EncodeKey(keyspace_, RandomKey(random_));
    const GroupId parent = HolderOf(at);
    if (next_group_ > 9 || machine_.store(parent).range().start >= at) return;
    const Split split{.child = GroupId(next_group_++), .split_key = at};
    ASSERT_EQ(machine_.Control(parent, split).outcome, ControlOutcome::kApplied);
  }

  GroupId HolderOf(const std::string& encoded) {
    for (const GroupId group : machine_.groups()) {
      if (machine_.store(group).range().Contains(encoded)) return group;
    }
    ADD_FAILURE() << "nobody holds a key";
    return {};
  }

  std::optional<std::string> Get(const std::string& key, Timestamp as_of) {
    const auto got = machine_.store(HolderOf(EncodeKey(keyspace_, key))).Get(keyspace_, key, as_of);
    EXPECT_TRUE(got.ok()) << got.status();
    return got.ok() && got->found ? std::optional(got->value) : std::nullopt;
  }

  // One page from the group that has the beginning, or from all that hold slots.
  ScanPage Page(const ScanRequest& request) {
    return IsHashed(keyspace_) ? PageOfSlots(request) : PageOfRange(request);
  }

  AggregatePage Aggregate(AggregateRequest request) {
    AggregatePage total;
    do {
      const auto page = machine_.store(HolderOf(FirstKey(request))).Aggregate(request);
      EXPECT_TRUE(page.ok()) << page.status();
      if (!page.ok()) return total;
      EXPECT_TRUE(AddPage(*page, total).ok());
      EXPECT_EQ(page->more, !page->resume.empty());
      request.resume = page->resume;
      if (random_.Chance(0.1)) SplitOne();
    } while (total.more);
    return total;
  }

 private:
  ScanPage PageOfRange(const ScanRequest& request) {
    const std::string end = RangeEnd(keyspace_, request.end);
    const std::string start = RangeStart(keyspace_, request.start);
    ScanPage found;
    int answers = 0;
    for (const GroupId group : machine_.groups()) {
      const ShardRange range = machine_.store(group).range();
      const bool begins = request.reverse ? range.start < end && end <= range.end
                                          : range.start <= start && start < range.end;
      const auto page = machine_.store(group).Scan(request);
      EXPECT_EQ(ReasonOf(page.status()), begins ? Reason::kNone : Reason::kWrongShard);
      if (!page.ok()) continue;
      ++answers;
      found = *page;
    }
    EXPECT_EQ(answers, 1);
    return found;
  }

  ScanPage PageOfSlots(ScanRequest request) {
    ScanPage all;
    const auto before = [&](const std::string& a, const std::string& b) {
      return request.reverse ? a > b : a < b;
    };
    for (const GroupId group : machine_.groups()) {
      const ShardRange range = machine_.store(group).range();
      request.first_slot = 0;
      request.past_last_slot = kSlots;
      if (const auto slot = SlotOfEncoded(range.start)) request.first_slot = slot->value();
      if (const auto slot = SlotOfEncoded(range.end)) request.past_last_slot = slot->value();
      const auto page = machine_.store(group).Scan(request);
      EXPECT_TRUE(page.ok()) << page.status();
      if (!page.ok()) return {};
      all.rows.insert(all.rows.end(), page->rows.begin(), page->rows.end());
      EXPECT_LE(page->rows.size(), request.limit);
      if (page->more && (!all.more || before(page->resume_key, all.resume_key))) {
        all.resume_key = page->resume_key;
      }
      all.more |= page->more;
    }
    std::sort(all.rows.begin(), all.rows.end(),
              [&](const ScanRow& a, const ScanRow& b) { return before(a.key, b.key); });
    // Behind where one of them has to go on.
    if (all.more) {
      std::erase_if(all.rows, [&](const ScanRow& row) {
        return request.reverse ? row.key < all.resume_key : row.key >= all.resume_key;
      });
    }
    return all;
  }

  Machine machine_;
  Random random_;
  const KeyspaceId keyspace_;
  Model model_;
  std::map<Timestamp, Model> history_;
  std::uint64_t next_group_ = 3;
};

void ExpectAgreement(Cluster& cluster, KeyspaceId keyspace) {
  Random& random = cluster.random();
  for (int i = 0; i < 60; ++i) cluster.WriteOne();
  for (int round = 0; round < 12; ++round) {
    for (int i = 0; i < 10; ++i) cluster.WriteOne();
    const Cluster::Moment moment = cluster.AnyMoment();
    const Model& model = moment.model;
    ScanRequest request{.keyspace = keyspace,
                        .reverse = random.Chance(0.5),
                        .as_of = moment.as_of,
                        .limit = static_cast<std::uint32_t>(random.Between(1, 20)),
                        .keys_only = random.Chance(0.2)};
    if (random.Chance(0.7)) request.start = RandomKey(random);
    if (random.Chance(0.7)) request.end = RandomKey(random);
    if (!request.end.empty() && request.end <= request.start) continue;
    const auto begin = model.lower_bound(request.start);
    const auto end = request.end.empty() ? model.end() : model.lower_bound(request.end);
    std::vector<std::pair<std::string, std::string>> wanted(begin, end);
    std::int64_t sum = 0;
    for (auto& [key, value] : wanted) sum += std::stoi(value);
    const AggregateRequest count{.keyspace = keyspace,
                                 .start = request.start,
                                 .end = request.end,
                                 .as_of = moment.as_of,
                                 .sum = true};
    const AggregatePage total = cluster.Aggregate(count);
    EXPECT_EQ(total.keys, wanted.size());
    EXPECT_EQ(total.sum, sum);
    EXPECT_EQ(total.not_integers, 0u);
    for (const auto& [key, value] : wanted) {
      const std::string got = cluster.Get(key, moment.as_of).value_or("(none)");
      EXPECT_EQ(got, value) << key << " as of " << moment.as_of.value();
    }
    if (request.reverse) std::reverse(wanted.begin(), wanted.end());
    if (request.keys_only) {
      for (auto& [key, value] : wanted) value.clear();
    }
    std::vector<std::pair<std::string, std::string>> rows;
    while (true) {
      const ScanPage page = cluster.Page(request);
      for (const ScanRow& row : page.rows) rows.emplace_back(row.key, row.value);
      ASSERT_LE(rows.size(), wanted.size());
      if (!page.more) break;
      (request.reverse ? request.end : request.start) = page.resume_key;
      if (random.Chance(0.1)) cluster.SplitOne();
    }
    ASSERT_EQ(rows, wanted);
    cluster.SplitOne();
    if (random.Chance(0.3)) cluster.machine().PowerCut(random.Next());
    for (const GroupId group : cluster.machine().groups()) {
      ASSERT_TRUE(cluster.machine().Replay(group).ok());
    }
  }
}

// A second machine, fed the same logs in other batches.
void ExpectEqualReplica(Cluster& cluster) {
  Machine& machine = cluster.machine();
  Machine replica;
  replica.TakeLogs(machine);
  for (std::size_t done = 0; done < replica.groups().size(); ++done) {
    const GroupId group = replica.groups()[done];
    ASSERT_TRUE(replica.Replay(group, cluster.random().Between(1, 20)).ok());
  }
  ASSERT_EQ(replica.groups(), machine.groups());
  for (const GroupId group : machine.groups()) {
    EXPECT_EQ(replica.Hash(group), machine.Hash(group)) << group.value();
  }
}

TEST(Scan, OverTheGroupsOfARangeAgreesWithAModel) {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(seed);
    Cluster cluster(seed, kDefaultKeyspace);
    ExpectAgreement(cluster, kDefaultKeyspace);
    ExpectEqualReplica(cluster);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(Scan, OverTheGroupsOfAHashedKeyspaceAgreesWithAModel) {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(seed);
    Cluster cluster(seed, kHashed);
    ExpectAgreement(cluster, kHashed);
    ExpectEqualReplica(cluster);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(Scan, AsOfATimeFindsOldVersionsBehindManyNewOnes) {
  Machine machine;
  const Timestamp first = machine.Write(Put("a", "old")).timestamp;
  const Timestamp second = machine.Write(Put("b", "1")).timestamp;
  for (int i = 0; i < 40; ++i) machine.Write({Put("a", std::to_string(i))});
  machine.Write(Put("c", "late"));
  machine.Write(Delete("b"));
  const auto rows_as_of = [&](Timestamp as_of, bool reverse) {
    std::string rows;
    const auto page = machine.store().Scan({.reverse = reverse, .as_of = as_of});
    EXPECT_TRUE(page.ok()) << page.status();
    for (const ScanRow& row : page->rows) rows += row.key + "=" + row.value + " ";
    return rows;
  };
  EXPECT_EQ(rows_as_of(first, false), "a=old ");
  EXPECT_EQ(rows_as_of(second, false), "a=old b=1 ");
  EXPECT_EQ(rows_as_of(second, true), "b=1 a=old ");
  EXPECT_EQ(rows_as_of({}, true), "c=late a=39 ");
  EXPECT_EQ(rows_as_of(Timestamp(first.value() - 1), false), "");
}

TEST(Scan, AsOfATimeThatIsNotKeptIsRefused) {
  StoreOptions options;
  options.retention_ms = 1'000;
  Machine machine(options);
  const Timestamp then = machine.Write(Put("a", "1")).timestamp;
  machine.Write(kParent, {{.ops = {Put("a", "2")}}}, 900);
  EXPECT_EQ(machine.store().Get(kDefaultKeyspace, "a", then)->value, "1");
  machine.Write(kParent, {{.ops = {Put("b", "3")}}}, 200);
  const auto reason = [&](const auto& result) { return ReasonOf(result.status()); };
  const auto refused = [&] {
    EXPECT_EQ(reason(machine.store().Get(kDefaultKeyspace, "a", then)), Reason::kTimestampTooOld);
    EXPECT_EQ(reason(machine.store().Scan({.as_of = then})), Reason::kTimestampTooOld);
    EXPECT_EQ(reason(machine.store().Aggregate({.as_of = then})), Reason::kTimestampTooOld);
  };
  refused();
  // What is kept is known before anything is written again.
  machine.store().Flush([](const StatusOr<raft::Index>&) {});
  machine.PowerCut(1);
  refused();
}

TEST(Scan, SaysWhereToGoOnWhereTheRangeEnds) {
  Machine machine;
  for (const char* key : {"a", "b", "c", "d"}) machine.Write(Put(key, key));
  machine.Control(kParent, SplitAt("c"));
  // Twice: what was read before comes from memory.
  for (int i = 0; i < 2; ++i) {
    const auto first = machine.store(kParent).Scan({.start = "a", .end = "d", .limit = 10});
    ASSERT_TRUE(first.ok());
    EXPECT_EQ(first->rows.size(), 2u);
    EXPECT_TRUE(first->more);
    EXPECT_EQ(first->resume_key, "c");
    const auto last = machine.store(kChild).Scan({.reverse = true, .limit = 10});
    ASSERT_TRUE(last.ok());
    EXPECT_EQ(last->rows.size(), 2u);
    EXPECT_TRUE(last->more);
    EXPECT_EQ(last->resume_key, "c");
    const auto rest = machine.store(kChild).Scan({.start = "c", .limit = 10});
    EXPECT_FALSE(rest->more);
    const auto up_to = machine.store(kParent).Scan({.start = "a", .end = "c", .limit = 10});
    EXPECT_FALSE(up_to->more);
  }
}

void PutInto(Machine& machine, const std::string& key, const std::string& value) {
  machine.Write(kParent, {{.keyspace = kHashed, .ops = {Put(key, value)}}});
}

TEST(HashedScan, NeedsAllItsSlots) {
  Machine machine;
  machine.Control(kParent, Split{.child = kChild, .split_key = SlotBound(kHashed, 100)});
  const auto reason = [&](GroupId group, std::uint32_t first, std::uint32_t past_last) {
    const ScanRequest request{
        .keyspace = kHashed, .first_slot = first, .past_last_slot = past_last};
    return ReasonOf(machine.store(group).Scan(request).status());
  };
  EXPECT_EQ(reason(kParent, 0, 100), Reason::kNone);
  EXPECT_EQ(reason(kParent, 0, 101), Reason::kWrongShard);
  EXPECT_EQ(reason(kParent, 0, kSlots), Reason::kWrongShard);
  EXPECT_EQ(reason(kChild, 100, kSlots), Reason::kNone);
  EXPECT_EQ(reason(kChild, 99, kSlots), Reason::kWrongShard);
  EXPECT_EQ(reason(kChild, 5, 5), Reason::kBadRequest);
  EXPECT_EQ(reason(kChild, 0, kSlots + 1), Reason::kBadRequest);
}

// What a page holds in memory is bounded by what it may weigh, whatever the order of slots.
TEST(HashedScan, APageIsBoundedInBytes) {
  Machine machine;
  const std::string value(1 << 20, 'v');
  for (int i = 0; i < 12; ++i) PutInto(machine, "k" + std::to_string(10 + i), value);
  for (const bool reverse : {false, true}) {
    ScanRequest request{.keyspace = kHashed, .reverse = reverse, .limit = 100};
    const auto page = machine.store().Scan(request);
    ASSERT_TRUE(page.ok());
    ASSERT_EQ(page->rows.size(), 3u);
    EXPECT_EQ(page->rows[0].key, reverse ? "k21" : "k10");
    EXPECT_EQ(page->rows[2].key, reverse ? "k19" : "k12");
    EXPECT_EQ(page->resume_key, reverse ? "k19" : "k13");
    request.keys_only = true;
    const auto keys = machine.store().Scan(request);
    EXPECT_EQ(keys->rows.size(), 12u);
    EXPECT_FALSE(keys->more);
  }
}

TEST(HashedScan, SeesTheNewestOfManyVersionsAndNoneThatIsGone) {
  Machine machine;
  for (int i = 0; i < 40; ++i) {
    PutInto(machine, "k", std::to_string(i));
    PutInto(machine, "l" + std::to_string(i), "brief");
  }
  machine.Write(kParent, {{.keyspace = kHashed, .ops = {DeleteRange("l", "")}}});
  for (const bool reverse : {false, true}) {
    const auto page = machine.store().Scan({.keyspace = kHashed, .reverse = reverse, .limit = 2});
    ASSERT_TRUE(page.ok());
    ASSERT_EQ(page->rows.size(), 1u);
    EXPECT_EQ(page->rows[0].value, "39");
    EXPECT_FALSE(page->more);
  }
}

}  // namespace
}  // namespace flotilla::kv
