// Shards: a cluster whose directory is changed by a test, and asked on any node.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kv/key_codec.h"
#include "shard/directory/job_edits.h"
#include "tests/shard/node_world.h"

namespace flotilla {

class Shards : public ::testing::Test {
 public:
  explicit Shards(int nodes = 5, const NodeOptions& options = ByHand()) : world_(options, nodes) {}

  // Replicas stay where the tests put them.
  static NodeOptions ByHand() {
    NodeOptions options;
    options.balance = false;
    return options;
  }

  DirectoryAnswer Change(int node, DirectoryCall call) {
    return world_.Change(node, std::move(call));
  }

  kv::KeyspaceId Make(KeyspaceSpec spec) {
    spec.retention = std::chrono::minutes(10);
    const DirectoryAnswer made = Change(0, CreateKeyspaceCall{.spec = std::move(spec)});
    EXPECT_TRUE(made.status.ok()) << made.status;
    return made.keyspace;
  }

  static WriteCall Puts(kv::KeyspaceId keyspace,
                        const std::vector<std::pair<std::string, std::string>>& rows) {
    kv::CommandView command{.keyspace = keyspace, .session = {}, .ops = {}};
    for (const auto& [key, value] : rows) command.ops.push_back({.key = key, .value = value});
    return {.command = Bytes(kv::EncodeCommand(command))};
  }

  GatewayAnswer Ask(int node, GatewayCall call) {
    return world_.Wait(world_.Begin(node, std::move(call)));
  }

  const JobRecord* AwaitJob(int node, JobId id) {
    EXPECT_TRUE(world_.Await(
        [&] {
          image_ = world_.node(node).DirectoryView();
          const JobRecord* job = image_->Find(id);
          return job != nullptr && Ended(*job);
        },
        std::chrono::seconds(30)));
    return image_->Find(id);
  }

  bool HasDirectory(int node, const std::string& path) {
    return world_.cluster().disk(node).FileExists(path, {}, nullptr).ok();
  }

  std::size_t ShardsOf(int node, kv::KeyspaceId keyspace) {
    const auto image = world_.node(node).DirectoryView();
    std::size_t count = 0;
    for (const auto& [group, shard] : image->shards()) count += shard.keyspace == keyspace;
    return count;
  }

  NodeWorld world_;
  std::shared_ptr<const DirectoryImage> image_;
};

}  // namespace flotilla
