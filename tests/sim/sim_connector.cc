#include "tests/sim/sim_connector.h"

#include <algorithm>
#include <utility>

#include "cmd/kvd/pipeline_session.h"
#include "flotilla/v1/kv.pb.h"

namespace flotilla::sim {
namespace {

enum TraceKind : std::uint32_t {
  kConnect = 20,
  kRequests = 21,
  kResponses = 22,
  kSent = 23,
  kClosed = 24
};

}  // namespace

// Both ends of one connection. Lives as long as somebody may still deliver on it.
class SimConnector::Stream final : public client::Connection,
                                   public std::enable_shared_from_this<Stream> {
 public:
  Stream(SimNetwork* network, SimProcess* process, FindServer find, std::string address,
         std::shared_ptr<client::ConnectionObserver> observer)
      : network_(network),
        process_(process),
        find_(std::move(find)),
        address_(std::move(address)),
        observer_(std::move(observer)) {}

  void Open() {
    const SimServer server = find_(address_);
    if (server.gateway == nullptr) {
      Break("connection refused", network_->Latency());
      return;
    }
    server_id_ = server.process->id();
    Duration delay{0};
    if (!network_->Passes(process_->id(), server_id_, delay) ||
        !network_->CanPass(server_id_, process_->id())) {
      Break("connection timed out", network_->Noticed());
      return;
    }
    server_life_ = server.life;
    session_ = std::make_shared<PipelineSession>(
        PipelineSession::Options{}, server.gateway, server.process,
        [weak = weak_from_this()](const v1::PipelineResponse& response) {
          if (const std::shared_ptr<Stream> self = weak.lock()) self->Answer(response);
        });
    const Timestamp newest(std::max<std::uint64_t>(server.gateway->Newest().value(), 1));
    At(process_->id(), kConnect, process_->VirtualNow() + delay * 2,
       [self = shared_from_this(), newest] {
         if (self->observer_) self->observer_->OnConnected(newest);
       });
  }

  void Send(const v1::PipelineRequest& batch) override {
    auto bytes = std::make_shared<const std::string>(batch.SerializeAsString());
    At(process_->id(), kSent, process_->VirtualNow() + std::chrono::microseconds(20),
       [self = shared_from_this()] {
         if (self->observer_) self->observer_->OnSent();
       });
    Duration delay{0};
    // A lost packet of a stream is sent again; only a partition breaks it.
    network_->Passes(process_->id(), server_id_, delay);
    if (!network_->CanPass(process_->id(), server_id_) || find_(address_).life != server_life_) {
      Break("connection reset", network_->Noticed());
      return;
    }
    to_server_ = std::max(to_server_, process_->VirtualNow() + delay);
    At(server_id_, kRequests, to_server_, [self = shared_from_this(), bytes] {
      v1::PipelineRequest request;
      if (self->closed_ || !request.ParseFromString(*bytes)) return;
      if (self->find_(self->address_).life != self->server_life_) return;
      self->session_->OnRequests(request);
    });
  }

  // The observer is let go here: it may hold this connection, and nothing else either of them.
  void Close() override {
    breaking_ = true;
    if (!observer_) return;
    At(process_->id(), kClosed, process_->VirtualNow() + network_->Latency(),
       [self = shared_from_this(), observer = std::move(observer_)] {
         self->End(*observer, "closed");
       });
  }

 private:
  void At(ProcessId process, std::uint32_t what, MonoTime time, Closure closure) {
    network_->loop().At(time, process, what, std::move(closure));
  }

  // On the server's side.
  void Answer(const v1::PipelineResponse& response) {
    // The dead do not answer.
    if (closed_ || find_(address_).life != server_life_) return;
    Duration delay{0};
    network_->Passes(server_id_, process_->id(), delay);
    if (!network_->CanPass(server_id_, process_->id())) {
      Break("connection reset", network_->Noticed());
      return;
    }
    auto bytes = std::make_shared<const std::string>(response.SerializeAsString());
    to_client_ = std::max(to_client_, network_->loop().now() + network_->loop().charged() + delay);
    At(process_->id(), kResponses, to_client_, [self = shared_from_this(), bytes] {
      v1::PipelineResponse answers;
      if (!self->observer_ || !answers.ParseFromString(*bytes)) return;
      self->observer_->OnResponses(answers);
    });
  }

  void Break(const std::string& why, Duration after) {
    if (breaking_) return;
    breaking_ = true;
    At(process_->id(), kClosed, network_->loop().now() + after, [self = shared_from_this(), why] {
      const auto observer = std::exchange(self->observer_, nullptr);
      if (observer) self->End(*observer, why);
    });
  }

  void End(client::ConnectionObserver& observer, const std::string& why) {
    closed_ = true;
    if (session_) session_->Close();
    observer.OnClosed(Error(Reason::kUnreachable, address_ + ": " + why));
  }

  SimNetwork* const network_;
  SimProcess* const process_;
  const FindServer find_;
  const std::string address_;
  std::shared_ptr<client::ConnectionObserver> observer_;
  ProcessId server_id_ = 0;
  std::uint64_t server_life_ = 0;
  std::shared_ptr<PipelineSession> session_;
  MonoTime to_server_{};
  MonoTime to_client_{};
  bool breaking_ = false;
  bool closed_ = false;
};

std::shared_ptr<client::Connection> SimConnector::Connect(
    const std::string& address, std::shared_ptr<client::ConnectionObserver> observer) {
  auto stream = std::make_shared<Stream>(network_, process_, find_, address, std::move(observer));
  stream->Open();
  return stream;
}

void SimConnector::ListMembers(const std::string&, Duration, MembersCallback done) {
  // The client falls back to its endpoints, which are all nodes here.
  network_->loop().At(
      process_->VirtualNow() + network_->Latency(), process_->id(), kClosed,
      [done = std::move(done)]() mutable { done(Error(Reason::kUnreachable, "not simulated")); });
}

}  // namespace flotilla::sim
