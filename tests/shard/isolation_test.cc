// What each isolation level forbids and what it allows, anomaly by anomaly, on one group and on
// two: the table of shard/txn/README.md.
//
// The anomalies are those of Adya (Weak Consistency, 1999), in the scripts that Kleppmann's
// Hermitage made of them. Writes are kept until the commit, so that what only shows in between (G0,
// G1b, G1c, OTV) cannot be had at any level.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/timestamp.h"
#include "kv/key_codec.h"
#include "kv/txn/command.h"
#include "tests/shard/transacting.h"

namespace flotilla {
namespace {

constexpr kv::Isolation kLevels[] = {kv::Isolation::kReadUncommitted, kv::Isolation::kReadCommitted,
                                     kv::Isolation::kRepeatableRead, kv::Isolation::kSerializable};

class IsolationTest : public Transacting {
 public:
  // x and y: of one group, or of one each.
  void Reset(bool two_groups) {
    y_ = two_groups ? "z" : "b";
    for (const auto& [key, value] : std::map<std::string, std::string>{{x_, "10"}, {y_, "20"}}) {
      PutPlain(key, value);
    }
    const Txn clear = Begin(0);
    for (const char* key : {"a3", "a4"}) Delete(clear, key);
    EXPECT_EQ(CommitReason(clear), "OK");
  }
  Txn At(kv::Isolation level, int node = 0) {
    return Begin(node, TxnOptions{.isolation = level, .locking = locking_});
  }
  bool Commits(const Txn& txn) {
    Settle(txn);
    return CommitReason(txn) == "OK";
  }
  // Nothing keeps an optimistic one from it.
  bool Completes(const Txn& txn) {
    const bool done = Commits(txn);
    EXPECT_TRUE(done || locking_ == Locking::kPessimistic);
    return done;
  }
  std::string All(const Txn& txn) { return Scan(txn, "", ""); }

  // Whoever has to wait for a lock does so while the others go on; who does not get it is rolled
  // back.
  void Put(const Txn& txn, const std::string& key, const std::string& value) {
    Write(txn, {.keyspace = keyspace_, .key = key, .value = value});
  }
  void Delete(const Txn& txn, const std::string& key) {
    Write(txn, {.keyspace = keyspace_, .deletes = true, .key = key});
  }
  std::string Get(const Txn& txn, const std::string& key) {
    Settle(txn);
    return Transacting::Get(txn, key);
  }
  std::string Scan(const Txn& txn, const std::string& start, const std::string& end) {
    Settle(txn);
    return Transacting::Scan(txn, start, end);
  }
  void Write(const Txn& txn, TxnMutation mutation) {
    Settle(txn);
    waiting_[txn] = BeginWrite(txn, std::move(mutation));
    world_.Await([&] { return waiting_[txn]->has_value(); }, std::chrono::milliseconds(100));
  }
  void Settle(const Txn& txn) {
    const auto waits = waiting_.extract(txn);
    if (waits && !Wait(waits.mapped()).ok()) txn->RollBack();
  }

