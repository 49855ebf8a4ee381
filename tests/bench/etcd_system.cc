// etcd 3.4, driven as well as its API allows: unary calls by the callback API, over several
// connections, writes and linearizable reads straight to the leader (a follower would forward
// them), serializable reads to all members.
#include "tests/bench/etcd.grpc.pb.h"
#include "tests/bench/unary.h"

namespace flotilla::bench {
namespace {

namespace pb = etcdserverpb;

class Etcd final : public System {
 public:
  Etcd(const std::string& leader, const std::vector<std::string>& all, int connections)
      : leader_({leader}, connections),
        all_(all, std::max(1, connections / static_cast<int>(all.size()))) {}

  std::string_view name() const override { return "etcd"; }
  std::string_view api() const override { return "unary"; }

  void Start(OpKind kind, std::uint32_t key, std::uint64_t version,
             Completion* completion) override {
    switch (kind) {
      case OpKind::kPut:
        return Put(key, completion);
      case OpKind::kGet:
        return Range(leader_.Next(), key, 1, false, completion);
      case OpKind::kStaleGet:
        return Range(all_.Next(), key, 1, true, completion);
      case OpKind::kScan100:
        return Range(leader_.Next(), key, kScanRows, false, completion);
      case OpKind::kCas:
      case OpKind::kTxn:
      case OpKind::kTxnOne:
      case OpKind::kTxnTwo:
        return Cas(key, version, completion);
    }
  }

 private:
  using Async = pb::KV::StubInterface::async_interface;

  void Put(std::uint32_t key, Completion* completion) {
    auto call = std::make_unique<UnaryCall<pb::PutRequest, pb::PutResponse>>();
    call->request.set_key(KeyOf(key));
    call->request.set_value(ValueOf(key));
    Call(leader_.Next(), &Async::Put, std::move(call), completion,
         [](const pb::PutResponse& response) { return response.header().revision(); });
  }

  static void Range(Async* async, std::uint32_t key, std::uint32_t rows, bool serializable,
                    Completion* completion) {
    auto call = std::make_unique<UnaryCall<pb::RangeRequest, pb::RangeResponse>>();
    call->request.set_key(KeyOf(key));
    if (rows > 1) {
      // etcd walks over its index up to the range's end, whatever the limit: name the end exactly.
      call->request.set_range_end(KeyOf(key + rows));
      call->request.set_limit(rows);
    }
    call->request.set_serializable(serializable);
    Call(async, &Async::Range, std::move(call), completion,
         [rows](const pb::RangeResponse& response) -> std::int64_t {
           if (response.kvs_size() != static_cast<int>(rows)) return -1;
           return response.kvs(0).mod_revision();
         });
  }

  void Cas(std::uint32_t key, std::uint64_t version, Completion* completion) {
    auto call = std::make_unique<UnaryCall<pb::TxnRequest, pb::TxnResponse>>();
    pb::Compare& compare = *call->request.add_compare();
    compare.set_target(pb::Compare::MOD);
    compare.set_key(KeyOf(key));
    compare.set_mod_revision(static_cast<std::int64_t>(version));
    pb::PutRequest& put = *call->request.add_success()->mutable_request_put();
    put.set_key(KeyOf(key));
    put.set_value(ValueOf(key));
    Call(leader_.Next(), &Async::Txn, std::move(call), completion,
         [](const pb::TxnResponse& response) -> std::int64_t {
           return response.succeeded() ? response.header().revision() : -1;
         });
  }

  Stubs<pb::KV> leader_;
  Stubs<pb::KV> all_;
};

}  // namespace

StatusOr<std::unique_ptr<System>> OpenEtcd(const std::vector<std::string>& endpoints,
                                           int connections) {
  ASSIGN_OR_RETURN(
      const std::string leader,
      FindLeader(endpoints, [](const std::shared_ptr<grpc::Channel>& channel, const auto&) {
        const auto stub = pb::Maintenance::NewStub(channel);
        grpc::ClientContext context;
        pb::StatusResponse status;
        return stub->Status(&context, pb::StatusRequest(), &status).ok() && status.leader() != 0 &&
               status.leader() == status.header().member_id();
      }));
  return std::unique_ptr<System>(new Etcd(leader, endpoints, connections));
}

}  // namespace flotilla::bench
