// DirectoryService over real gRPC on loopback, with a node that has a directory and nothing else.
#include "cmd/kvd/directory_service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/real_executor.h"
#include "client/errors.h"
#include "cmd/kvd/cluster_service.h"
#include "kv/key_codec.h"
#include "tests/cmd/kvd/fake_node.h"

namespace flotilla {
namespace {

using ::testing::ElementsAre;

class DirectoryServiceTest : public ::testing::Test {
 protected:
  DirectoryServiceTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    builder.RegisterService(&cluster_service_);
    server_ = builder.BuildAndStart();
    const auto channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                             grpc::InsecureChannelCredentials());
    stub_ = v1::Directory::NewStub(channel);
    cluster_ = v1::Cluster::NewStub(channel);
  }
  ~DirectoryServiceTest() override {
    server_->Shutdown();
    executor_.Stop();
  }

  template <class Stub, class Request, class Response>
  static Reason Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                     Stub& stub, const std::type_identity_t<Request>& request,
                     std::type_identity_t<Response>* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    const grpc::Status status = (stub.*method)(&context, request, response);
    if (status.ok()) return Reason::kNone;
    return ReasonOf(client::FromGrpc(static_cast<int>(status.error_code()), status.error_message(),
                                     status.error_details(), "the server"));
  }

  void Create(const KeyspaceSpec& spec) {
    const Placement placement = [](const KeyspaceDescriptor&, const ShardDescriptor& shard) {
      return std::vector<NodeId>{NodeId(1 + shard.group.value() % 3)};
    };
    const auto edit = CreateKeyspace(*node_.DirectoryView(), spec, placement);
    ASSERT_TRUE(edit.ok()) << edit.status();
    node_.Edit(*edit);
  }

  // Every change is answered with job 9, and kept.
  void AcceptChanges() {
    node_.change = [this](const DirectoryCall& call) {
      calls_.push_back(call);
      DirectoryAnswer answer;
      answer.job = JobId(9);
      answer.text = "move shard 2 from n3 to n1: n3 drains\n";
      return answer;
    };
  }
  static JobRecord Job(std::uint64_t id, JobState state, const std::string& step) {
    JobRecord job;
    job.id = JobId(id);
    job.state = state;
    job.step = step;
    job.group = GroupId(2);
    return job;
  }

  RealClock clock_;
  RealExecutor executor_{2};
  FakeNode node_;
  std::vector<DirectoryCall> calls_;
  DirectoryService service_{{}, &node_, &executor_, &clock_};
  ClusterService cluster_service_{{}, &node_, &clock_};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::Directory::Stub> stub_;
  std::unique_ptr<v1::Cluster::Stub> cluster_;
};

using Stub = v1::Directory::Stub;

TEST_F(DirectoryServiceTest, KeyspacesAreListedWithTheirShards) {
  Create({.name = "users", .partitioning = Partitioning::kHash, .shards = 8});
  v1::ListKeyspacesRequest request;
  v1::ListKeyspacesResponse all;
  EXPECT_EQ(Call(&Stub::ListKeyspaces, *stub_, request, &all), Reason::kNone);
  ASSERT_EQ(all.keyspaces_size(), 2);
  EXPECT_EQ(all.keyspaces(0).name(), "default");
  EXPECT_EQ(all.keyspaces(0).shards(), 1u);
  EXPECT_EQ(all.keyspaces(1).shards(), 8u);
  EXPECT_EQ(all.keyspaces(1).partitioning(), v1::PARTITIONING_HASH);
  request.set_name("users");
  v1::ListKeyspacesResponse one;
  EXPECT_EQ(Call(&Stub::ListKeyspaces, *stub_, request, &one), Reason::kNone);
  EXPECT_EQ(one.keyspaces_size(), 1);
  request.set_name("nobody");
  EXPECT_EQ(Call(&Stub::ListKeyspaces, *stub_, request, &one), Reason::kKeyspaceNotFound);
}

