// Admin: changes of a group's members and leadership, asked on any node, done on the leader.
//
// Requests that find no leader are tried again until their deadline. A request whose answer was
// lost is OUTCOME_UNKNOWN; repeating any of them is harmless.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/function.h"
#include "base/status.h"
#include "raft/peer_calls.h"
#include "shard/members.h"
#include "shard/node.h"
#include "shard/replica.h"

namespace flotilla {

enum class AdminVerb : std::uint8_t {
  kAddAddress = 1,  // a running node that is nobody's member yet, by its address
  kAddMember = 2,   // the same, by its uuid: it asked itself
  kRemove = 3,
  kPromote = 4,
  kTransfer = 5,
  kSnapshot = 6,  // on the node named, not on the leader
  kListMembers = 7,
  kControl = 8,   // a change of the group itself (kv/control.h)
  kMiddle = 9,    // where it could be split
  kInspect = 10,  // its state on the node named
  // The learner `node` votes instead of `replaced`, which becomes one; no `node`: nobody does; no
  // `replaced`: it votes, too, if one is lacking.
  kReplaceVoter = 11,
};

struct AdminRequest {
  AdminVerb verb = AdminVerb::kListMembers;
  GroupId group = kFirstDataGroup;
  NodeId node;
  NodeUuid uuid;
  std::string address;
  bool promote = false;
  std::string control;  // kControl: encoded
  NodeId replaced;      // kReplaceVoter
};

struct AdminResult {
  Status status;
  NodeId node;                      // kAdd*: the new id; kTransfer: the new leader
  raft::Index index;                // kSnapshot: durable; kInspect: applied; kControl: where it is
  std::uint64_t bytes = 0;          // kSnapshot
  std::vector<MemberInfo> members;  // kListMembers
  std::string key;                  // kMiddle: encoded; empty: nowhere
  // kControl, kInspect
  kv::ControlOutcome outcome = kv::ControlOutcome::kApplied;
  kv::ShardRange range;
  // kInspect: what a crash would leave
  raft::Index durable;
  kv::ShardRange durable_range;
};

std::string EncodeAdminRequest(const AdminRequest& request, Duration left);
StatusOr<AdminRequest> DecodeAdminRequest(std::string_view body, Duration& left);
std::string EncodeAdminResult(const AdminResult& result);
StatusOr<AdminResult> DecodeAdminResult(std::string_view body);

// The members of a group as its replica here sees them. Raft strand.
std::vector<MemberInfo> DescribeMembers(const raft::Core& core);

class Admin {
 public:
  using FindReplica = std::function<std::shared_ptr<Replica>(GroupId)>;
  // Of groups that have no replica here.
  struct Elsewhere {
    // Whether the replica here is one that its group has left behind.
    std::function<bool(GroupId)> strays;
    std::function<NodeId(GroupId)> member;  // whom to ask; none: nobody is known
    std::function<void(GroupId, NodeId leader)> note_leader;
  };
  using Done = UniqueFunction<void(AdminResult)>;

  // `strand` runs retries. All outlive the object.
  Admin(const Clock* clock, Strand* strand, raft::PeerCalls* calls, raft::Transport* transport,
        FindReplica find, Elsewhere elsewhere, std::function<std::string(NodeId)> address_of);

  void SetSelf(NodeId self) { self_.store(self.value()); }

  // Any thread; `done` on any thread.
  void Execute(AdminRequest request, MonoTime deadline, Done done);

 private:
  void RunHere(const std::shared_ptr<Replica>& replica, AdminRequest request, MonoTime deadline,
               Done done);
  void RunOnLeader(const std::shared_ptr<Replica>& replica, AdminRequest request, MonoTime deadline,
                   Done done);
  void RunThere(NodeId node, AdminRequest request, MonoTime deadline, Done done);
  void Again(AdminRequest request, MonoTime deadline, Done done, const Status& why);
  void AddAddress(const std::shared_ptr<Replica>& replica, AdminRequest request, MonoTime deadline,
                  Done done);
  void Remove(const std::shared_ptr<Replica>& replica, AdminRequest request, MonoTime deadline,
              Done done);
  void Snapshot(const std::shared_ptr<Replica>& replica, Done done);
  void Control(const std::shared_ptr<Replica>& replica, const AdminRequest& request, Done done);
  static bool OnNodeNamed(AdminVerb verb) {
    return verb == AdminVerb::kSnapshot || verb == AdminVerb::kInspect;
  }
  // On the node named, not on the leader.
  void RunOnNode(const std::shared_ptr<Replica>& replica, const AdminRequest& request, Done done);

  const Clock* const clock_;
  Strand* const strand_;
  raft::PeerCalls* const calls_;
  raft::Transport* const transport_;
  const FindReplica find_;
  const Elsewhere elsewhere_;
  const std::function<std::string(NodeId)> address_of_;
  std::atomic<std::uint64_t> self_{0};
};

}  // namespace flotilla
