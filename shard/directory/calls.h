// What people and nodes ask of the directory, and what it answers. Plain data.
//
// Whoever asks gets the answer once the change is committed; `version` says from which image on it
// can be seen. What takes long becomes a job, whose id is the answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/status.h"
#include "shard/directory/edits.h"

namespace flotilla {

// KEYSPACE_EXISTS, BAD_REQUEST, NO_QUORUM (too few nodes). Answered once the keyspace's groups have
// leaders, or at the deadline.
struct CreateKeyspaceCall {
  KeyspaceSpec spec;
};

// What is given changes. KEYSPACE_NOT_FOUND, BAD_REQUEST. The balancer follows.
struct AlterKeyspaceCall {
  std::string name;
  std::optional<std::uint32_t> replicas = {};
  std::optional<std::vector<std::string>> apart = {};
  std::optional<Labels> require = {};
  std::optional<Duration> retention = {};
};

// It takes no requests from the answer on; a job removes its shards. KEYSPACE_NOT_FOUND,
// BAD_REQUEST for `default`.
struct DropKeyspaceCall {
  std::string name;
};

// A job. SHARD_NOT_FOUND; SHARD_BUSY while another job is about the shard; BAD_REQUEST when there
// is nothing between that could be split.
struct SplitCall {
  GroupId group;
  std::string key;  // encoded, a slot's start or a key in the shard; empty: in the middle
};

// A job: the shard takes in its right neighbour. Errors as of a split.
struct MergeCall {
  GroupId left;
};

// A job: a replica goes from one node to another; without `from` one is added, without `to` one is
// removed. Errors as of a split; NODE_NOT_FOUND. The shard stays where it was put (`pinned`).
struct MoveCall {
  GroupId group;
  NodeId from;
  NodeId to;
};

// A job that has ended is left as it is. JOB_NOT_FOUND.
struct CancelJobCall {
  JobId job;
};

// kActive: takes replicas again. A job: kDraining: the balancer empties the node, which may come
// back; kDecommissioned: that, and the node is removed from the cluster. NODE_NOT_FOUND;
// BAD_REQUEST when it was decommissioned before; MEMBERSHIP_REFUSED when no other node is active.
struct SetNodeRoleCall {
  NodeId node;
  NodeRole role = NodeRole::kActive;
};

// What the balancer would do, and why, as text. With `node`: as if that were draining.
struct PlanCall {
  NodeId node;
};

// What the leaders of shards have told of them lately.
struct SurveyCall {};

using DirectoryCall =
    std::variant<CreateKeyspaceCall, AlterKeyspaceCall, DropKeyspaceCall, SplitCall, MergeCall,
                 MoveCall, CancelJobCall, SetNodeRoleCall, PlanCall, SurveyCall>;

// A shard as its leader told of it.
struct ShardSurvey {
  GroupId group;
  NodeId leader;  // none: nobody has told
  std::uint64_t bytes = 0;
  std::uint64_t keys = 0;
  double reads_per_s = 0;
  double writes_per_s = 0;
};

struct DirectoryAnswer {
  Status status;
  Timestamp version;
  kv::KeyspaceId keyspace{0};       // CreateKeyspaceCall
  JobId job;                        // of calls that begin one
  std::string text;                 // PlanCall
  std::vector<ShardSurvey> shards;  // SurveyCall
};

// The edit that a call asks for, and in `answer` what it makes. Nothing for calls that only look.
StatusOr<DirectoryEdit> EditFor(const DirectoryCall& call, const DirectoryImage& image,
                                Timestamp now, DirectoryAnswer& answer);

}  // namespace flotilla