  // Each says whether the anomaly came about.
  bool DirtyWrite(kv::Isolation level) {
    const Txn one = At(level);
    const Txn two = At(level, 1);
    Put(one, x_, "11");
    Put(two, x_, "12");
    Put(one, y_, "21");
    Commits(one);
    Put(two, y_, "22");
    Commits(two);
    const Txn look = At(kv::Isolation::kSerializable);
    const std::string seen = Get(look, x_) + Get(look, y_);
    return seen != "1121" && seen != "1222";
  }
  // One that is prepared, and then rolled back.
  bool AbortedRead(kv::Isolation level) {
    const Txn id = At(level);
    const std::string key = kv::EncodeKey(keyspace_, x_);
    const std::string other = kv::EncodeKey(keyspace_, y_ + "none");
    kv::TxnPrepare prepare{.isolation = level,
                           .anchor = other,
                           .part = 1,
                           .valid_until_ms = (id->id().value() >> kTimestampCounterBits) + 500};
    prepare.writes.push_back({.key = key, .value = "101"});
    const GatewayAnswer prepared =
        Ask(0, WriteCall{.command = Bytes(kv::EncodeTxnCommand(
                             {.key = key, .txn = id->id(), .step = std::move(prepare)}))});
    EXPECT_TRUE(prepared.status.ok()) << prepared.status;
    const Txn two = At(level, 1);
    return Get(two, x_) == "101";
  }
  bool IntermediateRead(kv::Isolation level) {
    const Txn one = At(level);
    const Txn two = At(level, 1);
    Put(one, x_, "101");
    const std::string before = Get(two, x_);
    Put(one, x_, "11");
    Commits(one);
    return before == "101" || Get(two, x_) == "101";
  }
  bool CircularFlow(kv::Isolation level) {
    const Txn one = At(level);
    const Txn two = At(level, 1);
    Put(one, x_, "11");
    Put(two, y_, "22");
    const bool sees = Get(one, y_) == "22" && Get(two, x_) == "11";
    return sees && Commits(one) && Commits(two);
  }
  bool ObservedVanishes(kv::Isolation level) {
    const Txn one = At(level);
    const Txn two = At(level, 1);
    const Txn three = At(level, 2);
    Put(one, x_, "11");
    Put(one, y_, "19");
    Put(two, x_, "12");
    Commits(one);
    const std::string x = Get(three, x_);
    Put(two, y_, "18");
    const std::string y = Get(three, y_);
    Commits(two);
    // Of the first it has seen one write; of the second it must see all then, or nothing.
    return x == "11" && y == "19" && Get(three, y_) == "18" && Get(three, x_) != "12";
  }
  bool PredicateRead(kv::Isolation level) {
    const Txn one = At(level);
    const std::string before = All(one);
    const Txn two = At(level, 1);
    Put(two, "a3", "30");
    Completes(two);
    return All(one) != before && Commits(one);
  }
  bool PredicateWrite(kv::Isolation level) {
    const Txn one = At(level);
    const Txn two = At(level, 1);
    EXPECT_EQ(Get(one, x_) + Get(one, y_), "1020");
    Put(one, x_, "20");
    Put(one, y_, "30");
    // All that have 20 are to go: y, as it is seen; x, when it is done.
    const bool y_has = Get(two, y_) == "20";
    Completes(one);
    if (y_has) Delete(two, y_);
    return Commits(two) && Read(y_) == "(none)" && Read(x_) == "20";
  }
  bool LostUpdate(kv::Isolation level) {
    const Txn one = At(level);
    const Txn two = At(level, 1);
    EXPECT_EQ(Get(one, x_), Get(two, x_));
    Put(one, x_, "11");
    Put(two, x_, "12");
    return Commits(one) && Commits(two);
  }
  bool ReadSkew(kv::Isolation level) {
    const Txn one = At(level);
    EXPECT_EQ(Get(one, x_), "10");
    const Txn two = At(level, 1);
    Put(two, x_, "12");
    Put(two, y_, "18");
    Completes(two);
    return Get(one, y_) == "18" && Commits(one);
  }
  bool PredicateSkew(kv::Isolation level) {
    const Txn one = At(level);
    EXPECT_EQ(Scan(one, "a3", "a5"), "");
    const Txn two = At(level, 1);
    Put(two, "a4", "1");
    Put(two, y_, "21");
    Completes(two);
    return Get(one, y_) == "21" && Commits(one);
  }
  bool SkewAndWrite(kv::Isolation level) {
    const Txn one = At(level);
    EXPECT_EQ(Get(one, x_), "10");
    const Txn two = At(level, 1);
    Put(two, x_, "12");
    Put(two, y_, "18");
    const bool before = Completes(two);
    Delete(one, y_);
    return before && Commits(one);
  }
  bool WriteSkew(kv::Isolation level) {
    const Txn one = At(level);
    const Txn two = At(level, 1);
    EXPECT_EQ(Get(one, x_) + Get(one, y_), "1020");
    EXPECT_EQ(Get(two, x_) + Get(two, y_), "1020");
    Put(one, x_, "11");
    Put(two, y_, "21");
    return Commits(one) && Commits(two);
  }
  bool PhantomSkew(kv::Isolation level) {
    const Txn one = At(level);
    const Txn two = At(level, 1);
    EXPECT_EQ(Scan(one, "a3", "a5"), "");
    EXPECT_EQ(Scan(two, "a3", "a5"), "");
    Put(one, "a3", "30");
    Put(two, "a4", "42");
    return Commits(one) && Commits(two);
  }
  bool TwoEdges(kv::Isolation level) {
    const Txn one = At(level);
    EXPECT_EQ(Get(one, x_) + Get(one, y_), "1020");
    const Txn two = At(level, 1);
    Put(two, y_, "25");
    const bool before = Completes(two);
    const Txn three = At(level, 2);
    const bool sees = Get(three, x_) + Get(three, y_) == "1025";
    EXPECT_EQ(sees, before);
    Completes(three);
    Put(one, x_, "0");
    return before && Commits(one);
  }

