#include "shard/admin.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "shard/answers.h"
#include "shard/formation_codec.h"

namespace flotilla {
namespace {

constexpr Duration kRetryPause = std::chrono::milliseconds(100);
constexpr Duration kHelloTimeout = std::chrono::seconds(2);
// An answer may get lost on its way (the asker's address has changed, say): what may be asked
// again is, after this.
constexpr Duration kAttemptMax = std::chrono::seconds(1);

// A second execution changes nothing. Not so a transfer to whomever is best.
bool Repeatable(const AdminRequest& request) {
  return request.verb != AdminVerb::kSnapshot &&
         (request.verb != AdminVerb::kTransfer || request.node);
}

AdminResult Failed(Status status) {
  AdminResult result;
  result.status = std::move(status);
  return result;
}

// Done as callbacks of what makes nodes, and of what is about a node that the caller knows.
auto WithNode(Admin::Done done) {
  return [done = std::move(done)](const StatusOr<NodeId>& outcome) mutable {
    AdminResult result;
    if (outcome.ok()) {
      result.node = *outcome;
    } else {
      result.status = outcome.status();
    }
    done(std::move(result));
  };
}

// It reads a little of the disk.
void FindMiddle(const std::shared_ptr<Replica>& replica, Admin::Done done) {
  replica->group().PostToApply([replica, done = std::move(done)]() mutable {
    StatusOr<std::string> key = replica->store().MiddleKey();
    AdminResult result;
    result.status = key.status();
    if (key.ok()) result.key = *std::move(key);
    done(std::move(result));
  });
}

auto StatusOnly(Admin::Done done) {
  return [done = std::move(done)](const StatusOr<NodeId>& outcome) mutable {
    done(Failed(outcome.status()));
  };
}

}  // namespace

std::vector<MemberInfo> DescribeMembers(const raft::Core& core) {
  const raft::CoreStatus status = core.Status();
  const StatusOr<Members> members = DecodeMembers(status.configuration.context);
  std::vector<MemberInfo> described;
  if (!members.ok()) return described;
  for (const MemberRecord& record : members->records) {
    MemberInfo info{.node = record.node,
                    .address = record.address,
                    .voter = status.configuration.IsVoter(record.node),
                    .match = {},
                    .active = false,
                    .in_snapshot = false};
    if (status.role == raft::Role::kLeader && record.node == status.leader) {
      info.match = status.durable;
      info.active = true;
    }
    for (const raft::FollowerProgress& follower : status.followers) {
      if (follower.node != record.node) continue;
      info.match = follower.match;
      info.active = follower.recently_active;
      info.in_snapshot = follower.state == raft::FollowerProgress::State::kSnapshot;
    }
    described.push_back(std::move(info));
  }
  return described;
}

Admin::Admin(const Clock* clock, Strand* strand, raft::PeerCalls* calls, raft::Transport* transport,
             FindReplica find, Elsewhere elsewhere, std::function<std::string(NodeId)> address_of)
    : clock_(clock),
      strand_(strand),
      calls_(calls),
      transport_(transport),
      find_(std::move(find)),
      elsewhere_(std::move(elsewhere)),
      address_of_(std::move(address_of)) {
  calls_->Handle(raft::PeerMethod::kAdmin, [this](NodeId, std::uint64_t, const Bytes& body,
                                                  raft::PeerCalls::Reply reply) {
    Duration left{0};
    StatusOr<AdminRequest> request = DecodeAdminRequest(body.view(), left);
    if (!request.ok()) {
      reply(Bytes(EncodeAdminResult(Failed(request.status()))));
      return;
    }
    const std::shared_ptr<Replica> replica = find_(request->group);
    if (!replica) {
      reply(Bytes(EncodeAdminResult(Failed(NotLeaderError(request->group, NodeId())))));
      return;
    }
    // Never passed on: the asker looks for the leader.
    RunHere(replica, *std::move(request), clock_->Now() + left,
            [reply = std::move(reply)](AdminResult result) mutable {
              reply(Bytes(EncodeAdminResult(result)));
            });
  });
}

void Admin::Execute(AdminRequest request, MonoTime deadline, Done done) {
  const std::shared_ptr<Replica> replica = find_(request.group);
  const NodeId self(self_.load());
  if (OnNodeNamed(request.verb) && request.node && request.node != self) {
    const NodeId node = request.node;
    RunThere(node, std::move(request), deadline, std::move(done));
    return;
  }
  if (!replica || (!OnNodeNamed(request.verb) && elsewhere_.strays(request.group))) {
    const NodeId member = OnNodeNamed(request.verb) ? NodeId() : elsewhere_.member(request.group);
    if (member && member != self) {
      RunThere(member, std::move(request), deadline, std::move(done));
    } else {
      done(Failed(Error(Reason::kNotReady,
                        fmt::format("this node has no replica of group {}: ask another node",
                                    request.group.value()))));
    }
    return;
  }
  if (OnNodeNamed(request.verb)) {
    RunOnNode(replica, request, std::move(done));
    return;
  }
  const NodeId leader = replica->leader();
  if (replica->leads()) {
    RunOnLeader(replica, std::move(request), deadline, std::move(done));
  } else if (leader && leader != self) {
    RunThere(leader, std::move(request), deadline, std::move(done));
  } else {
    Again(std::move(request), deadline, std::move(done), NotLeaderError(replica->id(), NodeId()));
  }
}

void Admin::RunHere(const std::shared_ptr<Replica>& replica, AdminRequest request,
                    MonoTime deadline, Done done) {
  if (OnNodeNamed(request.verb)) {
    RunOnNode(replica, request, std::move(done));
  } else if (request.verb == AdminVerb::kAddAddress && replica->leads()) {
    AddAddress(replica, std::move(request), deadline, std::move(done));
  } else {
    RunOnLeader(replica, std::move(request), deadline, std::move(done));
  }
}

void Admin::RunOnLeader(const std::shared_ptr<Replica>& replica, AdminRequest request,
                        MonoTime deadline, Done done) {
  if (request.verb == AdminVerb::kAddAddress) {
    AddAddress(replica, std::move(request), deadline, std::move(done));
    return;
  }
  replica->group().Post(
      [this, replica, request = std::move(request), deadline, done = std::move(done)]() mutable {
        if (!replica->leads()) {
          done(Failed(NotLeaderError(request.group, replica->leader())));
          return;
        }
        Membership& membership = replica->membership();
        switch (request.verb) {
          case AdminVerb::kAddMember:
            membership.Add(request.node, request.uuid, request.address, request.promote, deadline,
                           WithNode(std::move(done)));
            return;
          case AdminVerb::kRemove:
            Remove(replica, std::move(request), deadline, std::move(done));
            return;
          case AdminVerb::kPromote:
            membership.Promote(request.node, deadline, StatusOnly(std::move(done)));
            return;
          case AdminVerb::kReplaceVoter:
            membership.ReplaceVoter(request.replaced, request.node, deadline,
                                    StatusOnly(std::move(done)));
            return;
          case AdminVerb::kTransfer:
            replica->TransferLeadership(request.node, deadline, WithNode(std::move(done)));
            return;
          case AdminVerb::kListMembers: {
            AdminResult result;
            result.members = DescribeMembers(replica->group().core());
            for (MemberInfo& member : result.members) {
              if (member.address.empty()) member.address = address_of_(member.node);
            }
            done(std::move(result));
            return;
          }
          case AdminVerb::kControl:
            Control(replica, request, std::move(done));
            return;
          case AdminVerb::kMiddle:
            FindMiddle(replica, std::move(done));
            return;
          case AdminVerb::kAddAddress:
          case AdminVerb::kSnapshot:
          case AdminVerb::kInspect:
            break;
        }
        done(Failed(Error(Reason::kInternal, "an administrative verb took the wrong path")));
      });
}

// On the leader's raft strand.
void Admin::Remove(const std::shared_ptr<Replica>& replica, AdminRequest request, MonoTime deadline,
                   Done done) {
  if (request.node != NodeId(self_.load())) {
    replica->membership().Remove(request.node, deadline, StatusOnly(std::move(done)));
    return;
  }
  // A leader that is to go hands over first, and its successor removes it.
  replica->TransferLeadership(NodeId(), deadline,
                              [this, request = std::move(request), deadline,
                               done = std::move(done)](StatusOr<NodeId> leader) mutable {
                                if (!leader.ok()) {
                                  done(Failed(leader.status()));
                                  return;
                                }
                                RunThere(*leader, std::move(request), deadline, std::move(done));
                              });
}

void Admin::AddAddress(const std::shared_ptr<Replica>& replica, AdminRequest request,
                       MonoTime deadline, Done done) {
  // Its uuid tells whether it is a member already, and keeps a repeated request harmless.
  const std::string address = request.address;
  transport_->CallAddress(
      address, static_cast<std::uint32_t>(raft::PeerMethod::kHello), Bytes(EncodeHello({})),
      kHelloTimeout,
      [this, replica, request = std::move(request), deadline,
       done = std::move(done)](StatusOr<Bytes> answer) mutable {
        if (!answer.ok()) {
          done(Failed(Annotate(answer.status(),
                               fmt::format("no node answers at {}: start it with `--join` first",
                                           request.address))));
          return;
        }
        const StatusOr<Hello> hello = DecodeHello(answer->view());
        if (!hello.ok()) {
          done(Failed(hello.status()));
          return;
        }
        request.verb = AdminVerb::kAddMember;
        request.uuid = hello->uuid;
        RunOnLeader(replica, std::move(request), deadline, std::move(done));
      });
}

void Admin::RunThere(NodeId node, AdminRequest request, MonoTime deadline, Done done) {
  const Duration left = deadline - clock_->Now();
  if (left <= Duration(0)) {
    done(Failed(GivenUp(false, "the deadline passed before a leader was found")));
    return;
  }
  Bytes body(EncodeAdminRequest(request, left));
  const Duration attempt = Repeatable(request) ? std::min(left, kAttemptMax) : left;
  calls_->Call(node, raft::PeerMethod::kAdmin, std::move(body), attempt, {},
               [this, request = std::move(request), deadline,
                done = std::move(done)](StatusOr<Bytes> answer) mutable {
                 if (!answer.ok()) {
                   if (!OnNodeNamed(request.verb)) elsewhere_.note_leader(request.group, NodeId());
                   Again(std::move(request), deadline, std::move(done), answer.status());
                   return;
                 }
                 StatusOr<AdminResult> result = DecodeAdminResult(answer->view());
                 if (!result.ok()) {
                   done(Failed(result.status()));
                 } else if (ReasonOf(result->status) == Reason::kNotLeader) {
                   elsewhere_.note_leader(request.group, LeaderNamedBy(result->status));
                   Again(std::move(request), deadline, std::move(done), result->status);
                 } else {
                   done(*std::move(result));
                 }
               });
}

void Admin::Again(AdminRequest request, MonoTime deadline, Done done, const Status& why) {
  if (clock_->Now() + kRetryPause >= deadline || ReasonOf(why) == Reason::kNodeStopping) {
    if (ReasonOf(why) == Reason::kNotLeader) {
      done(Failed(Error(Reason::kNoQuorum,
                        fmt::format("group {} has no leader: a majority of its members must be "
                                    "running and reachable; see `kvctl status`",
                                    request.group.value()))));
    } else {
      done(Failed(why));
    }
    return;
  }
  strand_->After(kRetryPause,
                 [this, request = std::move(request), deadline, done = std::move(done)]() mutable {
                   Execute(std::move(request), deadline, std::move(done));
                 });
}

// On the leader's raft strand.
void Admin::Control(const std::shared_ptr<Replica>& replica, const AdminRequest& request,
                    Done done) {
  const StatusOr<kv::ControlCommand> command = kv::DecodeControl(request.control);
  if (!command.ok()) {
    done(Failed(command.status()));
    return;
  }
  replica->ProposeControl(*command,
                          [done = std::move(done)](StatusOr<kv::ControlResult> result) mutable {
                            AdminResult answer;
                            answer.status = result.status();
                            if (result.ok()) {
                              answer.outcome = result->outcome;
                              answer.index = result->index;
                              answer.range = std::move(result->range);
                            }
                            done(std::move(answer));
                          });
}

void Admin::RunOnNode(const std::shared_ptr<Replica>& replica, const AdminRequest& request,
                      Done done) {
  if (request.verb == AdminVerb::kSnapshot) {
    Snapshot(replica, std::move(done));
    return;
  }
  // One after the other: each range is at least as new as its index.
  AdminResult result;
  result.index = replica->store().applied();
  result.range = replica->store().range();
  result.durable = replica->store().durable();
  result.durable_range = replica->store().durable_range();
  done(std::move(result));
}

void Admin::Snapshot(const std::shared_ptr<Replica>& replica, Done done) {
  replica->group().Post([replica, done = std::move(done)]() mutable {
    replica->group().Compact(
        [replica, done = std::move(done)](StatusOr<raft::Index> index) mutable {
          if (!index.ok()) {
            done(Failed(index.status()));
            return;
          }
          replica->group().PostToApply([replica, index = *index, done = std::move(done)]() mutable {
            replica->store().MeasureSizes();
            AdminResult result;
            result.index = index;
            result.bytes = replica->store().Sizes().disk_bytes;
            done(std::move(result));
          });
        });
  });
}

}  // namespace flotilla
