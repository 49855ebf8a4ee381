// ClusterView: what the balancer knows when it makes a plan: the cluster at one moment, as the
// directory's leader sees it. Plain data.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "shard/directory/descriptors.h"

namespace flotilla {

enum class Liveness : std::uint8_t { kAlive = 1, kSuspect = 2, kDead = 3 };

struct NodeView {
  NodeRecord record;
  Liveness liveness = Liveness::kAlive;
  // Since when, on the clock of whoever made the view; a new leader counts from when it began.
  MonoTime since;
  std::uint64_t bytes_used = 0;  // of record.disk_bytes
};

struct ShardView {
  ShardDescriptor descriptor;
  NodeId leader;            // none: nobody leads, or nobody knows who
  std::set<NodeId> behind;  // replicas that have not caught up with the leader
  std::uint64_t bytes = 0;
  // As its leader counts them, averaged over a while.
  double reads_per_s = 0;
  double writes_per_s = 0;
  // Encoded keys below which about half of the requests, or of the bytes, lie; empty when none is
  // known that leaves a good part on either side (there may be but one hot key).
  std::string load_median;
  std::string bytes_median;
  // When its range, its members or its leader last changed, or when it was first watched.
  MonoTime changed;

  double load() const { return reads_per_s + writes_per_s; }
};

// Who votes on the directory, of whose group all nodes are members. Empty: not known, or about to
// change.
struct DirectoryMembers {
  std::set<NodeId> voters;
  std::set<NodeId> learners;
  std::set<NodeId> behind;  // those that have not caught up with the leader
};

// Nodes that come become voters up to this many; the others follow as learners.
inline constexpr std::size_t kDirectoryVotersMax = 5;

// Whether a voter has gone, or never came: with one more they stop only when more are lost, and
// need no larger majority.
inline bool LacksDirectoryVoter(std::size_t voters) {
  return voters > 0 && voters % 2 == 0 && voters < kDirectoryVotersMax;
}

struct ClusterView {
  MonoTime now;
  DirectoryMembers directory;
  std::vector<KeyspaceDescriptor> keyspaces;
  // A shard of a keyspace that is not among them is left alone.
  std::vector<ShardView> shards;
  std::vector<NodeView> nodes;
  std::vector<JobRecord> jobs;  // those that have ended do no harm
};

}  // namespace flotilla
