#include "raft/transport/grpc_transport.h"

#include <spdlog/fmt/fmt.h>

#include <utility>

#include "raft/transport/codec.h"

namespace flotilla::raft {
namespace {

constexpr std::size_t kAddressChannelsMax = 64;

Status FromGrpc(const grpc::Status& status, const std::string& address) {
  return Error(status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED
                   ? Reason::kDeadlineExceeded
                   : Reason::kUnreachable,
               fmt::format("{}: {}", address, status.error_message()));
}

}  // namespace

// ---- receiving ------------------------------------------------------------------------------

// One incoming stream. Deletes itself when gRPC is done with it.
class GrpcTransport::ExchangeReader : public grpc::ServerReadReactor<internal::PeerBatch> {
 public:
  explicit ExchangeReader(GrpcTransport* transport) : transport_(transport) { Next(); }

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
    }
    transport_->Deliver(std::move(batch_), from_);
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
  NodeId from_;
  std::shared_ptr<internal::PeerBatch> batch_;
};

class GrpcTransport::Service final : public internal::Peer::CallbackService {
 public:
  explicit Service(GrpcTransport* transport) : transport_(transport) {}

  grpc::ServerReadReactor<internal::PeerBatch>* Exchange(grpc::CallbackServerContext*,
                                                         internal::ExchangeReply*) override {
    return new ExchangeReader(transport_);
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
    transport_->address_calls_(
        request->method(), Bytes(request->body()), [reactor, reply](StatusOr<Bytes> answer) {
          if (!answer.ok()) {
            reactor->Finish({static_cast<grpc::StatusCode>(answer.status().code()),
                             std::string(MessageOf(answer.status()))});
            return;
          }
          reply->set_body(std::string(answer->view()));
          reactor->Finish(grpc::Status::OK);
        });
    return reactor;
  }

 private:
  GrpcTransport* const transport_;
};

GrpcTransport::GrpcTransport(const PeerLinkOptions& options, Executor* executor,
                             std::shared_ptr<spdlog::logger> logger, std::uint64_t seed)
    : options_(options),
      logger_(std::move(logger)),
      strand_(executor->NewStrand("transport")),
      service_(std::make_unique<Service>(this)),
      next_seed_(seed) {}

GrpcTransport::~GrpcTransport() {
  Stop();
  std::unique_lock lock(mutex_);
  all_ended_.wait(lock, [this] { return open_ == 0; });
}

void GrpcTransport::CallEnded() {
  std::lock_guard lock(mutex_);
  if (--open_ == 0) all_ended_.notify_all();
}

grpc::Service* GrpcTransport::service() { return service_.get(); }

grpc::Status GrpcTransport::CheckHello(const internal::Hello& hello) const {
  std::lock_guard lock(mutex_);
  if (hello.version() != kPeerProtocolVersion) {
    return {grpc::StatusCode::FAILED_PRECONDITION,
            fmt::format("this node speaks version {} of the peer protocol, not {}",
                        kPeerProtocolVersion, hello.version())};
  }
  if (!self_) return {grpc::StatusCode::UNAVAILABLE, "this node is not a member yet"};
  if (ClusterId(hello.cluster_id()) != cluster_ || NodeId(hello.to()) != self_ ||
      NodeId(hello.from()) == self_ || hello.from() == 0) {
    return {
        grpc::StatusCode::PERMISSION_DENIED,
        fmt::format("WRONG_CLUSTER: this is node {} of cluster {:016x}; the peer looks for node "
                    "{} of cluster {:016x}: check the addresses, and whose data directory is "
                    "where",
                    self_.value(), cluster_.value(), hello.to(), hello.cluster_id())};
  }
  return grpc::Status::OK;
}

void GrpcTransport::Lost(NodeId node) {
  std::shared_lock lock(handler_mutex_);
  if (handler_ != nullptr) handler_->OnUnreachable(node);
}

void GrpcTransport::Deliver(std::shared_ptr<const internal::PeerBatch> batch, NodeId from) {
  NodeId self;
  {
    std::lock_guard lock(mutex_);
    self = self_;
  }
  StatusOr<std::vector<PeerMessage>> messages = DecodeBatch(std::move(batch), from, self);
  if (!messages.ok()) {
    logger_->warn("node {}: {}", from.value(), MessageOf(messages.status()));
    return;
  }
  if (messages->empty()) return;
  std::shared_lock lock(handler_mutex_);
  if (handler_ != nullptr) handler_->OnMessages(*std::move(messages));
}

// ---- sending --------------------------------------------------------------------------------

void GrpcTransport::Start(ClusterId cluster, NodeId self, TransportHandler* handler) {
  {
    std::lock_guard lock(mutex_);
    cluster_ = cluster;
    self_ = self;
  }
  std::unique_lock lock(handler_mutex_);
  handler_ = handler;
}

std::shared_ptr<PeerLink> GrpcTransport::MakeLink(NodeId node, const std::string& address) {
  internal::Hello hello;
  hello.set_cluster_id(cluster_.value());
  hello.set_from(self_.value());
  hello.set_to(node.value());
  hello.set_version(kPeerProtocolVersion);
  PeerLink::World world;
  world.strand = strand_.get();
  world.seed = ++next_seed_;
  world.on_unreachable = [this](NodeId peer) { Lost(peer); };
  world.on_reachable = [this](NodeId peer) {
    std::shared_lock lock(handler_mutex_);
    if (handler_ != nullptr) handler_->OnReachable(peer);
  };
  ++open_;
  return std::make_shared<PeerLink>(options_, world, std::move(hello), ChannelTo(address));
}

