// Flotilla, by the client library and by plain unary calls.
#include "client/client.h"
#include "client/transaction.h"
#include "flotilla/v1/cluster.grpc.pb.h"
#include "flotilla/v1/kv.grpc.pb.h"
#include "tests/bench/unary.h"

namespace flotilla::bench {
namespace {

class FlotillaBatch final : public System {
 public:
  explicit FlotillaBatch(std::unique_ptr<client::Client> client) : client_(std::move(client)) {}

  std::string_view name() const override { return "flotilla"; }
  std::string_view api() const override { return "batch"; }

  void Start(OpKind kind, std::uint32_t key, std::uint64_t version,
             Completion* completion) override {
    switch (kind) {
      case OpKind::kPut:
        client_->PutAsync(KeyOf(key), ValueOf(key), {}, [completion](auto result) {
          completion->Done(result.ok(), result.ok() ? result->version.value() : 0);
        });
        return;
      case OpKind::kGet:
        return Get(key, client::ReadConsistency::kLinearizable, completion);
      case OpKind::kStaleGet:
        return Get(key, client::ReadConsistency::kEventual, completion);
      case OpKind::kScan100:
        client_->ScanPageAsync(
            {.start = KeyOf(key), .end = KeyOf(key + kScanRows), .limit = kScanRows}, {},
            [completion](auto page) {
              completion->Done(page.ok() && page->rows.size() == kScanRows, 0);
            });
        return;
      case OpKind::kCas:
        client_->CompareAndSetAsync(KeyOf(key), client::Condition::VersionIs(Timestamp(version)),
                                    ValueOf(key), {}, [completion](auto result) {
                                      completion->Done(result.ok(),
                                                       result.ok() ? result->version.value() : 0);
                                    });
        return;
      case OpKind::kTxn:
        return ReadAndWrite(KeyOf(key), ValueOf(key), completion);
      case OpKind::kTxnOne:
        return WriteTwo("a/" + KeyOf(key), "b/" + KeyOf(key), ValueOf(key), completion);
      case OpKind::kTxnTwo:
        return WriteTwo("a/" + KeyOf(key), "z/" + KeyOf(key), ValueOf(key), completion);
    }
  }

 private:
  using Txn = std::shared_ptr<client::Transaction>;

  static void Commit(const Txn& txn, Completion* completion) {
    txn->CommitAsync([txn, completion](const StatusOr<Timestamp>& end) {
      completion->Done(end.ok(), end.ok() ? end->value() : 0);
    });
  }

  void ReadAndWrite(const std::string& key, const std::string& value, Completion* completion) {
    const Txn txn = client_->Begin();
    txn->GetAsync(key, {}, [txn, key, &value, completion](const auto& got) {
      if (!got.ok() || !txn->Put(key, value).ok()) return completion->Done(false, 0);
      Commit(txn, completion);
    });
  }

  void WriteTwo(const std::string& one, const std::string& other, const std::string& value,
                Completion* completion) {
    const Txn txn = client_->Begin({.keyspace = kPairsKeyspace});
    if (!txn->Put(one, value).ok() || !txn->Put(other, value).ok()) {
      return completion->Done(false, 0);
    }
    Commit(txn, completion);
  }

  void Get(std::uint32_t key, client::ReadConsistency consistency, Completion* completion) {
    client_->GetAsync(KeyOf(key), {.consistency = consistency}, [completion](auto result) {
      const bool found = result.ok() && result->found;
      completion->Done(found, found ? result->version.value() : 0);
    });
  }

  const std::unique_ptr<client::Client> client_;
};

// Reads the pages of a scan; deletes itself at the end.
class ScanReader final : public grpc::ClientReadReactor<v1::ScanResponse> {
 public:
  ScanReader(v1::KV::StubInterface::async_interface* async, std::uint32_t key,
             Completion* completion)
      : completion_(completion) {
    request_.set_start(KeyOf(key));
    request_.set_end(KeyOf(key + kScanRows));
    request_.set_limit(kScanRows);
    async->Scan(&context_, &request_, this);
    StartRead(&page_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    rows_ += static_cast<std::uint32_t>(page_.rows_size());
    StartRead(&page_);
  }

  void OnDone(const grpc::Status& status) override {
    completion_->Done(status.ok() && rows_ == kScanRows, 0);
    delete this;
  }

 private:
  Completion* const completion_;
  grpc::ClientContext context_;
  v1::ScanRequest request_;
  v1::ScanResponse page_;
  std::uint32_t rows_ = 0;
};

class FlotillaUnary final : public System {
 public:
  FlotillaUnary(const std::string& leader, const std::vector<std::string>& all, int connections)
      : leader_({leader}, connections),
        all_(all, std::max(1, connections / static_cast<int>(all.size()))) {}

