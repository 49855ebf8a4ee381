// Short words for tests that talk to one core by hand.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "tests/raft/core/cluster.h"

namespace flotilla::raft {

inline Message From(std::uint64_t from, std::uint64_t to, std::uint64_t term, MessageBody body) {
  return {N(from), N(to), T(term), std::move(body)};
}

inline AppendRequest Append(std::uint64_t previous, std::uint64_t previous_term,
                            std::uint64_t commit, std::vector<Entry> entries = {}) {
  return {I(previous), T(previous_term), I(commit), std::move(entries)};
}

inline AppendReply Accepted(std::uint64_t match) {
  AppendReply reply;
  reply.accepted = true;
  reply.match = I(match);
  return reply;
}

inline Heartbeat Beat(std::uint64_t commit, std::uint64_t round) {
  return {I(commit), round, false};
}

// Entries of one term, one after the other.
inline std::vector<Entry> Entries(std::uint64_t term, std::uint64_t first, std::uint64_t count) {
  std::vector<Entry> entries;
  for (std::uint64_t i = 0; i < count; ++i) entries.push_back(MakeEntry(term, first + i));
  return entries;
}

// The bodies of one kind on the network; to one node when it is named.
template <class Body>
std::vector<Body> Sent(Cluster& cluster, std::uint64_t to = 0) {
  std::vector<Body> found;
  for (const Message& message : cluster.network()) {
    if (to != 0 && message.to != N(to)) continue;
    if (const Body* body = std::get_if<Body>(&message.body)) found.push_back(*body);
  }
  return found;
}

// The terms of a core's log after its start.
inline std::vector<std::uint64_t> Terms(Cluster& cluster, std::uint64_t id) {
  std::vector<std::uint64_t> terms;
  const Core& core = cluster.core(id);
  for (Index i = core.Status().snapshot.index.Next(); i <= core.last_index(); ++i) {
    terms.push_back(core.TermAt(i)->value());
  }
  return terms;
}

using Nodes = std::set<NodeId>;

}  // namespace flotilla::raft