std::shared_ptr<grpc::Channel> GrpcTransport::ChannelTo(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxSendMessageSize(kPeerMessageBytesMax);
  arguments.SetMaxReceiveMessageSize(kPeerMessageBytesMax);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 2000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void GrpcTransport::CloseLink(const std::shared_ptr<PeerLink>& link) {
  link->Close([this] { CallEnded(); });
}

void GrpcTransport::SetPeers(const std::vector<PeerAddress>& peers) {
  std::vector<std::shared_ptr<PeerLink>> closing;
  std::vector<std::shared_ptr<PeerLink>> opening;
  {
    std::lock_guard lock(mutex_);
    if (stopped_ || !self_) return;
    std::map<NodeId, std::string> wanted;
    for (const PeerAddress& peer : peers) wanted[peer.node] = peer.address;
    for (auto one = peers_.begin(); one != peers_.end();) {
      const auto found = wanted.find(one->first);
      if (found != wanted.end() && found->second == one->second.address) {
        wanted.erase(found);
        ++one;
        continue;
      }
      closing.push_back(one->second.link);
      closing.push_back(one->second.bulk);
      one = peers_.erase(one);
    }
    for (const auto& [node, address] : wanted) {
      Peer& peer = peers_[node];
      peer.address = address;
      peer.link = MakeLink(node, address);
      peer.bulk = MakeLink(node, address);
      opening.push_back(peer.link);
      opening.push_back(peer.bulk);
    }
  }
  for (const std::shared_ptr<PeerLink>& link : closing) CloseLink(link);
  for (const std::shared_ptr<PeerLink>& link : opening) link->Connect();
}

void GrpcTransport::Send(std::vector<PeerMessage> messages) {
  // Runs of messages for the same stream travel together.
  std::vector<std::pair<std::shared_ptr<PeerLink>, std::vector<PeerMessage>>> per_link;
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    for (PeerMessage& message : messages) {
      const auto found = peers_.find(message.to);
      if (found == peers_.end()) continue;
      const auto* call = std::get_if<Call>(&message.payload);
      const std::shared_ptr<PeerLink>& link =
          call != nullptr && call->bulk ? found->second.bulk : found->second.link;
      auto one = per_link.begin();
      while (one != per_link.end() && one->first != link) ++one;
      if (one == per_link.end()) {
        per_link.emplace_back(link, std::vector<PeerMessage>());
        one = per_link.end() - 1;
      }
      one->second.push_back(std::move(message));
    }
  }
  for (auto& [link, run] : per_link) link->Send(std::move(run));
}

void GrpcTransport::CallAddress(const std::string& address, std::uint32_t method, Bytes body,
                                Duration timeout, UniqueFunction<void(StatusOr<Bytes>)> done) {
  struct OneCall {
    std::unique_ptr<internal::Peer::Stub> stub;
    grpc::ClientContext context;
    internal::AddressCall request;
    internal::AddressCallReply reply;
    UniqueFunction<void(StatusOr<Bytes>)> done;
  };
  auto call = std::make_shared<OneCall>();
  {
    std::unique_lock lock(mutex_);
    if (stopped_) {
      lock.unlock();
      done(Error(Reason::kNodeStopping, "the node is stopping"));
      return;
    }
    std::shared_ptr<grpc::Channel>& channel = channels_[address];
    if (!channel) channel = ChannelTo(address);
    call->stub = internal::Peer::NewStub(channel);
    if (channels_.size() > kAddressChannelsMax) channels_.clear();
    ++open_;
  }
  call->request.set_method(method);
  call->request.set_body(std::string(body.view()));
  call->context.set_deadline(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                          gpr_time_from_nanos(timeout.count(), GPR_TIMESPAN)));
  call->done = std::move(done);
  call->stub->async()->Call(&call->context, &call->request, &call->reply,
                            [this, call, address](grpc::Status status) {
                              if (status.ok()) {
                                call->done(Bytes(std::move(*call->reply.mutable_body())));
                              } else {
                                call->done(FromGrpc(status, address));
                              }
                              CallEnded();
                            });
}

void GrpcTransport::SetAddressCallHandler(AddressCallHandler handler) {
  std::unique_lock lock(handler_mutex_);
  address_calls_ = std::move(handler);
}

void GrpcTransport::Stop() {
  std::vector<std::shared_ptr<PeerLink>> closing;
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
    for (auto& [node, peer] : peers_) {
      closing.push_back(peer.link);
      closing.push_back(peer.bulk);
    }
    peers_.clear();
    channels_.clear();
  }
  {
    std::unique_lock lock(handler_mutex_);
    handler_ = nullptr;
    address_calls_ = nullptr;
  }
  // Streams end by themselves, each keeping alive what it needs; whoever destroys the transport
  // waits for the last of them.
  for (const std::shared_ptr<PeerLink>& link : closing) CloseLink(link);
}

std::uint64_t GrpcTransport::dropped() const {
  std::lock_guard lock(mutex_);
  std::uint64_t dropped = 0;
  for (const auto& [node, peer] : peers_) dropped += peer.link->dropped() + peer.bulk->dropped();
  return dropped;
}

}  // namespace flotilla::raft
