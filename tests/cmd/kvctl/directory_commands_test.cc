// keyspace, shard, job, node, timestamp: what they ask for and what they show.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmd/kvctl/app.h"
#include "tests/cmd/kvctl/directory_server.h"
#include "tests/cmd/kvctl/kvctl_run.h"

namespace flotilla::kvctl {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class KvctlDirectory : public ::testing::Test {
 protected:
  Outcome Run(const std::vector<std::string>& words) { return Kvctl(server_.address(), words); }

  void AddShard(std::uint64_t group, const std::string& start, const std::string& end) {
    v1::Shard& shard = *server_.shards.add_shards();
    shard.set_group_id(group);
    shard.set_keyspace("default");
    shard.set_start(start);
    shard.set_end(end);
    shard.set_epoch(4);
    for (std::uint64_t node : {1, 2, 3}) shard.add_voters(node);
    shard.mutable_load()->set_leader_id(2);
  }
  // Node 1 is at the server's address.
  void HasStatus(std::uint64_t id, v1::Role role) {
    server_.status.mutable_node()->set_node_id(1);
    server_.status.mutable_node()->set_address(server_.address());
    v1::GroupStatus& group = *server_.status.add_groups();
    group.set_group_id(id);
    group.set_role(role);
    group.set_term(6);
    group.set_commit_index(90);
    group.set_applied_index(85);
  }
  void JobGoes(std::initializer_list<v1::JobState> states) {
    for (const v1::JobState state : states) {
      v1::Job& job = server_.job.emplace_back();
      job.set_job_id(9);
      job.set_kind(v1::JOB_KIND_SPLIT);
      job.set_state(state);
      job.set_group_id(2);
      job.set_step("wait for the new shard's leader");
      if (state == v1::JOB_STATE_FAILED) job.set_error("no node is left");
    }
  }

