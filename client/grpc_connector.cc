#include "client/grpc_connector.h"

#include <google/protobuf/arena.h>
#include <grpc/support/time.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>

#include "base/check.h"
#include "client/errors.h"
#include "flotilla/v1/cluster.grpc.pb.h"
#include "flotilla/v1/directory.grpc.pb.h"
#include "flotilla/v1/kv.grpc.pb.h"
#include "flotilla/v1/transactions.grpc.pb.h"

namespace flotilla::client {
namespace {

using Gate = GrpcConnector::Gate;
using ByteStub = grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>;

constexpr char kPipelineMethod[] = "/flotilla.v1.KV/Pipeline";
constexpr char kTransactMethod[] = "/flotilla.v1.Transactions/Transact";
// Of the arena that answers are parsed into: a batch of 64 small answers fits.
constexpr std::size_t kArenaBlockBytes = 64 << 10;

google::protobuf::ArenaOptions ArenaWith(char* block) {
  google::protobuf::ArenaOptions options;
  options.initial_block = block;
  options.initial_block_size = kArenaBlockBytes;
  return options;
}

// One stream of whichever method. It keeps itself alive until OnDone.
template <class Requests, class Responses>
class GrpcStream final : public Stream<Requests>,
                         public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                         public std::enable_shared_from_this<GrpcStream<Requests, Responses>> {
 public:
  GrpcStream(const char* method, std::string address,
             std::shared_ptr<StreamObserver<Responses>> observer, std::shared_ptr<Gate> gate)
      : method_(method),
        address_(std::move(address)),
        observer_(std::move(observer)),
        gate_(std::move(gate)),
        stub_(NewChannel(address_)),
        arena_block_(new char[kArenaBlockBytes]),
        arena_(ArenaWith(arena_block_.get())) {}

  void Start() {
    gate_->Enter();
    self_ = this->shared_from_this();
    stub_.PrepareBidiStreamingCall(&context_, method_, {}, this);
    AddHold();  // Send() starts writes from outside of reactions
    StartRead(&incoming_);
    // An empty batch: its answer tells that the node is there, before any request can be lost with
    // the connection, and how far it is.
    Write(Requests());
    StartCall();
  }

  void Send(const Requests& batch) override {
    std::lock_guard lock(mutex_);
    if (!over_) Write(batch);
  }

  void Close() override { context_.TryCancel(); }

  void OnWriteDone(bool ok) override {
    if (!ok) return;  // OnDone says why
    if (greeted_) {
      observer_->OnSent();
    } else {
      greeted_ = true;
      StepConnected();
    }
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      std::lock_guard lock(mutex_);
      over_ = true;
      RemoveHold();
      return;
    }
    auto* responses = google::protobuf::Arena::CreateMessage<Responses>(&arena_);
    const grpc::Status parsed =
        grpc::SerializationTraits<Responses>::Deserialize(&incoming_, responses);
    incoming_.Clear();
    if (parsed.ok() && !newest_) {
      newest_ = Timestamp(std::max<std::uint64_t>(responses->timestamp(), 1));
      StepConnected();
    } else if (parsed.ok()) {
      observer_->OnResponses(*responses);
    } else {
      malformed_ = true;
      context_.TryCancel();
    }
    arena_.Reset();
    StartRead(&incoming_);
  }

  void OnDone(const grpc::Status& status) override {
    auto self = std::move(self_);
    const auto gate = gate_;
    if (malformed_) {
      observer_->OnClosed(
          Error(Reason::kUnreachable, address_ + " sent bytes that are no answers"));
    } else if (status.ok()) {
      observer_->OnClosed(Error(Reason::kUnreachable, address_ + " closed the connection"));
    } else {
      observer_->OnClosed(FromGrpc(static_cast<int>(status.error_code()), status.error_message(),
                                   status.error_details(), address_));
    }
    observer_.reset();
    self.reset();  // often the end of this object
    gate->Leave();
  }

 private:
  // The greeting has left, and its answer has come: in whatever order.
  void StepConnected() {
    {
      std::lock_guard lock(mutex_);
      if (--steps_to_connected_ > 0) return;
    }
    observer_->OnConnected(newest_);
  }

  void Write(const Requests& batch) {
    bool own = false;
    outgoing_.Clear();
    const grpc::Status serialized =
        grpc::SerializationTraits<Requests>::Serialize(batch, &outgoing_, &own);
    CHECK(serialized.ok()) << serialized.error_message();
    StartWrite(&outgoing_);
  }

  const char* const method_;
  const std::string address_;
  std::shared_ptr<StreamObserver<Responses>> observer_;
  const std::shared_ptr<Gate> gate_;
  ByteStub stub_;
  grpc::ClientContext context_;
  std::shared_ptr<GrpcStream> self_;

  // Of the reactions, which come one at a time per direction.
  bool greeted_ = false;
  Timestamp newest_;  // zero: the greeting is not answered
  bool malformed_ = false;
  grpc::ByteBuffer incoming_;
  std::unique_ptr<char[]> arena_block_;
  google::protobuf::Arena arena_;