  std::string_view name() const override { return "flotilla"; }
  std::string_view api() const override { return "unary"; }

  void Start(OpKind kind, std::uint32_t key, std::uint64_t version,
             Completion* completion) override {
    switch (kind) {
      case OpKind::kPut: {
        auto call = std::make_unique<UnaryCall<v1::PutRequest, v1::PutResponse>>();
        call->request.set_key(KeyOf(key));
        call->request.set_value(ValueOf(key));
        Call(leader_.Next(), &Async::Put, std::move(call), completion,
             [](const v1::PutResponse& response) { return response.version(); });
        return;
      }
      case OpKind::kGet:
        return Get(leader_.Next(), key, v1::CONSISTENCY_LINEARIZABLE, completion);
      case OpKind::kStaleGet:
        return Get(all_.Next(), key, v1::CONSISTENCY_EVENTUAL, completion);
      case OpKind::kScan100:
        new ScanReader(leader_.Next(), key, completion);
        return;
      case OpKind::kCas: {
        auto call =
            std::make_unique<UnaryCall<v1::CompareAndSetRequest, v1::CompareAndSetResponse>>();
        call->request.set_key(KeyOf(key));
        call->request.set_value(ValueOf(key));
        call->request.mutable_condition()->set_version(version);
        Call(leader_.Next(), &Async::CompareAndSet, std::move(call), completion,
             [](const v1::CompareAndSetResponse& response) { return response.version(); });
        return;
      }
      case OpKind::kTxn:
      case OpKind::kTxnOne:
      case OpKind::kTxnTwo:
        return completion->Done(false, 0);  // a stream is no plain call
    }
  }

 private:
  using Async = v1::KV::StubInterface::async_interface;

  static void Get(Async* async, std::uint32_t key, v1::Consistency consistency,
                  Completion* completion) {
    auto call = std::make_unique<UnaryCall<v1::GetRequest, v1::GetResponse>>();
    call->request.set_key(KeyOf(key));
    call->request.set_consistency(consistency);
    Call(async, &Async::Get, std::move(call), completion,
         [](const v1::GetResponse& response) -> std::int64_t {
           return response.found() ? static_cast<std::int64_t>(response.version()) : -1;
         });
  }

  Stubs<v1::KV> leader_;
  Stubs<v1::KV> all_;
};

}  // namespace

StatusOr<std::unique_ptr<System>> OpenFlotillaBatch(const std::vector<std::string>& endpoints,
                                                    const std::string& keyspace) {
  ASSIGN_OR_RETURN(auto client,
                   client::Client::Create({.endpoints = endpoints, .keyspace = keyspace}));
  return std::unique_ptr<System>(new FlotillaBatch(std::move(client)));
}

StatusOr<std::unique_ptr<System>> OpenFlotillaUnary(const std::vector<std::string>& endpoints,
                                                    int connections) {
  ASSIGN_OR_RETURN(
      const std::string leader,
      FindLeader(endpoints, [](const std::shared_ptr<grpc::Channel>& channel, const auto&) {
        const auto stub = v1::Cluster::NewStub(channel);
        grpc::ClientContext context;
        v1::StatusResponse status;
        if (!stub->Status(&context, v1::StatusRequest(), &status).ok()) return false;
        for (const v1::GroupStatus& group : status.groups()) {
          if (group.role() == v1::ROLE_LEADER) return true;
        }
        return false;
      }));
  return std::unique_ptr<System>(new FlotillaUnary(leader, endpoints, connections));
}

}  // namespace flotilla::bench