TEST_F(DirectoryServiceTest, WithoutADirectoryNothingIsMadeUp) {
  node_.refreshed = Error(Reason::kNoQuorum, "the directory has no leader");
  v1::ListKeyspacesResponse keyspaces;
  EXPECT_EQ(Call(&Stub::ListKeyspaces, *stub_, {}, &keyspaces), Reason::kNoQuorum);
  v1::ListShardsResponse shards;
  EXPECT_EQ(Call(&Stub::ListShards, *stub_, {}, &shards), Reason::kNoQuorum);
  grpc::ClientContext context;
  const auto reader = stub_->WatchDirectory(&context, {});
  v1::WatchDirectoryResponse change;
  EXPECT_FALSE(reader->Read(&change));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(DirectoryServiceTest, ShardsComePageByPageInTheOrderOfTheirKeys) {
  Create({.name = "words", .split_keys = {"d", "h", "m", "q"}});
  v1::ListShardsRequest request;
  request.set_keyspace("words");
  request.set_page_size(2);
  std::vector<std::string> starts;
  for (int pages = 1;; ++pages) {
    ASSERT_LE(pages, 3);
    v1::ListShardsResponse page;
    ASSERT_EQ(Call(&Stub::ListShards, *stub_, request, &page), Reason::kNone);
    for (const v1::Shard& shard : page.shards()) {
      EXPECT_EQ(shard.keyspace(), "words");
      starts.push_back(shard.start());
    }
    if (page.next_page_token().empty()) break;
    request.set_page_token(page.next_page_token());
  }
  EXPECT_THAT(starts, ElementsAre("", "d", "h", "m", "q"));
  request.set_page_token("00");
  v1::ListShardsResponse page;
  EXPECT_EQ(Call(&Stub::ListShards, *stub_, request, &page), Reason::kBadToken);
}

TEST_F(DirectoryServiceTest, ShardsOfANodeOfAGroupOrOfAll) {
  Create({.name = "words", .split_keys = {"d", "h"}});
  v1::ListShardsRequest request;
  v1::ListShardsResponse all;
  EXPECT_EQ(Call(&Stub::ListShards, *stub_, request, &all), Reason::kNone);
  EXPECT_EQ(all.shards_size(), 4);
  request.set_node_id(1);
  v1::ListShardsResponse of_node;
  EXPECT_EQ(Call(&Stub::ListShards, *stub_, request, &of_node), Reason::kNone);
  EXPECT_LT(of_node.shards_size(), 4);
  for (const v1::Shard& shard : of_node.shards()) {
    EXPECT_NE(std::find(shard.voters().begin(), shard.voters().end(), 1), shard.voters().end());
  }
  request.set_group_id(2);
  v1::ListShardsResponse one;
  EXPECT_EQ(Call(&Stub::ListShards, *stub_, request, &one), Reason::kNone);
  EXPECT_EQ(one.shards_size(), 1);
  request.set_group_id(999);
  EXPECT_EQ(Call(&Stub::ListShards, *stub_, request, &one), Reason::kShardNotFound);
}

TEST_F(DirectoryServiceTest, LeadersAreThoseOfTheSurveyOrOfThisNode) {
  GroupInfo& here = node_.info.groups.emplace_back();
  here.group = GroupId(2);
  here.core.leader = NodeId(3);
  v1::ListShardsResponse shards;
  EXPECT_EQ(Call(&Stub::ListShards, *stub_, {}, &shards), Reason::kNone);
  EXPECT_EQ(shards.shards(0).load().leader_id(), 3u);
  node_.change = [](const DirectoryCall&) {
    DirectoryAnswer answer;
    answer.shards = {{.group = GroupId(2), .leader = NodeId(1), .bytes = 7, .writes_per_s = 2}};
    return answer;
  };
  shards.Clear();
  EXPECT_EQ(Call(&Stub::ListShards, *stub_, {}, &shards), Reason::kNone);
  EXPECT_EQ(shards.shards(0).load().leader_id(), 1u);
  EXPECT_EQ(shards.shards(0).load().bytes(), 7u);
  EXPECT_EQ(shards.shards(0).load().writes_per_second(), 2);
}

TEST_F(DirectoryServiceTest, AKeyIsLocated) {
  Create({.name = "users", .partitioning = Partitioning::kHash, .shards = 8});
  v1::LocateKeyRequest request;
  request.set_keyspace("users");
  request.set_key("ada");
  v1::LocateKeyResponse found;
  ASSERT_EQ(Call(&Stub::LocateKey, *stub_, request, &found), Reason::kNone);
  EXPECT_LE(found.shard().first_slot(), found.slot());
  EXPECT_LT(found.slot(), found.shard().past_last_slot());
  EXPECT_EQ(found.nodes_size(), 1);
  EXPECT_EQ(found.nodes(0).node_id(), found.shard().voters(0));
  EXPECT_GE(found.reasons_size(), 3);
  request.set_keyspace("nobody");
  EXPECT_EQ(Call(&Stub::LocateKey, *stub_, request, &found), Reason::kKeyspaceNotFound);
  request.clear_keyspace();
  request.set_key(std::string(20'000, 'k'));
  EXPECT_EQ(Call(&Stub::LocateKey, *stub_, request, &found), Reason::kKeyTooLarge);
}

TEST_F(DirectoryServiceTest, ChangesReachTheDirectoryAndBringTheirJob) {
  AcceptChanges();
  v1::JobResponse job;
  v1::SplitShardRequest split;
  split.set_group_id(2);
  split.set_key("m");
  EXPECT_EQ(Call(&Stub::SplitShard, *stub_, split, &job), Reason::kNone);
  EXPECT_EQ(job.job_id(), 9u);
  v1::MergeShardsRequest merge;
  merge.set_group_id(2);
  EXPECT_EQ(Call(&Stub::MergeShards, *stub_, merge, &job), Reason::kNone);
  v1::MoveReplicaRequest move;
  move.set_group_id(2);
  move.set_from_node_id(1);
  move.set_to_node_id(3);
  EXPECT_EQ(Call(&Stub::MoveReplica, *stub_, move, &job), Reason::kNone);
  v1::CancelJobRequest cancel;
  cancel.set_job_id(9);
  v1::CancelJobResponse cancelled;
  EXPECT_EQ(Call(&Stub::CancelJob, *stub_, cancel, &cancelled), Reason::kNone);
  v1::DropKeyspaceRequest drop;
  drop.set_name("words");
  v1::DropKeyspaceResponse dropped;
  EXPECT_EQ(Call(&Stub::DropKeyspace, *stub_, drop, &dropped), Reason::kNone);
  EXPECT_EQ(dropped.job_id(), 9u);
  ASSERT_EQ(calls_.size(), 5u);
  EXPECT_EQ(std::get<SplitCall>(calls_[0]).key, kv::EncodeKey(kv::kDefaultKeyspace, "m"));
  EXPECT_EQ(std::get<MergeCall>(calls_[1]).left, GroupId(2));
  EXPECT_EQ(std::get<MoveCall>(calls_[2]).to, NodeId(3));
  EXPECT_EQ(std::get<CancelJobCall>(calls_[3]).job, JobId(9));
  EXPECT_EQ(std::get<DropKeyspaceCall>(calls_[4]).name, "words");
}

TEST_F(DirectoryServiceTest, AKeyspaceIsCreatedAndAltered) {
  node_.change = [this](const DirectoryCall& call) {
    DirectoryAnswer answer;
    if (const auto* create = std::get_if<CreateKeyspaceCall>(&call)) {
      Create(create->spec);
      answer.keyspace = node_.DirectoryView()->FindKeyspace(create->spec.name)->id;
    } else {
      KeyspaceDescriptor now = *node_.DirectoryView()->FindKeyspace("users");
      now.replicas = *std::get<AlterKeyspaceCall>(call).replicas;
      node_.Put(now);
    }
    return answer;
  };
  v1::CreateKeyspaceRequest create;
  create.set_name("users");
  create.set_partitioning(v1::PARTITIONING_HASH);
  create.set_shards(4);
  v1::CreateKeyspaceResponse created;
  EXPECT_EQ(Call(&Stub::CreateKeyspace, *stub_, create, &created), Reason::kNone);
  EXPECT_EQ(created.keyspace().shards(), 4u);
  v1::AlterKeyspaceRequest alter;
  alter.set_name("users");
  v1::AlterKeyspaceResponse altered;
  EXPECT_EQ(Call(&Stub::AlterKeyspace, *stub_, alter, &altered), Reason::kBadRequest);
  alter.set_replicas(5);
  EXPECT_EQ(Call(&Stub::AlterKeyspace, *stub_, alter, &altered), Reason::kNone);
  EXPECT_EQ(altered.keyspace().replicas(), 5u);
}

TEST_F(DirectoryServiceTest, AnErrorOfAChangeIsItsAnswer) {
  node_.change = [](const DirectoryCall&) {
    DirectoryAnswer answer;
    answer.status = Error(Reason::kShardBusy, "job 8 is about shard 2", {{"job", "8"}});
    return answer;
  };
  v1::MergeShardsRequest merge;
  merge.set_group_id(2);
  v1::JobResponse job;
  EXPECT_EQ(Call(&Stub::MergeShards, *stub_, merge, &job), Reason::kShardBusy);
}

TEST_F(DirectoryServiceTest, JobsAreListedNewestFirst) {
  for (std::uint64_t id = 1; id <= 5; ++id) {
    node_.Put(Job(id, id % 2 == 0 ? JobState::kDone : JobState::kRunning, "add a learner"));
  }
  v1::ListJobsRequest request;
  request.set_page_size(3);
  v1::ListJobsResponse first;
  ASSERT_EQ(Call(&Stub::ListJobs, *stub_, request, &first), Reason::kNone);
  ASSERT_EQ(first.jobs_size(), 3);
  EXPECT_EQ(first.jobs(0).job_id(), 5u);
  request.set_page_token(first.next_page_token());
  v1::ListJobsResponse second;
  ASSERT_EQ(Call(&Stub::ListJobs, *stub_, request, &second), Reason::kNone);
  ASSERT_EQ(second.jobs_size(), 2);
  EXPECT_EQ(second.jobs(0).job_id(), 2u);
  EXPECT_EQ(second.next_page_token(), "");
  request.Clear();
  request.set_running(true);
  v1::ListJobsResponse running;
  ASSERT_EQ(Call(&Stub::ListJobs, *stub_, request, &running), Reason::kNone);
  EXPECT_EQ(running.jobs_size(), 3);
}

TEST_F(DirectoryServiceTest, AJobIsWatchedToItsEnd) {
  node_.Put(Job(1, JobState::kRunning, "add a learner"));
  grpc::ClientContext context;
  v1::WatchJobsRequest request;
  request.set_job_id(1);
  const auto reader = stub_->WatchJobs(&context, request);
  v1::WatchJobsResponse now;
  ASSERT_TRUE(reader->Read(&now));
  EXPECT_EQ(now.jobs(0).step(), "add a learner");
  node_.Put(Job(2, JobState::kRunning, "another's"));
  node_.Put(Job(1, JobState::kRunning, "promote it"));
  ASSERT_TRUE(reader->Read(&now));
  EXPECT_EQ(now.jobs_size(), 1);
  EXPECT_EQ(now.jobs(0).step(), "promote it");
  node_.Put(Job(1, JobState::kDone, ""));
  ASSERT_TRUE(reader->Read(&now));
  EXPECT_EQ(now.jobs(0).state(), v1::JOB_STATE_DONE);
  EXPECT_FALSE(reader->Read(&now));
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(node_.watches(), 0u);
}

TEST_F(DirectoryServiceTest, AJobThatThereIsNot) {
  grpc::ClientContext context;
  v1::WatchJobsRequest request;
  request.set_job_id(77);
  const auto reader = stub_->WatchJobs(&context, request);
  v1::WatchJobsResponse now;
  EXPECT_FALSE(reader->Read(&now));
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(ReasonOf(client::FromGrpc(static_cast<int>(status.error_code()), status.error_message(),
                                      status.error_details(), "")),
            Reason::kJobNotFound);
}

TEST_F(DirectoryServiceTest, TheDirectoryIsFollowed) {
  grpc::ClientContext context;
  const auto reader = stub_->WatchDirectory(&context, {});
  v1::WatchDirectoryResponse change;
  ASSERT_TRUE(reader->Read(&change));
  EXPECT_TRUE(change.whole());
  EXPECT_EQ(change.nodes_size(), 3);
  // Jobs are no matter of routing: the next message is the next keyspace's.
  node_.Put(Job(1, JobState::kRunning, "add a learner"));
  Create({.name = "words", .split_keys = {"m"}});
  ASSERT_TRUE(reader->Read(&change));
  EXPECT_FALSE(change.whole());
  EXPECT_EQ(change.keyspaces_size(), 1);
  EXPECT_EQ(change.shards_size(), 2);
  context.TryCancel();
  reader->Finish();
}

TEST_F(DirectoryServiceTest, WhatASlowReaderMissedComesAsOne) {
  grpc::ClientContext context;
  const auto reader = stub_->WatchDirectory(&context, {});
  v1::WatchDirectoryResponse change;
  ASSERT_TRUE(reader->Read(&change));
  NodeRecord node = *node_.DirectoryView()->Find(NodeId(2));
  for (std::uint32_t weight = 20; weight <= 1000; ++weight) {
    node.weight = weight;
    node_.Put(node);
  }
  int messages = 0;
  do {
    ASSERT_TRUE(reader->Read(&change));
    ++messages;
    ASSERT_EQ(change.nodes_size(), 1);
  } while (change.nodes(0).weight() != 1000);
  EXPECT_LE(messages, 981);
  context.TryCancel();
  reader->Finish();
}

TEST_F(DirectoryServiceTest, TimestampsComeInRows) {
  v1::GetTimestampRequest request;
  v1::GetTimestampResponse now;
  EXPECT_EQ(Call(&Stub::GetTimestamp, *stub_, request, &now), Reason::kNone);
  EXPECT_EQ(now.timestamp(), 1000u);
  EXPECT_EQ(now.count(), 1u);
  request.set_count(1 << 18);
  EXPECT_EQ(Call(&Stub::GetTimestamp, *stub_, request, &now), Reason::kNone);
  EXPECT_EQ(now.timestamp(), 1001u);
  request.set_count((1 << 18) + 1);
  EXPECT_EQ(Call(&Stub::GetTimestamp, *stub_, request, &now), Reason::kBadRequest);
  node_.refreshed = Error(Reason::kNoQuorum, "the directory has no leader");
  request.set_count(1);
  EXPECT_EQ(Call(&Stub::GetTimestamp, *stub_, request, &now), Reason::kNoQuorum);
}

TEST_F(DirectoryServiceTest, NodesHaveLabelsAndRoles) {
  node_.member_ids = {NodeId(1), NodeId(2)};
  v1::ListNodesResponse nodes;
  EXPECT_EQ(Call(&v1::Cluster::Stub::ListNodes, *cluster_, {}, &nodes), Reason::kNone);
  ASSERT_EQ(nodes.descriptors_size(), 2) << "the third has left";
  EXPECT_EQ(nodes.descriptors(1).labels().at("zone"), "b");
  EXPECT_EQ(nodes.descriptors(1).role(), v1::NODE_ROLE_ACTIVE);
}

TEST_F(DirectoryServiceTest, ANodeIsDrainedOrOnlyPlannedTo) {
  AcceptChanges();
  v1::DrainNodeRequest drain;
  drain.set_node_id(3);
  drain.set_dry_run(true);
  v1::DrainNodeResponse drained;
  EXPECT_EQ(Call(&v1::Cluster::Stub::DrainNode, *cluster_, drain, &drained), Reason::kNone);
  EXPECT_EQ(drained.plan(), "move shard 2 from n3 to n1: n3 drains\n");
  drain.set_dry_run(false);
  EXPECT_EQ(Call(&v1::Cluster::Stub::DrainNode, *cluster_, drain, &drained), Reason::kNone);
  EXPECT_EQ(drained.job_id(), 9u);
  drain.set_undo(true);
  EXPECT_EQ(Call(&v1::Cluster::Stub::DrainNode, *cluster_, drain, &drained), Reason::kNone);
  v1::DecommissionNodeRequest gone;
  gone.set_node_id(3);
  v1::DecommissionNodeResponse done;
  EXPECT_EQ(Call(&v1::Cluster::Stub::DecommissionNode, *cluster_, gone, &done), Reason::kNone);
  ASSERT_EQ(calls_.size(), 4u);
  EXPECT_EQ(std::get<PlanCall>(calls_[0]).node, NodeId(3));
  EXPECT_EQ(std::get<SetNodeRoleCall>(calls_[1]).role, NodeRole::kDraining);
  EXPECT_EQ(std::get<SetNodeRoleCall>(calls_[2]).role, NodeRole::kActive);
  EXPECT_EQ(std::get<SetNodeRoleCall>(calls_[3]).role, NodeRole::kDecommissioned);
}

}  // namespace
}  // namespace flotilla
