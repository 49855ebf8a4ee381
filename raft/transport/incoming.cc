// GrpcTransport's receiving side: the service that peers call.
#include <spdlog/fmt/fmt.h>

#include <utility>

#include "raft/transport/codec.h"
#include "raft/transport/grpc_transport.h"

namespace flotilla::raft {
namespace {

// Answers one CallAddress(). Dropped without an answer (the node stops), it says so.
class AddressReply {
 public:
  AddressReply(grpc::ServerUnaryReactor* reactor, internal::AddressCallReply* reply)
      : reactor_(reactor), reply_(reply) {}
  AddressReply(AddressReply&& other) noexcept
      : reactor_(std::exchange(other.reactor_, nullptr)), reply_(other.reply_) {}
  AddressReply& operator=(AddressReply&&) = delete;
  ~AddressReply() { Finish({grpc::StatusCode::UNAVAILABLE, "the node is stopping"}); }

  void Send(StatusOr<Bytes> answer) {
    if (!answer.ok()) {
      Finish({static_cast<grpc::StatusCode>(answer.status().code()),
              std::string(MessageOf(answer.status()))});
      return;
    }
    reply_->set_body(std::string(answer->view()));
    Finish(grpc::Status::OK);
  }

 private:
  void Finish(const grpc::Status& status) {
    if (auto* const reactor = std::exchange(reactor_, nullptr)) reactor->Finish(status);
  }

  grpc::ServerUnaryReactor* reactor_;
  internal::AddressCallReply* const reply_;
};

}  // namespace

// One incoming stream. Deletes itself when gRPC is done with it.
class GrpcTransport::ExchangeReader : public grpc::ServerReadReactor<internal::PeerBatch> {
 public:
  ExchangeReader(GrpcTransport* transport, grpc::CallbackServerContext* context)
      : transport_(transport), context_(context) {
    Next();
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::OK);
      return;
    }
    if (!from_) {
      const grpc::Status known = transport_->CheckHello(batch_->hello());
      if (!batch_->has_hello() || !known.ok()) {
        Finish(known.ok() ? grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no hello") : known);
        return;
      }
      from_ = NodeId(batch_->hello().from());
      context_->AddInitialMetadata(kPeerAcceptedKey, "1");
      StartSendInitialMetadata();
    }
    const Status delivered = transport_->Deliver(std::move(batch_), from_);
    if (!delivered.ok() && !std::exchange(complained_, true)) {
      transport_->logger_->warn("node {}: {}; its like on this stream are dropped without a word",
                                from_.value(), MessageOf(delivered));
    }
    Next();
  }
  void OnDone() override {
    // Answers of the peer may have been on their way.
    if (from_) transport_->Lost(from_);
    delete this;
  }

 private:
  void Next() {
    batch_ = std::make_shared<internal::PeerBatch>();
    StartRead(batch_.get());
  }

  GrpcTransport* const transport_;
  grpc::CallbackServerContext* const context_;
  NodeId from_;
  bool complained_ = false;
  std::shared_ptr<internal::PeerBatch> batch_;
};

class GrpcTransport::Service final : public internal::Peer::CallbackService {
 public:
  explicit Service(GrpcTransport* transport) : transport_(transport) {}

  grpc::ServerReadReactor<internal::PeerBatch>* Exchange(grpc::CallbackServerContext* context,
                                                         internal::ExchangeReply*) override {
    return new ExchangeReader(transport_, context);
  }

  grpc::ServerUnaryReactor* Call(grpc::CallbackServerContext* context,
                                 const internal::AddressCall* request,
                                 internal::AddressCallReply* reply) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    std::shared_lock lock(transport_->handler_mutex_);
    if (!transport_->address_calls_) {
      reactor->Finish({grpc::StatusCode::UNAVAILABLE, "the node is starting or stopping"});
      return reactor;
    }
    transport_->address_calls_(request->method(), Bytes(request->body()),
                               [to = AddressReply(reactor, reply)](StatusOr<Bytes> answer) mutable {
                                 to.Send(std::move(answer));
                               });
    return reactor;
  }

 private:
  GrpcTransport* const transport_;
};

std::unique_ptr<grpc::Service> GrpcTransport::NewService(GrpcTransport* transport) {
  return std::make_unique<Service>(transport);
}

grpc::Status GrpcTransport::CheckHello(const internal::Hello& hello) {
  std::lock_guard lock(mutex_);
  if (hello.version() != kPeerProtocolVersion) {
    return {grpc::StatusCode::FAILED_PRECONDITION,
            fmt::format("this node speaks version {} of the peer protocol, not {}",
                        kPeerProtocolVersion, hello.version())};
  }
  if (!self_) return {grpc::StatusCode::UNAVAILABLE, "this node is not a member yet"};
  if (ClusterId(hello.cluster_id()) != cluster_ || NodeId(hello.to()) != self_ ||
      NodeId(hello.from()) == self_ || hello.from() == 0) {
    const std::string why = fmt::format(
        "WRONG_CLUSTER: this is node {} of cluster {:016x}; the peer looks for node {} of cluster "
        "{:016x}: check the addresses, and whose data directory is where",
        self_.value(), cluster_.value(), hello.to(), hello.cluster_id());
    LogStranger(hello, why);
    return {grpc::StatusCode::PERMISSION_DENIED, why};
  }
  return grpc::Status::OK;
}

void GrpcTransport::LogStranger(const internal::Hello& hello, const std::string& why) {
  constexpr std::size_t kStrangersMax = 64;
  if (strangers_.size() >= kStrangersMax) return;
  if (!strangers_.emplace(hello.cluster_id(), hello.from()).second) return;
  logger_->warn("turned away node {}, who keeps trying: {}", hello.from(), why);
}

void GrpcTransport::Lost(NodeId node) {
  std::shared_lock lock(handler_mutex_);
  if (handler_ != nullptr) handler_->OnUnreachable(node);
}

Status GrpcTransport::Deliver(std::shared_ptr<const internal::PeerBatch> batch, NodeId from) {
  NodeId self;
  {
    std::lock_guard lock(mutex_);
    self = self_;
  }
  StatusOr<std::vector<PeerMessage>> messages = DecodeBatch(std::move(batch), from, self);
  if (!messages.ok()) return messages.status();
  if (messages->empty()) return absl::OkStatus();
  std::shared_lock lock(handler_mutex_);
  if (handler_ != nullptr) handler_->OnMessages(*std::move(messages));
  return absl::OkStatus();
}

}  // namespace flotilla::raft
