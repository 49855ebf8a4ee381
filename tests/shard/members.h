// Clusters whose nodes come, go and are lost, with a balancer that does not wait for long.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "shard/admin.h"
#include "tests/shard/node_world.h"

namespace flotilla {

inline NodeOptions Impatient() {
  NodeOptions options;
  options.balancer.dead_after = std::chrono::seconds(15);
  return options;
}

class Cluster {
 public:
  explicit Cluster(int nodes, int spares = 0, NodeOptions options = Impatient())
      : world(std::move(options), nodes, spares) {}

  // From the cluster; asked of `asked`.
  Status Remove(int asked, NodeId node, Duration within = std::chrono::seconds(10)) {
    std::optional<Status> status;
    world.node(asked).RemoveReplica(GroupId(), node, world.loop().now() + within,
                                    [&](const Status& given) { status = given; });
    EXPECT_TRUE(world.Await([&] { return status.has_value(); }, within + std::chrono::seconds(1)));
    return status.value_or(Status());
  }
  DirectoryAnswer Change(int asked, DirectoryCall call) {
    return world.Change(asked, std::move(call));
  }
  bool Ended(int asked, JobId id, JobState state) {
    return world.Await(
        [&] {
          const auto image = world.node(asked).DirectoryView();
          const JobRecord* job = image->Find(id);
          return job != nullptr && job->state == state;
        },
        std::chrono::seconds(30));
  }
  std::set<NodeId> Voters(int asked, GroupId group = kFirstDataGroup) {
    const auto image = world.node(asked).DirectoryView();
    const ShardDescriptor* shard = image->Find(group);
    return shard == nullptr ? std::set<NodeId>() : shard->voters;
  }
  std::set<NodeId> Registered(int asked) {
    std::optional<std::set<NodeId>> nodes;
    world.node(asked).ListMembers(world.loop().now() + std::chrono::seconds(5),
                                  [&](const StatusOr<std::vector<MemberInfo>>& members) {
                                    nodes.emplace();
                                    if (!members.ok()) return;
                                    for (const MemberInfo& one : *members) nodes->insert(one.node);
                                  });
    EXPECT_TRUE(world.Await([&] { return nodes.has_value(); }));
    return nodes.value_or(std::set<NodeId>());
  }

  // On the directory, as `asked` hears it.
  std::set<NodeId> DirectoryVoters(int asked) {
    std::optional<std::set<NodeId>> voters;
    world.node(asked).Info([&](const NodeInfo& info) {
      voters.emplace();
      for (const GroupInfo& group : info.groups) {
        if (group.group == kDirectoryGroup) voters = group.core.configuration.voters;
      }
    });
    EXPECT_TRUE(world.Await([&] { return voters.has_value(); }));
    return voters.value_or(std::set<NodeId>());
  }
  bool CanChangeTheDirectory(int asked, const std::string& name) {
    KeyspaceSpec spec{.name = name, .replicas = 1, .retention = std::chrono::seconds(600)};
    return Change(asked, CreateKeyspaceCall{.spec = spec}).status.ok();
  }

  NodeWorld world;
};

// Three that found the cluster and vote on the directory, and others that only follow it.
class ClusterWithLearners : public Cluster {
 public:
  explicit ClusterWithLearners(int learners, NodeOptions options = Impatient())
      : Cluster(3, learners, WithoutPromotion(std::move(options))) {
    for (int i = 3; i < 3 + learners; ++i) EXPECT_TRUE(world.cluster().Start(i));
    EXPECT_TRUE(world.Await([&] { return world.AllReady(); }));
    // They have said where they are.
    EXPECT_TRUE(world.Await([&] {
      return world.node(0).DirectoryView()->nodes().size() ==
             static_cast<std::size_t>(3 + learners);
    }));
  }

  // As its balancer would, on the directory's leader.
  void AskToReplace(NodeId leader, NodeId voter, NodeId by) {
    AdminRequest request;
    request.verb = AdminVerb::kReplaceVoter;
    request.group = kDirectoryGroup;
    request.node = by;
    request.replaced = voter;
    raft::Call call;
    call.method = static_cast<std::uint32_t>(raft::PeerMethod::kAdmin);
    call.body = Bytes(EncodeAdminRequest(request, std::chrono::seconds(2)));
    raft::PeerMessage message;
    message.from = by;
    message.to = leader;
    message.payload = std::move(call);
    world.network().FindTransport(sim::SimCluster::AddressOf(3))->Send({std::move(message)});
    world.RunFor(std::chrono::seconds(3));
  }

 private:
  static NodeOptions WithoutPromotion(NodeOptions options) {
    options.promote_joined = false;
    return options;
  }
};

inline std::set<NodeId> Nodes(std::initializer_list<std::uint64_t> ids) {
  std::set<NodeId> nodes;
  for (const std::uint64_t id : ids) nodes.insert(NodeId(id));
  return nodes;
}

}  // namespace flotilla
