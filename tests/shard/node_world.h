// NodeWorld: whole nodes in one simulated world, driven by a test step by step.
//
// The nodes are those of kvd, over the simulator's executors, network and disks; nothing fails
// unless the test makes it fail. Requests go to the gateway of a node by name.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/logger.h"
#include "kv/command.h"
#include "tests/sim/sim_cluster.h"

namespace flotilla {

class NodeWorld {
 public:
  // `spares`: machines for nodes that join later, numbered after the others.
  explicit NodeWorld(NodeOptions node = {}, int nodes = 3, int spares = 0)
      : network_(&loop_, Random(7)),
        cluster_(Options(std::move(node), nodes, spares), &loop_, &network_) {
    network_.SetKeepAlive(std::chrono::milliseconds(500));
    for (int i = 0; i < nodes; ++i) EXPECT_TRUE(cluster_.Start(i)) << cluster_.failure();
    EXPECT_TRUE(Await([this] { return AllReady(); })) << "the nodes form no cluster";
  }

  sim::EventLoop& loop() { return loop_; }
  sim::SimNetwork& network() { return network_; }
  sim::SimCluster& cluster() { return cluster_; }
  Node& node(int number) { return *cluster_.node(number); }
  static sim::ProcessId IdOf(int node) { return sim::SimCluster::IdOf(node); }

  void RunFor(Duration time) { loop_.RunFor(time); }
  bool Await(const std::function<bool()>& condition, Duration within = std::chrono::seconds(10)) {
    const MonoTime end = loop_.now() + within;
    while (!condition()) {
      if (loop_.now() >= end) return false;
      loop_.RunFor(std::chrono::milliseconds(1));
    }
    return true;
  }

  bool AllReady() {
    for (int i = 0; i < cluster_.size(); ++i) {
      if (cluster_.in_use(i) && (!cluster_.running(i) || !node(i).Ready())) return false;
    }
    return Leader().has_value();
  }
  // Who says that it leads, but for `except`.
  std::optional<int> Leader(int except = -1, GroupId group = kFirstDataGroup) {
    for (int i = 0; i < cluster_.size(); ++i) {
      if (i != except && cluster_.running(i) && node(i).Leads(group)) return i;
    }
    return std::nullopt;
  }
  // Of the data, unless another group is named.
  int AwaitLeader(int except = -1, GroupId group = kFirstDataGroup) {
    EXPECT_TRUE(Await([&] { return Leader(except, group).has_value(); })) << "no leader";
    return Leader(except, group).value_or(0);
  }
  // Nothing passes between this node and the others.
  void CutOff(int node) {
    for (int i = 0; i < cluster_.size(); ++i) Part(node, i);
  }
  void Part(int node, int other) {
    network_.Cut(IdOf(node), IdOf(other));
    network_.Cut(IdOf(other), IdOf(node));
  }
  NodeId IdentityOf(int number) {
    NodeId identity;
    node(number).Info([&](const NodeInfo& info) { identity = info.node; });
    RunFor(std::chrono::milliseconds(5));
    return identity;
  }

  DirectoryAnswer Change(int node_number, DirectoryCall call) {
    std::optional<DirectoryAnswer> answer;
    node(node_number)
        .ChangeDirectory(std::move(call), loop_.now() + std::chrono::seconds(5),
                         [&](DirectoryAnswer given) { answer = std::move(given); });
    EXPECT_TRUE(Await([&] { return answer.has_value(); }));
    return answer.value_or(DirectoryAnswer());
  }

  // ---- requests --------------------------------------------------------------------------------

  using Answer = std::shared_ptr<std::optional<GatewayAnswer>>;

  Answer Begin(int node_number, GatewayCall call, Duration timeout = std::chrono::seconds(5)) {
    auto answer = std::make_shared<std::optional<GatewayAnswer>>();
    std::vector<GatewayRequest> requests(1);
    requests[0].deadline = loop_.now() + timeout;
    requests[0].call = std::move(call);
    node(node_number).gateway().Submit(std::move(requests), std::make_shared<Sink>(answer));
    return answer;
  }
  GatewayAnswer Wait(const Answer& answer) {
    EXPECT_TRUE(Await([&] { return answer->has_value(); })) << "a request was never answered";
    return answer->value_or(GatewayAnswer());
  }

  static WriteCall PutCall(std::string_view key, std::string_view value,
                           const kv::Session& session = {}) {
    kv::CommandView command;
    command.session = session;
    command.ops.push_back({.key = key, .value = value});
    return {.command = Bytes(kv::EncodeCommand(command))};
  }
  GatewayAnswer Put(int node_number, std::string_view key, std::string_view value,
                    const kv::Session& session = {}) {
    return Wait(Begin(node_number, PutCall(key, value, session)));
  }
  static GetCall Get(std::string key) { return {.key = std::move(key)}; }
  // The value; "(none)" when there is none, the reason when it failed.
  static std::string ValueOf(const GatewayAnswer& answer) {
    if (!answer.status.ok()) return std::string(InfoOf(ReasonOf(answer.status)).name);
    const auto* got = std::get_if<kv::GetResult>(&answer.result);
    return got != nullptr && got->found ? got->value : "(none)";
  }
  std::string Read(int node_number, std::string key) {
    return ValueOf(Wait(Begin(node_number, Get(std::move(key)))));
  }

 private:
  class Sink final : public AnswerSink {
   public:
    explicit Sink(Answer answer) : answer_(std::move(answer)) {}
    void OnAnswers(std::vector<GatewayAnswer> answers) override {
      EXPECT_FALSE(answer_->has_value()) << "answered twice";
      *answer_ = std::move(answers.front());
    }

   private:
    const Answer answer_;
  };

  static sim::SimCluster::Options Options(NodeOptions node, int nodes, int spares) {
    sim::SimCluster::Options options;
    options.founders = nodes;
    options.spares = spares;
    options.node = std::move(node);
    options.node.log.segment_bytes = 64 << 10;
    options.node.store.memtable_bytes = 64 << 10;
    options.node.block_cache_bytes = 1 << 20;
    options.node.write_buffer_bytes =
        std::min<std::size_t>(options.node.write_buffer_bytes, 4 << 20);
    options.logger = NullLogger();
    return options;
  }

  sim::EventLoop loop_;
  sim::SimNetwork network_;
  sim::SimCluster cluster_;
};

}  // namespace flotilla
