// Membership: adds, removes and promotes members of a group, on its leader.
//
// Every change is one configuration entry; a caller is answered once it has been applied and the
// joint configuration has been left, be it that the change is that of an earlier request: what an
// entry says that may still be lost is no answer (least of all an id, which another would get,
// too). A change that another one, or a new leader's first entry, holds up waits for it, until its
// deadline. Learners that asked for it are promoted as soon as they have caught up. All on the
// group's raft strand.
//
// The members of the directory's group are all nodes of the cluster: it is their registry, which
// gives ids and keeps addresses (members.h). Of those that ask for it the first few become voters,
// the others stay learners. Other groups know their members by id alone.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/function.h"
#include "base/status.h"
#include "raft/group.h"
#include "shard/members.h"

namespace flotilla {

class Membership {
 public:
  Membership(GroupId id, raft::Group* group, const Clock* clock);

  // The directory's group: a node as a learner, with the next free id. A node that is a member
  // already, by its uuid, gets its id again, and its address changed if it has moved. `member`: the
  // node has that id, and takes no other: it is NODE_NOT_FOUND if it was removed.
  // Others: the node `member` as a learner.
  void Add(NodeId member, NodeUuid uuid, const std::string& address, bool promote,
           MonoTime deadline, UniqueFunction<void(StatusOr<NodeId>)> done);
  // A voter or learner. The leader itself must have handed leadership over before.
  // MEMBERSHIP_REFUSED when too few of the voters that remain are running.
  void Remove(NodeId node, MonoTime deadline, UniqueFunction<void(StatusOr<NodeId>)> done);
  void Promote(NodeId node, MonoTime deadline, UniqueFunction<void(StatusOr<NodeId>)> done);
  // In one change: `voter` becomes a learner, and the learner `by` votes instead; no `by`: nobody
  // does; no `voter`: `by` votes, too, if one is lacking. MEMBERSHIP_REFUSED while `voter` is
  // running, or `by` has yet to catch up.
  void ReplaceVoter(NodeId voter, NodeId by, MonoTime deadline,
                    UniqueFunction<void(StatusOr<NodeId>)> done);

  // Looks again at what waits, and promotes learners that may be. Called on every run of the group.
  void Progress();
  // Tries the automatic promotions; a few times a second.
  void PromoteWaiting();
  // A configuration is in force.
  void OnConfiguration(const raft::Configuration& configuration);
  // Somebody waits for an answer, or a learner for its promotion.
  bool busy() const { return !waits_.empty() || !later_.empty() || promotion_waits_; }
  // This node does not lead any more.
  void OnDeposed();

 private:
  using Done = UniqueFunction<void(StatusOr<NodeId>)>;
  struct Wait {
    MonoTime deadline;
    raft::Index index;  // of the configuration entry
    NodeId node;        // whom it is about
    Done done;
  };
  // A request that waits until the group can change its members.
  struct Later {
    MonoTime deadline;
    Done done;
    UniqueFunction<void(Done)> again;
  };

  bool registry() const { return id_ == kDirectoryGroup; }
  void AddById(NodeId member, bool promote, MonoTime deadline, Done done);
  StatusOr<Members> Current() const;
  void RemoveSafely(NodeId node, MonoTime deadline, MonoTime patient_until, Done done);
  void ReplaceLost(NodeId voter, NodeId by, MonoTime deadline, MonoTime patient_until, Done done);
  // As the leader has heard them lately. `assumed`: or will have, for all that it knows.
  std::size_t CountActive(const std::set<NodeId>& nodes, bool assumed) const;
  bool HasActiveMajority(const std::set<NodeId>& voters) const;
  // `again` is the whole request, for when another change or a new leader is in the way.
  void Change(NodeId node, raft::MembershipChange change, MonoTime deadline, Done done,
              UniqueFunction<void(Done)> again);
  // That a node was removed, once that cannot be lost any more.
  void AnswerRemoved(const std::string& who, MonoTime deadline, Done done);
  // Answers once the configuration that is in force is sure to stay.
  void AwaitCurrent(NodeId node, MonoTime deadline, Done done);
  bool Applied(raft::Index configuration_index) const;
  void TryLater();
  Status Refusal(raft::MembershipRefusal refusal) const;

  const GroupId id_;
  raft::Group* const group_;
  const Clock* const clock_;
  std::vector<Wait> waits_;   // bounded
  std::vector<Later> later_;  // bounded
  bool promotion_waits_ = false;
};

}  // namespace flotilla