  Locking locking_ = Locking::kOptimistic;
  std::map<Txn, std::shared_ptr<std::optional<Status>>> waiting_;
  const std::string x_ = "a";
  std::string y_;
};

TEST_F(IsolationTest, EachLevelForbidsWhatItForbidsAndAllowsTheRest) {
  MakeTwoShards();
  struct Anomaly {
    const char* name;
    bool (IsolationTest::*happens)(kv::Isolation);
  };
  const std::vector<Anomaly> anomalies{
      {"G0: dirty write", &IsolationTest::DirtyWrite},
      {"G1a: aborted read", &IsolationTest::AbortedRead},
      {"G1b: intermediate read", &IsolationTest::IntermediateRead},
      {"G1c: circular information flow", &IsolationTest::CircularFlow},
      {"OTV: observed transaction vanishes", &IsolationTest::ObservedVanishes},
      {"PMP: predicate-many-preceders, read", &IsolationTest::PredicateRead},
      {"PMP: predicate-many-preceders, write", &IsolationTest::PredicateWrite},
      {"P4: lost update", &IsolationTest::LostUpdate},
      {"G-single: read skew", &IsolationTest::ReadSkew},
      {"G-single, with predicates", &IsolationTest::PredicateSkew},
      {"G-single, with writes", &IsolationTest::SkewAndWrite},
      {"G2-item: write skew", &IsolationTest::WriteSkew},
      {"G2: phantoms", &IsolationTest::PhantomSkew},
      {"G2, two edges", &IsolationTest::TwoEdges}};
  std::string table =
      "| anomaly | read uncommitted | read committed | repeatable read | serializable |\n"
      "| --- | --- | --- | --- | --- |\n";
  for (const Anomaly& anomaly : anomalies) {
    table += fmt::format("| {} |", anomaly.name);
    for (const kv::Isolation level : kLevels) {
      std::vector<bool> happens;
      for (const Locking locking : {Locking::kOptimistic, Locking::kPessimistic}) {
        for (const bool two_groups : {false, true}) {
          locking_ = Locking::kOptimistic;
          Reset(two_groups);
          locking_ = locking;
          happens.push_back((this->*anomaly.happens)(level));
          for (const auto& [txn, slot] : std::exchange(waiting_, {})) txn->RollBack();
        }
      }
      for (std::size_t i = 1; i < happens.size(); ++i) {
        EXPECT_EQ(happens[0], happens[i])
            << anomaly.name << ", level " << static_cast<int>(level) << ": one group and two, or "
            << "optimistic and pessimistic locking, differ: " << i;
      }
      table += happens[0] ? " allowed |" : " never |";
    }
    table += "\n";
  }
  std::printf("%s", table.c_str());
  std::ifstream file(FLOTILLA_ISOLATION_TABLE);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(text.find(table), std::string::npos)
      << FLOTILLA_ISOLATION_TABLE << " has another table";
}

}  // namespace
}  // namespace flotilla
