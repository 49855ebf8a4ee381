// The plain data of consensus: terms, entries, configurations, hard state.
//
// Standard library and the std-only headers of base/ alone; so in all of raft/core.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/types.h"

namespace flotilla::raft {

using Term = Strong<struct TermTag>;
// Position in a group's log; the first entry has index 1. 0: before the first.
using Index = Strong<struct IndexTag>;

enum class EntryKind : std::uint8_t {
  kNoop = 0,           // the first entry of every term (Raft thesis, 6.4)
  kCommand = 1,        // for the state machine
  kConfiguration = 2,  // payload: EncodeConfiguration()
  kControl = 3,        // for the state machine: a change of itself; to the core, a command
};
inline constexpr EntryKind kLastEntryKind = EntryKind::kControl;

struct Entry {
  Term term;
  Index index;
  EntryKind kind = EntryKind::kNoop;
  Bytes payload;

  bool operator==(const Entry&) const = default;
};

// Where a log ends. One that ends later, by its term first, has all of an earlier one that is
// committed (5.4.1).
struct LogEnd {
  Term term = {};
  Index index = {};

  auto operator<=>(const LogEnd&) const = default;
};

// What a node must have on disk before it answers (Figure 2). The commit index may lag: it saves
// replay at start-up and is never ahead of the entries that are durable with it.
struct HardState {
  Term term;
  NodeId vote;
  Index commit;
  // Where the log ended that the node had of the group when it forgot that (Forgetting(),
  // log/log.h). Of what it acknowledged then it lacks some until its log has come as far again:
  // before, it neither votes nor stands.
  LogEnd forgotten = {};

  bool operator==(const HardState&) const = default;
};

// Who takes part (section 6 of the paper, chapter 4 of the thesis). While `outgoing` is not empty
// the configuration is joint: every decision needs a majority of `voters` and one of `outgoing`.
// A configuration is in force from the moment that its entry is appended.
struct Configuration {
  std::set<NodeId> voters;
  std::set<NodeId> outgoing;  // the old voters of a joint configuration
  std::set<NodeId> learners;  // receive the log, never count, never campaign
  // Learners-to-be that are still voters in `outgoing`; they become learners when it is left.
  std::set<NodeId> learners_next;
  // Not read by the core: the driver keeps addresses and the next free node id here.
  std::string context;

  bool joint() const { return !outgoing.empty(); }
  bool Contains(NodeId node) const {
    return IsVoter(node) || learners.contains(node) || learners_next.contains(node);
  }
  bool IsVoter(NodeId node) const { return voters.contains(node) || outgoing.contains(node); }

  bool operator==(const Configuration&) const = default;
};

std::string EncodeConfiguration(const Configuration& configuration);
// False when the bytes are not a configuration.
bool DecodeConfiguration(std::string_view bytes, Configuration& configuration);

// What stands in for the log's prefix up to and including `index`.
struct SnapshotMark {
  Index index;
  Term term;
  Configuration configuration;

  bool operator==(const SnapshotMark&) const = default;
};

// A half-open run of the log: [first, end).
struct IndexRange {
  Index first;
  Index end;

  bool empty() const { return first >= end; }
  std::uint64_t size() const { return empty() ? 0 : end - first; }
  bool operator==(const IndexRange&) const = default;
};

}  // namespace flotilla::raft