  DirectoryServer server_;
};

TEST_F(KvctlDirectory, KeyspacesAreListed) {
  const Outcome plain = Run({"keyspace", "list"});
  EXPECT_EQ(plain.out, "default\trange\t2\t3\topen\nusers\thash\t8\t3\topen\n");
  const Outcome table = Run({"keyspace", "list", "-o", "table"});
  EXPECT_THAT(table.out, HasSubstr("NAME"));
  EXPECT_THAT(table.out, HasSubstr("disk=ssd"));
  EXPECT_THAT(table.out, HasSubstr("zone"));
  const Outcome json = Run({"keyspace", "show", "users", "-o", "json"});
  EXPECT_THAT(json.out,
              StartsWith(R"({"id":"7","name":"users","partitioning":"hash","shards":"8",)"));
  EXPECT_THAT(json.out, HasSubstr(R"("apart":["zone"],"require":{"disk":"ssd"})"));
}

TEST_F(KvctlDirectory, AKeyspaceIsCreatedAsTheFlagsSay) {
  EXPECT_EQ(
      Run({"keyspace", "create", "users", "--partitioning", "hash", "--shards", "8", "--replicas",
           "5", "--apart", "zone", "--require", "disk=ssd", "--retention", "2h"})
          .out,
      "created users with 8 shards\n");
  EXPECT_EQ(Run({"keyspace", "create", "words", "--split-at", "g", "--split-at", "p"}).exit_code,
            0);
  EXPECT_EQ(Run({"--hex", "keyspace", "create", "bytes", "--split-at", "00ff"}).exit_code, 0);
  EXPECT_THAT(server_.asked,
              ElementsAre("CreateKeyspaceRequest name: \"users\" partitioning: PARTITIONING_HASH "
                          "replicas: 5 apart: \"zone\" require { key: \"disk\" value: \"ssd\" } "
                          "retention { seconds: 7200 } shards: 8",
                          "CreateKeyspaceRequest name: \"words\" partitioning: PARTITIONING_RANGE "
                          "split_keys: \"g\" split_keys: \"p\"",
                          "CreateKeyspaceRequest name: \"bytes\" partitioning: PARTITIONING_RANGE "
                          "split_keys: \"\\000\\377\""));
  EXPECT_EQ(Run({"keyspace", "create", "k", "--require", "ssd"}).exit_code, kUsage);
  EXPECT_EQ(Run({"keyspace", "create", "k", "--retention", "soon"}).exit_code, kUsage);
  EXPECT_EQ(Run({"keyspace", "create", "k", "--partitioning", "random"}).exit_code, kUsage);
  EXPECT_EQ(Run({"keyspace", "create"}).exit_code, kUsage);
}

TEST_F(KvctlDirectory, OnlyWhatIsGivenIsAltered) {
  EXPECT_EQ(Run({"keyspace", "alter", "users", "--replicas", "3"}).exit_code, 0);
  EXPECT_EQ(Run({"keyspace", "alter", "users", "--apart", "none", "--require", "none"}).exit_code,
            0);
  EXPECT_THAT(server_.asked,
              ElementsAre("AlterKeyspaceRequest name: \"users\" replicas: 3",
                          "AlterKeyspaceRequest name: \"users\" apart { } require { }"));
}

TEST_F(KvctlDirectory, ADropMustBeMeant) {
  const Outcome refused = Run({"keyspace", "drop", "users"});
  EXPECT_EQ(refused.exit_code, kUsage);
  EXPECT_THAT(refused.err, HasSubstr("--yes"));
  EXPECT_TRUE(server_.asked.empty());
  EXPECT_THAT(Run({"keyspace", "drop", "users", "--yes", "--no-wait"}).out, StartsWith("job 9"));
}

TEST_F(KvctlDirectory, AnErrorHasItsExitCodeAndAHint) {
  server_.error = Error(Reason::kKeyspaceExists, "there is a keyspace users already");
  const Outcome exists = Run({"keyspace", "create", "users"});
  EXPECT_EQ(exists.exit_code, 1);
  EXPECT_EQ(exists.err,
            "error: there is a keyspace users already\n"
            "hint:  `kvctl keyspace show` tells how it is\n");
  server_.error = Error(Reason::kShardBusy, "job 8 is about shard 2");
  EXPECT_EQ(Run({"shard", "merge", "2"}).exit_code, kUnavailable);
}

TEST_F(KvctlDirectory, ShardsAreListedPageByPage) {
  AddShard(2, "", std::string("m\0", 2));
  AddShard(5, std::string("m\0", 2), "");
  EXPECT_EQ(Run({"shard", "list"}).out,
            "2\tdefault\t-\tm\\x00\t4\tn1, n2, n3\tn2\n"
            "5\tdefault\tm\\x00\t-\t4\tn1, n2, n3\tn2\n");
  EXPECT_THAT(Run({"--hex", "shard", "list"}).out, HasSubstr("6d00"));
  const Outcome json = Run({"shard", "list", "-o", "json", "--node", "n3", "--keyspace", "users"});
  EXPECT_THAT(json.out, HasSubstr(R"("end":"bQA=","epoch":"4","voters":["1","2","3"])"));
  EXPECT_EQ(server_.asked.back(),
            "ListShardsRequest keyspace: \"users\" node_id: 3 page_token: \"1\"");
  EXPECT_THAT(Run({"shard", "show", "2"}).out, HasSubstr("n1, n2, n3"));
}

TEST_F(KvctlDirectory, AKeyIsExplained) {
  AddShard(5, "", "");
  v1::LocateKeyResponse& found = server_.located;
  *found.mutable_shard() = server_.shards.shards(0);
  found.mutable_shard()->set_first_slot(0);
  found.mutable_shard()->set_past_last_slot(8192);
  found.set_slot(4711);
  found.add_reasons("the ring of hashes puts its replicas on n1, n2, n3");
  v1::NodeDescriptor& node = *found.add_nodes();
  node.set_node_id(1);
  node.set_address("host1:7101");
  (*node.mutable_labels())["zone"] = "a";
  const Outcome told = Run({"shard", "explain", "ada", "--keyspace", "users"});
  EXPECT_EQ(told.exit_code, 0) << told.err;
  for (const char* part :
       {"ada", "4711", "slot 8192", "host1:7101 zone=a", "ring of hashes", "n2"}) {
    EXPECT_THAT(told.out, HasSubstr(part));
  }
  EXPECT_EQ(server_.asked.back(), "LocateKeyRequest keyspace: \"users\" key: \"ada\"");
  EXPECT_THAT(Run({"shard", "explain", "ada", "-o", "json"}).out,
              HasSubstr(R"("slot":"4711","shard":{"group_id":"5")"));
}

TEST_F(KvctlDirectory, AJobIsFollowedToItsEnd) {
  JobGoes({v1::JOB_STATE_RUNNING, v1::JOB_STATE_DONE});
  const Outcome split = Run({"shard", "split", "2", "--at", "m"});
  EXPECT_EQ(split.exit_code, 0) << split.err;
  EXPECT_EQ(split.out, "done: split shard 2\n");
  EXPECT_EQ(server_.asked.front(), "SplitShardRequest group_id: 2 key: \"m\"");
  EXPECT_THAT(Run({"shard", "split", "2", "--at-slot", "7", "--no-wait"}).out,
              HasSubstr("kvctl job watch 9"));
  EXPECT_EQ(server_.asked.back(), "SplitShardRequest group_id: 2 slot: 7");
  EXPECT_EQ(Run({"shard", "split", "2", "--at", "m", "--at-slot", "7"}).exit_code, kUsage);
  EXPECT_EQ(Run({"shard", "move", "2", "--from", "n1", "--to", "3", "--no-wait"}).exit_code, 0);
  EXPECT_EQ(server_.asked.back(), "MoveReplicaRequest group_id: 2 from_node_id: 1 to_node_id: 3");
}

TEST_F(KvctlDirectory, AJobThatFailsFailsTheCommand) {
  JobGoes({v1::JOB_STATE_RUNNING, v1::JOB_STATE_FAILED});
  const Outcome failed = Run({"job", "watch", "9"});
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_THAT(failed.err, HasSubstr("no node is left"));
}

TEST_F(KvctlDirectory, JobsAreListedAndCancelled) {
  JobGoes({v1::JOB_STATE_RUNNING});
  EXPECT_EQ(Run({"job", "list"}).out,
            "9\tsplit shard 2\trunning\twait for the new shard's leader\n");
  EXPECT_EQ(server_.asked.back(), "ListJobsRequest running: true");
  EXPECT_EQ(Run({"job", "list", "--all"}).exit_code, 0);
  EXPECT_EQ(server_.asked.back(), "ListJobsRequest ");
  EXPECT_THAT(Run({"job", "cancel", "9"}).out, HasSubstr("being cancelled"));
  EXPECT_EQ(server_.asked.back(), "CancelJobRequest job_id: 9");
}

TEST_F(KvctlDirectory, NodesAreListedDrainedAndTakenBack) {
  EXPECT_EQ(Run({"node", "list"}).out, "3\thost3:7101\tsuspect\tdraining\tdisk=ssd,zone=c\n");
  EXPECT_THAT(Run({"node", "list", "-o", "table"}).out,
              HasSubstr("7        2     15  3.0 MiB  1.0 GiB"));
  server_.plan = "move shard 2 from n3 to n1: n3 drains\n";
  EXPECT_EQ(Run({"node", "drain", "host3:7101", "--dry-run"}).out,
            "move shard 2 from n3 to n1: n3 drains\n");
  EXPECT_EQ(server_.asked.back(), "DrainNodeRequest node_id: 3 dry_run: true");
  EXPECT_EQ(Run({"node", "activate", "n3"}).out, "done\n");
  EXPECT_EQ(server_.asked.back(), "DrainNodeRequest node_id: 3 undo: true");
  EXPECT_EQ(Run({"node", "decommission", "n3", "--no-wait"}).exit_code, 0);
  EXPECT_EQ(server_.asked.back(), "DecommissionNodeRequest node_id: 3");
}

TEST_F(KvctlDirectory, ATimestampIsANumberAndATime) {
  const Outcome plain = Run({"timestamp"});
  EXPECT_EQ(plain.out, std::to_string((1'700'000'000'123ull << 18) + 5) + "\n");
  EXPECT_THAT(Run({"timestamp", "-o", "json"}).out,
              HasSubstr(R"("time":"2023-11-14T22:13:20.123Z","counter":"5")"));
}

TEST_F(KvctlDirectory, KeysAreCountedAndValuesAddedUp) {
  EXPECT_EQ(Run({"count", "--prefix", "user/", "--keyspace", "users"}).out, "12\n");
  EXPECT_EQ(server_.asked.back(),
            "AggregateRequest header { keyspace: \"users\" } prefix: \"user/\"");
  const Outcome sum = Run({"-v", "sum", "--from", "a", "--to", "b", "--value-contains", "7"});
  EXPECT_EQ(sum.out, "-7\n");
  EXPECT_THAT(sum.err, HasSubstr("2 of 12"));
  EXPECT_EQ(server_.asked.back(),
            "AggregateRequest header { } start: \"a\" end: \"b\" value_contains: \"7\" "
            "add_up: true");
  EXPECT_EQ(Run({"sum", "-o", "json"}).out,
            "{\"count\":\"12\",\"bytes\":\"3456\",\"sum\":\"-7\",\"not_integers\":\"2\"}\n");
  EXPECT_EQ(Run({"count", "--prefix", "a", "--from", "b"}).exit_code, kUsage);
  EXPECT_EQ(Run({"count", "--value-is", "a", "--value-prefix", "b"}).exit_code, kUsage);
}

TEST_F(KvctlDirectory, GroupsAreShownByTheirNodesOwnWord) {
  AddShard(2, "", "");
  HasStatus(1, v1::ROLE_LEADER);
  HasStatus(2, v1::ROLE_LEADER);
  EXPECT_EQ(Run({"group", "list"}).out,
            "1\t(directory)\tn1\t6\t90\t5\tn1 leader\n"
            "2\tdefault\tn1\t6\t90\t5\tn1 leader, n2 ?, n3 ?\n");
  EXPECT_EQ(Run({"--keyspace", "default", "group", "list"}).out,
            "2\tdefault\tn1\t6\t90\t5\tn1 leader, n2 ?, n3 ?\n");
  const Outcome table = Run({"group", "list", "-o", "table"});
  EXPECT_THAT(table.out, HasSubstr("GROUP  KEYSPACE"));
  EXPECT_THAT(table.out, HasSubstr("awake"));
  EXPECT_EQ(Run({"group", "show", "2"}).out, "1\t" + server_.address() +
                                                 "\tleader\t6\t90\t85\t5\n"
                                                 "2\t-\t?\t-\t-\t-\t-\n"
                                                 "3\t-\t?\t-\t-\t-\t-\n");
  const Outcome json = Run({"group", "show", "2", "-o", "json"});
  EXPECT_THAT(json.out, StartsWith(R"({"group_id":"2","keyspace":"default","epoch":"4",)"
                                   R"("leader_id":"1","term":"6","commit_index":"90",)"));
  EXPECT_THAT(json.out, HasSubstr(R"("applied_index":"85")"));
  EXPECT_THAT(json.out, HasSubstr(R"("silent":["2","3"]})"));
  EXPECT_EQ(Run({"group", "show", "7"}).exit_code, 1);
  EXPECT_EQ(Run({"group", "show"}).exit_code, kUsage);
}

TEST_F(KvctlDirectory, LearnersThatDoNotAnswerAreNamed) {
  AddShard(2, "", "");
  server_.shards.mutable_shards(0)->add_learners(4);
  HasStatus(1, v1::ROLE_LEADER);
  v1::MemberStatus& learner = *server_.status.mutable_groups(0)->add_members();
  learner.set_node_id(5);
  EXPECT_THAT(Run({"group", "list"}).out, HasSubstr("n1 leader, n5 ?\n"));
  EXPECT_THAT(Run({"group", "show", "2"}).out, HasSubstr("\n4\t-\t?"));
  Run({"group", "snapshot", "2"});
  EXPECT_THAT(server_.asked, Contains("TriggerSnapshotRequest group_id: 2 node_id: 4"));
}

TEST_F(KvctlDirectory, VacuumsAreShownWithWhoHoldsThemUp) {
  HasStatus(1, v1::ROLE_LEADER);
  server_.vacuum.set_node_id(1);
  v1::GroupVacuum& group = *server_.vacuum.add_groups();
  group.set_group_id(2);
  group.set_keyspace("default");
  group.set_versions(100);
  group.set_dead_versions(60);
  group.set_due_versions(10);
  group.set_file_bytes(5000);
  group.mutable_retention()->set_seconds(30);
  EXPECT_EQ(Run({"vacuum", "status"}).out, "n1\t2\tdefault\t100\t60\t10\t5000\t\n");
  group.set_held_up(true);
  server_.vacuum.mutable_oldest_reader()->set_transaction_id(77);
  server_.vacuum.mutable_oldest_reader()->set_node_id(3);
  EXPECT_THAT(Run({"vacuum", "status"}).out, EndsWith("\ttransaction 77 of n3\n"));
  const auto json = Run({"vacuum", "status", "-o", "json"});
  EXPECT_THAT(json.out, HasSubstr(R"("dead_versions":"60")"));
  EXPECT_THAT(json.out, HasSubstr(R"("retention_seconds":30,"last_run":{"runs":"0")"));
  EXPECT_THAT(json.out, HasSubstr(R"("heard_by":"1","transaction_id":"77","node_id":"3")"));
  EXPECT_EQ(Run({"vacuum", "status", "--keyspace", "other"}).out, "");
}

TEST_F(KvctlDirectory, VacuumsAreRunWhereReplicasAre) {
  HasStatus(2, v1::ROLE_LEADER);
  EXPECT_EQ(Run({"vacuum", "run"}).out, "n1\t2\t70\t4096\t1024\t2.0s\n");
  EXPECT_THAT(server_.asked, Contains("VacuumRunRequest group_id: 2"));
  EXPECT_EQ(Run({"vacuum", "run", "7"}).exit_code, 1);
}

TEST_F(KvctlDirectory, AKeyHasAHistory) {
  server_.history.set_complete_since(5);
  v1::KeyVersion& newest = *server_.history.add_versions();
  newest.set_timestamp((1'700'000'000'123ull << 18) + 5);
  newest.set_kind(v1::VERSION_KIND_DELETED);
  newest.set_transaction_id(9);
  v1::KeyVersion& first = *server_.history.add_versions();
  first.set_timestamp(1'700'000'000'000ull << 18);
  first.set_kind(v1::VERSION_KIND_PUT);
  first.set_value("blue");
  first.mutable_superseded_by()->set_timestamp(newest.timestamp());
  first.mutable_superseded_by()->set_kind(v1::VERSION_KIND_DELETED);
  first.mutable_superseded_by()->set_transaction_id(9);
  EXPECT_EQ(Run({"history", "color"}).out,
            "445644800032243717\t2023-11-14 22:13:20.123Z\ttransaction 9\t(deleted)\tgone\n"
            "445644800000000000\t2023-11-14 22:13:20.000Z\ta plain write\tblue\tdeleted at "
            "445644800032243717 by transaction 9\n");
  EXPECT_THAT(server_.asked, Contains("HistoryRequest header { } key: \"color\" limit: 20"));
  EXPECT_THAT(Run({"history", "color", "-o", "json"}).out,
              HasSubstr(R"("value_text":"blue","superseded_by":{"version":"445644800032243717",)"
                        R"("kind":"deleted","transaction_id":"9"}}],"next_before":"0")"));
}

TEST_F(KvctlDirectory, AGroupWithoutALeaderIsToldApart) {
  AddShard(2, "", "");
  HasStatus(2, v1::ROLE_FOLLOWER);
  EXPECT_EQ(Run({"group", "list"}).out, "2\tdefault\t?\t-\t-\t0\tn1 follower, n2 ?, n3 ?\n");
}

TEST_F(KvctlDirectory, SnapshotsAreTakenWhereReplicasAre) {
  AddShard(2, "", "m");
  AddShard(3, "m", "");
  EXPECT_THAT(Run({"group", "snapshot", "3"}).out, StartsWith("n1: snapshot at index 70"));
  const auto asked = [this](int node) {
    const std::string request =
        "TriggerSnapshotRequest group_id: 3 node_id: " + std::to_string(node);
    return std::ranges::count(server_.asked, request) == 1;
  };
  EXPECT_TRUE(asked(1) && asked(2) && asked(3));
  EXPECT_EQ(Run({"group", "snapshot", "7"}).exit_code, 1);
  EXPECT_EQ(Run({"snapshot"}).exit_code, kUsage);
}

TEST_F(KvctlDirectory, AnyGroupsLeadershipIsHandedOver) {
  EXPECT_THAT(Run({"leader", "transfer", "--group", "7"}).out, HasSubstr(" leads group 7"));
  EXPECT_THAT(server_.asked, ElementsAre("TransferLeadershipRequest group_id: 7"));
}

TEST_F(KvctlDirectory, CompletionKnowsTheCommands) {
  EXPECT_EQ(Complete({"group", "sh"}), std::vector<std::string>{"show"});
  EXPECT_EQ(Complete({"keyspace", "cr"}), std::vector<std::string>{"create"});
  EXPECT_EQ(Complete({"shard", "ex"}), std::vector<std::string>{"explain"});
  EXPECT_EQ(Complete({"node", "drain", "--dry"}), std::vector<std::string>{"--dry-run"});
}

}  // namespace
}  // namespace flotilla::kvctl
