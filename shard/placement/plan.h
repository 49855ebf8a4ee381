// Plan: what the balancer would do, in order of urgency, with its reasons; and why it can do no
// more. Plain data, and its text for people (the dry run).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shard/directory/descriptors.h"

namespace flotilla {

enum class ActionKind : std::uint8_t {
  kAddReplica = 1,      // on `to`
  kMoveReplica = 2,     // from `from` to `to`; if `from` leads, `to` is to lead
  kRemoveReplica = 3,   // on `from`
  kTransferLeader = 4,  // from `from` to `to`
  kSplit = 5,           // at `key`
  kMerge = 6,           // with its right neighbour `other`
  // Of the directory's group: `to`, a learner, votes instead of `from`, which becomes one. Without
  // `to` nobody does; without `from`, `to` votes beside the others.
  kReplaceVoter = 7,
};

// What for; the most urgent first.
enum class Purpose : std::uint8_t {
  kRepair = 1,      // lost replicas, missing ones, ones too many
  kDrain = 2,       // off nodes that are to be empty
  kConstraint = 3,  // labels
  kRing = 4,        // where the ring of a hash keyspace wants its shards
  kReplicas = 5,    // as many replicas, bytes and load on each node
  kLeaders = 6,     // as many leaders and load on each node
  kLoad = 7,        // splits, merges
};
std::string_view PurposeText(Purpose purpose);

struct Action {
  ActionKind kind = ActionKind::kMoveReplica;
  Purpose purpose = Purpose::kRepair;
  GroupId group;
  // The shard's when the plan was made. Whoever carries the action out does nothing if the shard
  // has another one by now: the next plan knows better.
  Epoch epoch;
  NodeId from;
  NodeId to;
  bool learner = false;  // the replica is one
  GroupId other;         // kMerge
  std::string key;       // kSplit; encoded
  std::string reason;    // for people
  // Why it is not for now: a limit, in words; empty: to be started.
  std::string waits_for;
};

// Why something that should be done cannot be.
struct Obstacle {
  std::string text;
  std::uint32_t shards = 0;  // how many it concerns; 0: it is about nodes
  GroupId example;
};

struct Plan {
  // To be started now. At most one for a shard.
  std::vector<Action> actions;
  // To follow, with what each waits for; whoever carries out the plan leaves them alone, as the
  // next plan will have them again. For people.
  std::vector<Action> later;
  std::vector<Obstacle> obstacles;
  // Nothing to do, now or later.
  bool Settled() const { return actions.empty() && later.empty(); }
};

// "move shard 12 from node 3 to node 5".
std::string ActionText(const Action& action);

// A line for each action and each obstacle, with its reason; of the actions that wait only the
// first `later_max`.
std::string PlanText(const Plan& plan, std::size_t later_max = 20);

}  // namespace flotilla
