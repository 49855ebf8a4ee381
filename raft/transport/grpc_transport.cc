#include "raft/transport/grpc_transport.h"

#include <spdlog/fmt/fmt.h>

#include <utility>

#include "raft/transport/codec.h"

namespace flotilla::raft {
namespace {

constexpr std::size_t kAddressChannelsMax = 64;
// Beyond these a message goes beside the others. Requests of AppendEntries are filled up to a
// mebibyte; only a single larger entry is above.
constexpr std::size_t kCallBytesMax = 1 << 20;
constexpr std::size_t kEntriesBytesMax = 4 << 20;
// How often it is seen to that the other end still answers; for large messages seldom, since the
// end of either link tells of a node that is lost.
constexpr Duration kWatch = std::chrono::seconds(1);
constexpr Duration kBulkWatch = std::chrono::seconds(10);

Status FromGrpc(const grpc::Status& status, const std::string& address) {
  return Error(status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED
                   ? Reason::kDeadlineExceeded
                   : Reason::kUnreachable,
               fmt::format("{}: {}", address, status.error_message()));
}

}  // namespace

struct GrpcTransport::OneCall {
  std::unique_ptr<internal::Peer::Stub> stub;
  grpc::ClientContext context;
  internal::AddressCall request;
  internal::AddressCallReply reply;
  UniqueFunction<void(StatusOr<Bytes>)> done;
};

// gRPC's callback threads end with the last channel that has used them, and that end must not come
// on one of those threads: gRPC 1.51 would join it to itself. Streams and calls end there and take
// their channels along, so the transport holds a channel of its own, to nowhere, that has made a
// call; it goes last, on the thread that destroys the transport.
struct GrpcTransport::Anchor {
  explicit Anchor(GrpcTransport* transport) {
    call.stub = internal::Peer::NewStub(grpc::CreateChannel("", nullptr));
    call.stub->async()->Call(&call.context, &call.request, &call.reply,
                             [transport](const grpc::Status&) { transport->CallEnded(); });
  }

  OneCall call;
};

GrpcTransport::GrpcTransport(const PeerLinkOptions& options, Executor* executor,
                             std::shared_ptr<spdlog::logger> logger, std::uint64_t seed)
    : options_(options),
      logger_(std::move(logger)),
      strand_(executor->NewStrand("transport")),
      service_(NewService(this)),
      next_seed_(seed),
      open_(1),
      anchor_(std::make_unique<Anchor>(this)) {}

GrpcTransport::~GrpcTransport() {
  Stop();
  std::unique_lock lock(mutex_);
  all_ended_.wait(lock, [this] { return open_ == 0; });
  lock.unlock();
  anchor_ = nullptr;
}

void GrpcTransport::CallEnded() {
  std::lock_guard lock(mutex_);
  if (--open_ == 0) all_ended_.notify_all();
}

grpc::Service* GrpcTransport::service() { return service_.get(); }

void GrpcTransport::Start(ClusterId cluster, NodeId self, TransportHandler* handler) {
  {
    std::lock_guard lock(mutex_);
    cluster_ = cluster;
    self_ = self;
  }
  std::unique_lock lock(handler_mutex_);
  handler_ = handler;
}

PeerLink::World::OnTrouble GrpcTransport::Trouble(const std::string& address) {
  return [this, address](NodeId peer, const grpc::Status& status) {
    const bool refused = status.error_code() == grpc::StatusCode::PERMISSION_DENIED ||
                         status.error_code() == grpc::StatusCode::FAILED_PRECONDITION;
    logger_->log(refused ? spdlog::level::warn : spdlog::level::info, "node {} at {}: {}; retrying",
                 peer.value(), address, status.ok() ? "closed the stream" : status.error_message());
  };
}

std::shared_ptr<PeerLink> GrpcTransport::MakeLink(NodeId node, const std::string& address,
                                                  Duration watch,
                                                  PeerLink::World::OnTrouble on_trouble) {
  internal::Hello hello;
  hello.set_cluster_id(cluster_.value());
  hello.set_from(self_.value());
  hello.set_to(node.value());
  hello.set_version(kPeerProtocolVersion);
  PeerLink::World world;
  world.strand = strand_.get();
  world.seed = ++next_seed_;
  world.pulse = watch;
  world.on_unreachable = [this](NodeId peer) { Lost(peer); };
  world.on_reachable = [this](NodeId peer) {
    std::shared_lock lock(handler_mutex_);
    if (handler_ != nullptr) handler_->OnReachable(peer);
  };
  world.on_trouble = std::move(on_trouble);
  ++open_;
  return {new PeerLink(options_, world, std::move(hello), ChannelTo(address, watch)),
          [this](PeerLink* link) {
            delete link;
            CallEnded();
          }};
}

std::shared_ptr<grpc::Channel> GrpcTransport::ChannelTo(const std::string& address,
                                                        Duration watch) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxSendMessageSize(kPeerMessageBytesMax);
  arguments.SetMaxReceiveMessageSize(kPeerMessageBytesMax);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // A node that is paused or cut off is noticed after the sum of both, and of a pulse of the link:
  // groups that are asleep have nothing else to notice it by.
  const auto watch_ms = std::chrono::duration_cast<std::chrono::milliseconds>(watch).count();
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(watch_ms));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 2000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
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
      peer.link = MakeLink(node, address, kWatch, Trouble(address));
      peer.bulk = MakeLink(node, address, kBulkWatch, nullptr);
      opening.push_back(peer.link);
      opening.push_back(peer.bulk);
    }
  }
  for (const std::shared_ptr<PeerLink>& link : closing) link->Close();
  for (const std::shared_ptr<PeerLink>& link : opening) link->Connect();
}

