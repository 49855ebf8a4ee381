// Routes: which node to ask next.
//
// Knows the endpoints that the user gave, the members that the cluster named, who leads which
// group, and which addresses have failed lately. A node that does not lead forwards, so that a
// wrong route costs a hop and never a wrong answer. Pure but for its random numbers; not
// synchronized.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"
#include "base/types.h"
#include "client/connection.h"

namespace flotilla::client {

class Routes {
 public:
  // `endpoints` is not empty; the first node asked is drawn from it.
  Routes(const std::vector<std::string>& endpoints, Random random);

  // Where writes and linearizable reads go: the leader if known, else some node that works.
  // Nothing: every known address has failed and is left alone until NextTry().
  std::optional<std::string> ForLeader(MonoTime now);
  // The node that leads the group, where that is known and works; else as ForLeader().
  std::optional<std::string> ForGroup(GroupId group, MonoTime now);
  // Where reads go that any node may answer: changes now and then, to spread them.
  std::optional<std::string> ForReplica(MonoTime now);
  // When a failed address is tried again; MonoTime::max() when none has failed.
  MonoTime NextTry() const;
  // Some other node than this one can be asked.
  bool AnyBut(std::string_view address, MonoTime now) const;

  // A connection to it failed or fell silent: others are preferred until it has rested.
  void Failed(const std::string& address, const Status& error, MonoTime now);
  void Worked(const std::string& address);

  // An error named the leader; empty: somebody else leads, or nobody.
  void LeaderIs(const std::string& address);
  // `node` answered what was sent to `address`. True when that is news whose address is unknown:
  // the members should be asked for.
  bool Answered(NodeId node, const std::string& address);
  // `node` answered for the group. True as of Answered().
  bool Leads(GroupId group, NodeId node);
  // Somebody else leads it, or nobody.
  void ForgetLeader(GroupId group);
  // Forgets the leaders of all groups.
  void ForgetLeaders();
  void SetMembers(const std::vector<MemberAddress>& members);

  // Rises whenever another address may be right than before.
  std::uint64_t version() const { return version_; }

  // UNREACHABLE, naming every address and what is wrong with it.
  Status Unreachable() const;

 private:
  struct Place {
    std::string address;
    bool endpoint = false;  // given by the user: never forgotten
    NodeId node;            // 0: unknown
    std::uint32_t failures = 0;
    MonoTime rests_until;
    Status error;
  };

  bool Usable(const Place& place, MonoTime now) const {
    return place.failures == 0 || place.rests_until <= now;
  }
  Place* Find(std::string_view address);
  // The usable place at or after `from`, in a circle.
  std::optional<std::size_t> NextUsable(std::size_t from, MonoTime now) const;

  Random random_;
  std::uint64_t version_ = 0;
  std::map<GroupId, NodeId> leaders_;
  std::vector<Place> places_;
  std::string leader_;       // empty: unknown
  NodeId leader_node_;       // the last one heard of, its address known or not
  std::size_t current_ = 0;  // asked while the leader is unknown
  std::size_t replica_ = 0;
  std::uint32_t replica_uses_ = 0;
};

}  // namespace flotilla::client
