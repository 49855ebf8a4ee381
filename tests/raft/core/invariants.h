// Invariants: the safety properties of Figure 3, checked as a cluster goes, from the outside.
//
// Told of every leader, every committed entry and every durable disk, it keeps the one true log of
// what was ever committed. A violation CHECK-fails with what was seen.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "raft/core/types.h"

namespace flotilla::raft {

class Invariants {
 public:
  using TermAt = std::function<Term(Index)>;
  using Has = std::function<bool(NodeId)>;

  // Election safety and leader completeness. `term_at` looks into the new leader's log; zero where
  // it was compacted.
  void OnLeader(Term term, NodeId node, const TermAt& term_at);

  // State machine safety: everybody commits the same entry at an index.
  void OnCommitted(NodeId node, const Entry& entry);
  // A leader's commit index is `commit`: a quorum must have that entry on disk (`has`).
  void OnLeaderCommit(Index commit, const Configuration& configuration, const Has& has);

  // Log matching: two logs that agree on an entry agree on all before it.
  static void CheckLogsMatch(const std::vector<Entry>& a, const std::vector<Entry>& b);

  // Reads see what the group had committed when they were asked, and are answered once.
  void OnReadAsked(NodeId node, std::uint64_t context);
  void OnReadConfirmed(NodeId node, std::uint64_t context, Index index);
  void OnReadRefused(NodeId node, std::uint64_t context);
  // The node forgot its reads.
  void OnCrash(NodeId node);
  std::size_t reads_unanswered() const { return reads_.size(); }

  Index highest_commit() const { return highest_commit_; }
  std::size_t elections() const { return leaders_.size(); }

 private:
  std::map<Term, NodeId> leaders_;
  std::map<Index, Entry> committed_;
  Index highest_commit_;
  std::map<std::pair<NodeId, std::uint64_t>, Index> reads_;
};

}  // namespace flotilla::raft
