// ListDependencies: which transactions come before which others, as the lists tell that they saw
// and appended (tests/sim/list_history.h), and what no order could explain.
//
// A version of a list comes after the one that its writer had read: that much of the order of
// versions is certain, also where an update was lost. From it follow (Adya: Weak Consistency: A
// Generalized Theory and Optimistic Implementations for Distributed Transactions, 1999):
//   ww  who wrote a version ─▶ who wrote one that follows from it
//   wr  who wrote a version ─▶ who read it
//   rw  who read a version  ─▶ who wrote one that follows from it
//   rt  who was told of its commit ─▶ who began afterwards
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/list_history.h"

namespace flotilla::sim {

enum class ListAnomalyKind : std::uint8_t {
  kMadeUp,            // a list that nobody has written
  kInternal,          // a transaction does not see what it saw, or did, before
  kAbortedRead,       // G1a
  kIntermediateRead,  // G1b
  kLostUpdate,        // P4
  kStaleRead,         // of what had been overwritten before the transaction began
  kDirtyWrite,        // G0
  kCircular,          // G1c
  kReadSkew,          // G-single
  kLongFork,          // G-nonadjacent
  kWriteSkew,         // G2
};
const char* NameOf(ListAnomalyKind kind);

struct ListAnomaly {
  ListAnomalyKind kind;
  std::string how;
};

struct ListDependency {
  enum class Kind : std::uint8_t { kWw, kWr, kRw, kRt };
  Kind kind;
  std::size_t from;  // places in the history
  std::size_t to;
  std::string key = {};
};

class ListDependencies {
 public:
  // The history outlives it.
  explicit ListDependencies(const std::vector<ListTxn>& history);

  const std::vector<ListDependency>& all() const { return all_; }
  // What can be seen without looking for cycles.
  const std::vector<ListAnomaly>& anomalies() const { return anomalies_; }
  bool committed(std::size_t txn) const { return committed_[txn]; }

 private:
  struct Version {
    std::size_t writer = 0;
    std::string key;
    List list;
    bool final = true;  // its writer appended nothing more to it
  };
  using Place = std::pair<std::string, ListElement>;  // a version, by its last element; 0: none yet
  // Of one transaction, what others had written.
  struct Seen {
    Place version;
    bool appended = false;
  };

  void NoteVersions();
  void NoteReads(std::size_t txn);
  void Look(std::size_t txn, const ListStep& step);
  void Depend();
  void DependOnTime();
  void Add(ListDependency::Kind kind, std::size_t from, std::size_t to,
           const std::string& key = "");
  void Report(ListAnomalyKind kind, std::string how) {
    anomalies_.push_back({kind, std::move(how)});
  }
  std::string Name(std::size_t txn) const;

  const std::vector<ListTxn>& history_;
  std::map<ListElement, Version> versions_;
  std::vector<std::vector<Seen>> seen_;
  std::vector<bool> committed_;
  std::vector<ListDependency> all_;
  std::vector<ListAnomaly> anomalies_;
};

// At which moment its reads are: one for all of them, its own.
inline bool ReadsSnapshot(const ListTxn& txn) {
  return txn.read_only || txn.isolation >= kv::Isolation::kRepeatableRead;
}
// It reads nothing that is not committed.
inline bool ReadsCommitted(const ListTxn& txn) {
  return txn.read_only || txn.isolation >= kv::Isolation::kReadCommitted;
}

}  // namespace flotilla::sim
