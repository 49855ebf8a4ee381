// The identifiers that every layer shares. Standard library only.
#pragma once

#include "base/strong.h"

namespace flotilla {

// One kvd process with one data directory; given by the cluster, never reused. 0: none.
using NodeId = Strong<struct NodeIdTag>;

// One Raft group, and the shard that it replicates. 0: none; 1: the directory.
using GroupId = Strong<struct GroupIdTag>;

// Of a shard: grows at every split, merge and change of members. 0: none.
using Epoch = Strong<struct EpochTag>;

// A moment in the store's order: 46 bits of milliseconds, 18 bits of counter. 0: none.
using Timestamp = Strong<struct TimestampTag>;

// One cluster, drawn at random when it forms. 0: none.
using ClusterId = Strong<struct ClusterIdTag>;

// One client's session of exactly-once writes, drawn at random by the client. 0: no session.
using ClientId = Strong<struct ClientIdTag>;

inline constexpr GroupId kDirectoryGroup{1};
// The group that holds all keys until there is a directory to say otherwise.
inline constexpr GroupId kFirstDataGroup{2};

inline constexpr int kTimestampCounterBits = 18;

}  // namespace flotilla