const std::shared_ptr<PeerLink>& GrpcTransport::Route(const PeerMessage& message, Peer& peer) {
  if (const auto* call = std::get_if<Call>(&message.payload)) {
    return call->bulk || call->body.size() > kCallBytesMax ? peer.bulk : peer.link;
  }
  const MessageBody& body = std::get<GroupMessage>(message.payload).message.body;
  if (!std::holds_alternative<AppendRequest>(body)) return peer.link;
  if (WireBytes(message) > kEntriesBytesMax) {
    peer.entries_on_bulk = true;
    peer.bulk->NoteLarge();
  } else if (peer.entries_on_bulk && !peer.bulk->Carrying()) {
    peer.entries_on_bulk = false;
  }
  return peer.entries_on_bulk ? peer.bulk : peer.link;
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
      const std::shared_ptr<PeerLink>& link = Route(message, found->second);
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
  auto call = std::make_unique<OneCall>();
  {
    std::unique_lock lock(mutex_);
    if (stopped_) {
      lock.unlock();
      done(Error(Reason::kNodeStopping, "the node is stopping"));
      return;
    }
    if (channels_.size() > kAddressChannelsMax) channels_.clear();
    std::shared_ptr<grpc::Channel>& channel = channels_[address];
    if (!channel) channel = ChannelTo(address, kWatch);
    call->stub = internal::Peer::NewStub(channel);
    ++open_;
  }
  call->request.set_method(method);
  call->request.set_body(std::string(body.view()));
  call->context.set_deadline(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                          gpr_time_from_nanos(timeout.count(), GPR_TIMESPAN)));
  call->done = std::move(done);
  OneCall* const raw = call.release();
  raw->stub->async()->Call(&raw->context, &raw->request, &raw->reply,
                           [this, raw, address](const grpc::Status& status) {
                             std::unique_ptr<OneCall> ended(raw);
                             if (status.ok()) {
                               ended->done(Bytes(std::move(*ended->reply.mutable_body())));
                             } else {
                               ended->done(FromGrpc(status, address));
                             }
                             ended = nullptr;  // and perhaps its channel
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
  // Streams end by themselves, each keeping its link alive; whoever destroys the transport waits
  // for the last of them.
  for (const std::shared_ptr<PeerLink>& link : closing) link->Close();
}

std::uint64_t GrpcTransport::dropped() const {
  std::lock_guard lock(mutex_);
  std::uint64_t dropped = 0;
  for (const auto& [node, peer] : peers_) dropped += peer.link->dropped() + peer.bulk->dropped();
  return dropped;
}

}  // namespace flotilla::raft