  std::mutex mutex_;
  int steps_to_connected_ = 2;  // guarded by mutex_
  bool over_ = false;           // guarded by mutex_: nothing may be written any more
  grpc::ByteBuffer outgoing_;   // of whoever may write
};

// The directory's stream. It keeps itself alive until OnDone.
class GrpcDirectoryWatch final : public DirectoryWatch,
                                 public grpc::ClientReadReactor<v1::WatchDirectoryResponse>,
                                 public std::enable_shared_from_this<GrpcDirectoryWatch> {
 public:
  GrpcDirectoryWatch(std::string address, std::shared_ptr<DirectoryObserver> observer,
                     std::shared_ptr<Gate> gate)
      : address_(std::move(address)),
        observer_(std::move(observer)),
        gate_(std::move(gate)),
        stub_(NewChannel(address_)) {}

  void Start() {
    gate_->Enter();
    self_ = shared_from_this();
    stub_.async()->WatchDirectory(&context_, &request_, this);
    StartRead(&change_);
    StartCall();
  }

  void Close() override { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return;  // OnDone says why
    observer_->OnDirectory(change_);
    change_.Clear();
    StartRead(&change_);
  }

  void OnDone(const grpc::Status& status) override {
    auto self = std::move(self_);
    const auto gate = gate_;
    if (status.ok()) {
      observer_->OnDirectoryClosed(Error(Reason::kUnreachable, address_ + " ended the stream"));
    } else {
      observer_->OnDirectoryClosed(FromGrpc(static_cast<int>(status.error_code()),
                                            status.error_message(), status.error_details(),
                                            address_));
    }
    observer_.reset();
    self.reset();  // often the end of this object
    gate->Leave();
  }

 private:
  const std::string address_;
  std::shared_ptr<DirectoryObserver> observer_;
  const std::shared_ptr<Gate> gate_;
  v1::Directory::Stub stub_;
  grpc::ClientContext context_;
  v1::WatchDirectoryRequest request_;
  v1::WatchDirectoryResponse change_;
  std::shared_ptr<GrpcDirectoryWatch> self_;
};

struct MembersCall {
  explicit MembersCall(const std::shared_ptr<grpc::Channel>& channel) : stub(channel) {}

  v1::Cluster::Stub stub;
  grpc::ClientContext context;
  v1::ListNodesRequest request;
  v1::ListNodesResponse response;
};

}  // namespace

// gRPC's callback threads end with the last channel that has used them, and that end must not come
// on one of those threads: gRPC 1.51 would join it to itself. Connections end there, so the
// connector holds a channel of its own, to nowhere, that has made a call.
struct GrpcConnector::Anchor {
  explicit Anchor(std::shared_ptr<Gate> gate) : call(grpc::CreateChannel("", nullptr)) {
    gate->Enter();
    call.stub.async()->ListNodes(&call.context, &call.request, &call.response,
                                 [gate](const grpc::Status&) { gate->Leave(); });
  }

  MembersCall call;
};

std::shared_ptr<grpc::Channel> NewChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

GrpcConnector::GrpcConnector()
    : gate_(std::make_shared<Gate>()), anchor_(std::make_unique<Anchor>(gate_)) {}

GrpcConnector::~GrpcConnector() { gate_->WaitUntilEmpty(); }

std::shared_ptr<Connection> GrpcConnector::Connect(const std::string& address,
                                                   std::shared_ptr<ConnectionObserver> observer) {
  auto connection = std::make_shared<GrpcStream<v1::PipelineRequest, v1::PipelineResponse>>(
      kPipelineMethod, address, std::move(observer), gate_);
  connection->Start();
  return connection;
}

std::shared_ptr<TxnStream> GrpcConnector::ConnectTxns(const std::string& address,
                                                      std::shared_ptr<TxnStreamObserver> observer) {
  auto stream = std::make_shared<GrpcStream<v1::TransactRequest, v1::TransactResponse>>(
      kTransactMethod, address, std::move(observer), gate_);
  stream->Start();
  return stream;
}

void GrpcConnector::ListMembers(const std::string& address, Duration timeout,
                                MembersCallback done) {
  gate_->Enter();
  auto call = std::make_shared<MembersCall>(NewChannel(address));
  call->context.set_deadline(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                          gpr_time_from_nanos(timeout.count(), GPR_TIMESPAN)));
  // gRPC wants a copyable function.
  auto shared_done = std::make_shared<MembersCallback>(std::move(done));
  call->stub.async()->ListNodes(
      &call->context, &call->request, &call->response,
      [call, shared_done, address, gate = gate_](const grpc::Status& status) mutable {
        if (status.ok()) {
          std::vector<MemberAddress> members;
          for (const v1::MemberStatus& member : call->response.nodes()) {
            members.push_back({NodeId(member.node_id()), member.address()});
          }
          (*shared_done)(std::move(members));
        } else {
          (*shared_done)(FromGrpc(static_cast<int>(status.error_code()), status.error_message(),
                                  status.error_details(), address));
        }
        call.reset();
        gate->Leave();
      });
}

std::shared_ptr<DirectoryWatch> GrpcConnector::WatchDirectory(
    const std::string& address, std::shared_ptr<DirectoryObserver> observer) {
  auto watch = std::make_shared<GrpcDirectoryWatch>(address, std::move(observer), gate_);
  watch->Start();
  return watch;
}

void GrpcConnector::Gate::Enter() {
  std::lock_guard lock(mutex_);
  ++inside_;
}

void GrpcConnector::Gate::Leave() {
  std::lock_guard lock(mutex_);
  if (--inside_ == 0) empty_.notify_all();
}

void GrpcConnector::Gate::WaitUntilEmpty() {
  std::unique_lock lock(mutex_);
  empty_.wait(lock, [this] { return inside_ == 0; });
}

}  // namespace flotilla::client
