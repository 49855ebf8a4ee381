#include "tests/raft/transport/transport_node.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <utility>

namespace flotilla::raft {

class TransportNode::LogSink {
 public:
  LogSink()
      : sink_(std::make_shared<spdlog::sinks::ostream_sink_mt>(text_)),
        logger_(std::make_shared<spdlog::logger>("test", sink_)) {
    logger_->set_level(spdlog::level::trace);
    logger_->set_pattern("%l: %v");
  }
  const std::shared_ptr<spdlog::logger>& logger() const { return logger_; }
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::shared_ptr<spdlog::sinks::ostream_sink_mt> sink_;
  std::shared_ptr<spdlog::logger> logger_;
};

TransportNode::TransportNode(const Options& options)
    : options_(options), self_(options.self), log_(std::make_shared<LogSink>()) {
  transport_ =
      std::make_unique<GrpcTransport>(options.link, &executor_, log_->logger(), self_.value());
  if (options.started) Start();
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(options.port),
                           grpc::InsecureServerCredentials(), &port_);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(kPeerMessageBytesMax);
  builder.RegisterService(transport_->service());
  server_ = builder.BuildAndStart();
  EXPECT_NE(port_, 0) << "no port";
}

TransportNode::~TransportNode() {
  if (transport_) transport_->Stop();
  StopServer();
  StopTransport();
  executor_.Stop();
}

void TransportNode::StopServer() {
  if (server_) server_->Shutdown(gpr_time_0(GPR_CLOCK_MONOTONIC));
  server_ = nullptr;
}

void TransportNode::StopTransport() { transport_ = nullptr; }

PeerMessage TransportNode::Numbered(NodeId to, std::uint64_t number) const {
  return {.from = self_,
          .to = to,
          .payload = GroupMessage{
              .group = GroupId(2),
              .message = {
                  .from = self_,
                  .to = to,
                  .term = Term(1),
                  .body = Heartbeat{.commit = Index(1), .read_round = number, .quiesce = false}}}};
}

void TransportNode::WaitUntil(const std::function<bool()>& condition) {
  std::unique_lock lock(mutex_);
  // In slices, so that a process that was paused gets its time all the same.
  for (int slice = 0; slice < 100; ++slice) {
    if (changed_.wait_for(lock, std::chrono::milliseconds(200), condition)) return;
  }
  ADD_FAILURE() << "waited in vain; the log says:\n" << Log();
}

void TransportNode::WaitForNumber(std::uint64_t number) {
  WaitUntil([&] { return !numbers.empty() && numbers.back() >= number; });
}

std::string TransportNode::Log() const { return log_->text(); }

void TransportNode::OnMessages(std::vector<PeerMessage> messages) {
  std::lock_guard lock(mutex_);
  ++deliveries;
  for (PeerMessage& message : messages) {
    EXPECT_EQ(message.to, self_);
    const auto* group = std::get_if<GroupMessage>(&message.payload);
    const auto* heartbeat =
        group != nullptr ? std::get_if<Heartbeat>(&group->message.body) : nullptr;
    if (heartbeat != nullptr) {
      numbers.push_back(heartbeat->read_round);
    } else {
      others.push_back(std::move(message));
    }
  }
  changed_.notify_all();
}

void TransportNode::OnUnreachable(NodeId) {
  std::lock_guard lock(mutex_);
  ++unreachable;
  changed_.notify_all();
}

void TransportNode::OnReachable(NodeId) {
  std::lock_guard lock(mutex_);
  ++reachable;
  changed_.notify_all();
}

}  // namespace flotilla::raft
