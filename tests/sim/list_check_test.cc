// Histories with one anomaly each, and clean ones: what is found, and at which levels it counts.

#include "tests/sim/list_check.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/sim/cycles.h"

namespace flotilla::sim {
namespace {

constexpr kv::Isolation kRU = kv::Isolation::kReadUncommitted;
constexpr kv::Isolation kRC = kv::Isolation::kReadCommitted;
constexpr kv::Isolation kRR = kv::Isolation::kRepeatableRead;
constexpr kv::Isolation kSer = kv::Isolation::kSerializable;

// All at the same time, unless told otherwise.
struct T : ListTxn {
  explicit T(kv::Isolation level = kSer) {
    isolation = level;
    begun = MonoTime(std::chrono::milliseconds(0));
    ended = MonoTime(std::chrono::milliseconds(1'000));
  }
  T& Read(const std::string& key, List found) {
    steps.push_back({.key = key, .found = std::move(found)});
    return *this;
  }
  T& Append(const std::string& key, List found, ListElement element) {
    steps.push_back({.key = key, .found = std::move(found), .appended = element});
    return *this;
  }
  T& From(int begun_ms, int ended_ms) {
    begun = MonoTime(std::chrono::milliseconds(begun_ms));
    ended = MonoTime(std::chrono::milliseconds(ended_ms));
    return *this;
  }
  T& Fate(ListFate ended_so) {
    fate = ended_so;
    if (fate != ListFate::kCommitted) ended.reset();
    return *this;
  }
  T& ReadOnly() {
    read_only = true;
    return *this;
  }
};

std::string Found(std::vector<T> history) {
  std::vector<ListTxn> txns;
  for (T& one : history) {
    one.number = txns.size() + 1;
    txns.push_back(std::move(one));
  }
  const auto found = FindAnomaly(txns);
  return found ? NameOf(found->kind) : "";
}

TEST(ListCheck, OneAfterTheOtherIsClean) {
  EXPECT_EQ(Found({}), "");
  EXPECT_EQ(Found({T().Append("x", {}, 1).Append("y", {}, 2).From(0, 1),
                   T().Append("x", {1}, 3).Append("x", {1, 3}, 4).Read("x", {1, 3, 4}).From(2, 3),
                   T().Read("x", {1, 3, 4}).Read("y", {2}).From(4, 5),
                   T().Append("y", {2}, 5).Read("x", {1, 3, 4}).From(6, 7)}),
            "");
}

TEST(ListCheck, AtTheSameTimeAnyOrderIsClean) {
  EXPECT_EQ(Found({T().Append("x", {}, 1), T().Read("x", {}).Append("y", {}, 2),
                   T().Read("x", {1}).Read("y", {2}), T().Read("x", {}).Read("y", {2})}),
            "");
}

TEST(ListCheck, ListsThatNobodyWroteAreFound) {
  EXPECT_EQ(Found({T().Read("x", {7})}), "made up");
  EXPECT_EQ(Found({T().Append("x", {}, 1), T().Append("x", {1}, 2), T().Read("x", {2})}),
            "made up");
  EXPECT_EQ(Found({T().Append("x", {}, 1), T().Read("x", {1, 1})}), "made up");
  EXPECT_EQ(Found({T().Append("x", {}, 1), T().Read("y", {1})}), "made up");
}

TEST(ListCheck, ATransactionSeesItsOwnWritesAndItsSnapshot) {
  EXPECT_EQ(Found({T(kRU).Append("x", {}, 1).Read("x", {})}), "internal");
  for (const kv::Isolation level : {kRU, kRC, kRR, kSer}) {
    const bool snapshot = level >= kRR;
    EXPECT_EQ(Found({T().Append("x", {}, 1), T(level).Read("x", {}).Read("x", {1})}),
              snapshot ? "internal" : "");
  }
  EXPECT_EQ(Found({T().Append("x", {}, 1), T(kRU).ReadOnly().Read("x", {}).Read("x", {1})}),
            "internal");
}

TEST(ListCheck, AbortedReads) {
  for (const kv::Isolation level : {kRU, kRC, kRR, kSer}) {
    EXPECT_EQ(Found({T().Append("x", {}, 1).Fate(ListFate::kAborted), T(level).Read("x", {1})}),
              level == kRU ? "" : "G1a: aborted read");
  }
  // Whoever read it may have built on it, which is his matter.
  EXPECT_EQ(Found({T().Append("x", {}, 1).Fate(ListFate::kAborted), T(kRU).Append("x", {1}, 2),
                   T().Read("x", {1, 2})}),
            "");
}

TEST(ListCheck, IntermediateReads) {
  for (const kv::Isolation level : {kRU, kRC, kRR, kSer}) {
    EXPECT_EQ(Found({T().Append("x", {}, 1).Append("x", {1}, 2), T(level).Read("x", {1})}),
              "G1b: intermediate read");
  }
}

// What is not known counts once it was seen.
TEST(ListCheck, UnknownOutcomes) {
  const auto history = [](bool seen) {
    std::vector<T> all{T().Append("x", {}, 1).Append("y", {}, 2).Fate(ListFate::kUnknown),
                       T().Read("x", {}).Read("y", {})};
    if (seen) all.push_back(T().Read("x", {1}).Read("y", {}));
    return all;
  };
  EXPECT_EQ(Found(history(false)), "");
  EXPECT_EQ(Found(history(true)), "G-single: read skew");
}

// 1 and 2 overwrite each other, on two lists.
TEST(ListCheck, DirtyWrites) {
  const auto history = [](kv::Isolation level) {
    return std::vector<T>{T(level).Append("x", {}, 1).Append("y", {4}, 2),
                          T(level).Append("x", {1}, 3).Append("y", {}, 4)};
  };
  for (const kv::Isolation level : {kRU, kRC, kRR, kSer}) {
    EXPECT_EQ(Found(history(level)), "G0: dirty write");
  }
}

TEST(ListCheck, WritesAgainstRealTime) {
  EXPECT_EQ(Found({T(kRU).Append("x", {2}, 1).From(0, 10), T(kRU).Append("x", {}, 2).From(20, 30)}),
            "G0: dirty write");
}

TEST(ListCheck, CircularInformationFlow) {
  for (const kv::Isolation level : {kRU, kRC, kRR, kSer}) {
    EXPECT_EQ(Found({T(level).Append("x", {}, 1).Read("y", {2}),
                     T(level).Append("y", {}, 2).Read("x", {1})}),
              level == kRU ? "" : "G1c: circular information flow");
  }
}

TEST(ListCheck, LostUpdates) {
  for (const kv::Isolation level : {kRU, kRC, kRR, kSer}) {
    EXPECT_EQ(Found({T(level).Append("x", {}, 1), T(level).Append("x", {}, 2)}),
              level >= kRR ? "P4: lost update" : "");
    // Only one of them promises anything, and it may have been the first.
    EXPECT_EQ(Found({T(level).Append("x", {}, 1), T(kRC).Append("x", {}, 2)}), "");
  }
}

// It was overwritten, and that was told, before anybody began to read.
TEST(ListCheck, StaleReads) {
  for (const kv::Isolation level : {kRU, kRC, kRR, kSer}) {
    EXPECT_EQ(Found({T().Append("x", {}, 1).From(0, 10), T(level).Read("x", {}).From(11, 20)}),
              "stale read");
    EXPECT_EQ(Found({T().Append("x", {}, 1).From(0, 10), T(level).Read("x", {}).From(10, 20)}), "");
  }
}

TEST(ListCheck, ReadSkew) {
  for (const kv::Isolation level : {kRU, kRC, kRR, kSer}) {
    const std::string wanted = level >= kRR ? "G-single: read skew" : "";
    const T writer = T(kRC).Append("x", {}, 1).Append("y", {}, 2);
    EXPECT_EQ(Found({writer, T(level).Read("x", {}).Read("y", {2})}), wanted);
    // Of a read-only one at every level.
    EXPECT_EQ(Found({writer, T(level).ReadOnly().Read("x", {}).Read("y", {2})}),
              "G-single: read skew");
    // By way of another.
    EXPECT_EQ(Found({T(kRC).Append("x", {}, 1), T(kRC).Read("x", {1}).Append("y", {}, 2),
                     T(level).Read("x", {}).Read("y", {2})}),
              wanted);
    // What a third read that does not promise to read what is committed says nothing of any order.
    EXPECT_EQ(Found({T(kRC).Append("x", {}, 1), T(kRU).Read("x", {1}).Append("y", {}, 2),
                     T(level).Read("x", {}).Read("y", {2})}),
              "");
  }
}

TEST(ListCheck, ReadSkewAgainstRealTime) {
  for (const kv::Isolation level : {kRU, kRC, kRR, kSer}) {
    EXPECT_EQ(Found({T(kRC).Append("x", {}, 1).From(0, 10), T(kRC).Append("y", {}, 2).From(20, 30),
                     T(level).Read("x", {}).Read("y", {2}).From(5, 40)}),
              level >= kRR ? "G-single: read skew" : "");
  }
}

// Two that are written at the same time are seen in either order.
TEST(ListCheck, LongFork) {
  for (const kv::Isolation level : {kRU, kRC, kRR, kSer}) {
    EXPECT_EQ(Found({T(kRC).Append("x", {}, 1), T(kRC).Append("y", {}, 2),
                     T(level).Read("x", {1}).Read("y", {}), T(level).Read("x", {}).Read("y", {2})}),
              level >= kRR ? "G-nonadjacent: long fork" : "");
  }
}

TEST(ListCheck, WriteSkew) {
  const auto history = [](kv::Isolation one, kv::Isolation two) {
    return std::vector<T>{T(one).Read("x", {}).Append("y", {}, 1),
                          T(two).Read("y", {}).Append("x", {}, 2)};
  };
  for (const kv::Isolation level : {kRU, kRC, kRR}) {
    EXPECT_EQ(Found(history(level, level)), "");
    EXPECT_EQ(Found(history(level, kSer)), "") << "the one that promises it may have been first";
  }
  EXPECT_EQ(Found(history(kSer, kSer)), "G2: write skew");
}

// Fekete, O'Neil, O'Neil: A Read-Only Transaction Anomaly Under Snapshot Isolation, 2004.
TEST(ListCheck, ReadOnlyAnomaly) {
  const auto history = [](kv::Isolation level) {
    return std::vector<T>{T(level).Append("x", {}, 1).Read("y", {}), T(level).Append("y", {}, 2),
                          T(level).ReadOnly().Read("y", {2}).Read("x", {})};
  };
  EXPECT_EQ(Found(history(kRR)), "");
  EXPECT_EQ(Found(history(kSer)), "G2: write skew");
}

// Each scanned for rows, found none of the other's, and added one.
TEST(ListCheck, Phantoms) {
  EXPECT_EQ(Found({T().Read("row1", {}).Read("row2", {}).Append("row1", {}, 1),
                   T().Read("row1", {}).Read("row2", {}).Append("row2", {}, 2)}),
            "G2: write skew");
}

TEST(ListCheck, AlongLongWays) {
  std::vector<T> chain;
  constexpr ListElement kLength = 500;
  for (ListElement i = 1; i <= kLength; ++i) {
    chain.push_back(T().Read("k" + std::to_string(i % kLength), {})
                        .Append("k" + std::to_string((i + 1) % kLength), {}, i));
  }
  EXPECT_EQ(Found(chain), "G2: write skew");
  chain.pop_back();
  EXPECT_EQ(Found(chain), "");
}

TEST(Cycles, AreFoundAsShortAsTheyAre) {
  const auto any = [](const Edge&) { return true; };
  EXPECT_TRUE(FindCycle(3, {{0, 1}, {1, 2}, {0, 2}}, any).empty());
  const std::vector<Edge> edges{{0, 1}, {1, 2}, {2, 3}, {3, 0}, {2, 1, 7}, {4, 0}};
  EXPECT_EQ(FindCycle(5, edges, any).size(), 2u);
  const auto through = [](const Edge& edge) { return edge.from == 3; };
  const std::vector<Edge> whole = FindCycle(5, edges, through);
  EXPECT_EQ(whole.size(), 4u);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(whole[i].to, whole[(i + 1) % whole.size()].from);
  }
  EXPECT_TRUE(FindCycle(5, edges, [](const Edge& edge) { return edge.from == 4; }).empty());
}

}  // namespace
}  // namespace flotilla::sim
