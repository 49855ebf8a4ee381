#include "tests/client/memory_server.h"

#include <algorithm>

#include "base/check.h"
#include "client/errors.h"

namespace flotilla::client {
namespace {

void FailWith(Reason reason, const std::string& message, v1::Response* response,
              const ErrorMetadata& metadata = {}) {
  ToWire(Error(reason, message, metadata), response->mutable_error());
}

const v1::RequestHeader* WriteHeader(const v1::Request& request) {
  switch (request.request_case()) {
    case v1::Request::kPut:
      return &request.put().header();
    case v1::Request::kDelete:
      return &request.delete_().header();
    case v1::Request::kDeleteRange:
      return &request.delete_range().header();
    case v1::Request::kCompareAndSet:
      return &request.compare_and_set().header();
    case v1::Request::kBatch:
      return &request.batch().header();
    default:
      return nullptr;
  }
}

}  // namespace

MemoryServer::MemoryServer(int port) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                           &port_);
  builder.RegisterService(static_cast<v1::KV::Service*>(this));
  builder.RegisterService(static_cast<v1::Cluster::Service*>(this));
  builder.SetMaxReceiveMessageSize(-1);
  server_ = builder.BuildAndStart();
  CHECK(server_ != nullptr) << "port " << port;
}

void MemoryServer::Stop() {
  if (!server_) return;
  server_->Shutdown(gpr_now(GPR_CLOCK_REALTIME));
  server_->Wait();
  server_.reset();
}

std::uint64_t MemoryServer::writes() const {
  std::lock_guard lock(mutex_);
  return writes_;
}

std::uint64_t MemoryServer::pipeline_messages() const {
  std::lock_guard lock(mutex_);
  return messages_;
}

void MemoryServer::LoseNextAnswer() {
  std::lock_guard lock(mutex_);
  lose_next_answer_ = true;
}

grpc::Status MemoryServer::Pipeline(
    grpc::ServerContext*,
    grpc::ServerReaderWriter<v1::PipelineResponse, v1::PipelineRequest>* stream) {
  v1::PipelineRequest requests;
  while (stream->Read(&requests)) {
    v1::PipelineResponse responses;
    bool lost = false;
    {
      std::lock_guard lock(mutex_);
      ++messages_;
      for (const v1::Request& request : requests.requests()) {
        if (!Serve(request, responses.add_responses())) lost = true;
      }
    }
    if (lost) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the answer was lost");
    responses.set_timestamp(1);
    if (!stream->Write(responses)) break;
  }
  return grpc::Status::OK;
}

grpc::Status MemoryServer::ListNodes(grpc::ServerContext*, const v1::ListNodesRequest*,
                                     v1::ListNodesResponse* response) {
  v1::MemberStatus& node = *response->add_nodes();
  node.set_node_id(1);
  node.set_address(address());
  node.set_voter(true);
  node.set_active(true);
  return grpc::Status::OK;
}

grpc::Status MemoryServer::Status(grpc::ServerContext*, const v1::StatusRequest*,
                                  v1::StatusResponse* response) {
  v1::NodeStatus& node = *response->mutable_node();
  node.set_node_id(1);
  node.set_cluster_id(77);
  node.set_version("test");
  node.set_address(address());
  node.set_state(v1::NODE_STATE_SERVING);
  v1::GroupStatus& group = *response->add_groups();
  group.set_group_id(2);
  group.set_role(v1::ROLE_LEADER);
  group.set_term(3);
  group.set_leader_id(1);
  group.set_leader_address(address());
  group.set_commit_index(1234);
  group.set_applied_index(1230);
  group.set_last_index(1234);
  group.set_keys_estimate(5);
  group.set_disk_bytes(3 << 20);
  v1::MemberStatus& member = *group.add_members();
  member.set_node_id(1);
  member.set_address(address());
  member.set_voter(true);
  member.set_match_index(1234);
  member.set_active(true);
  return grpc::Status::OK;
}

bool MemoryServer::Serve(const v1::Request& request, v1::Response* response) {
  const v1::RequestHeader* header = WriteHeader(request);
  if (header == nullptr) {
    response->set_id(request.id());
    ServeRead(request, response);
    return true;
  }
  const std::pair key(header->client_id(), header->sequence());
  const auto known = answered_.find(key);
  if (known != answered_.end()) {
    *response = known->second;
  } else {
    ++clock_;
    ServeWrite(request, response);
    answered_[key] = *response;
  }
  response->set_id(request.id());
  if (!lose_next_answer_) return true;
  lose_next_answer_ = false;
  return false;
}

void MemoryServer::ServeRead(const v1::Request& request, v1::Response* response) {
  if (request.has_get()) {
    v1::GetResponse& get = *response->mutable_get();
    get.mutable_header()->set_node_id(1);
    const auto it = store_.find(request.get().key());
    get.set_found(it != store_.end());
    if (it == store_.end()) return;
    get.set_value(it->second.bytes);
    get.set_version(it->second.version);
  } else if (request.has_batch_get()) {
    response->mutable_batch_get()->mutable_header()->set_node_id(1);
    for (const std::string& key : request.batch_get().keys()) {
      v1::GetResult& result = *response->mutable_batch_get()->add_results();
      const auto it = store_.find(key);
      result.set_found(it != store_.end());
      if (it == store_.end()) continue;
      result.set_value(it->second.bytes);
      result.set_version(it->second.version);
    }
  } else if (request.has_scan()) {
    ServeScan(request.scan(), response->mutable_scan());
  } else {
    FailWith(Reason::kBadRequest, "no request", response);
  }
}

void MemoryServer::ServeScan(const v1::ScanRequest& request, v1::ScanResponse* response) {
  response->mutable_header()->set_node_id(1);
  std::vector<std::string> keys;
  for (const auto& [key, value] : store_) {
    if (key.rfind(request.prefix(), 0) != 0 || key < request.start()) continue;
    if (!request.end().empty() && key >= request.end()) continue;
    keys.push_back(key);
  }
  if (request.reverse()) std::reverse(keys.begin(), keys.end());
  const std::string& token = request.continuation_token();
  auto from = token.empty() ? keys.begin() : std::find(keys.begin(), keys.end(), token);
  for (std::uint64_t rows = 0; from != keys.end() && rows < request.limit(); ++rows, ++from) {
    v1::Row& row = *response->add_rows();
    row.set_key(*from);
    row.set_version(store_[*from].version);
    if (!request.keys_only()) row.set_value(store_[*from].bytes);
  }
  if (from != keys.end()) response->set_continuation_token(*from);
}

void MemoryServer::ServeWrite(const v1::Request& request, v1::Response* response) {
  if (request.has_put()) {
    if (request.put().key().empty()) return FailWith(Reason::kBadRequest, "no key", response);
    store_[request.put().key()] = {request.put().value(), clock_};
    response->mutable_put()->mutable_header()->set_node_id(1);
    response->mutable_put()->set_version(clock_);
  } else if (request.has_delete_()) {
    response->mutable_delete_()->mutable_header()->set_node_id(1);
    response->mutable_delete_()->set_existed(store_.erase(request.delete_().key()) > 0);
  } else if (request.has_delete_range()) {
    response->mutable_delete_range()->mutable_header()->set_node_id(1);
    response->mutable_delete_range()->set_deleted(
        Remove(request.delete_range().start(), request.delete_range().end()));
  } else if (request.has_compare_and_set()) {
    const v1::CompareAndSetRequest& cas = request.compare_and_set();
    if (!Holds(cas.condition(), cas.key())) {
      const auto it = store_.find(cas.key());
      return FailWith(
          Reason::kConditionFailed, "the condition does not hold", response,
          {{"actual_version", std::to_string(it == store_.end() ? 0 : it->second.version)}});
    }
    if (cas.has_value()) {
      store_[cas.key()] = {cas.value(), clock_};
    } else {
      store_.erase(cas.key());
    }
    response->mutable_compare_and_set()->mutable_header()->set_node_id(1);
    response->mutable_compare_and_set()->set_version(clock_);
  } else {
    std::uint64_t deleted = 0;
    for (const v1::WriteOperation& op : request.batch().operations()) {
      if (op.has_put()) store_[op.put().key()] = {op.put().value(), clock_};
      if (op.has_delete_()) deleted += store_.erase(op.delete_().key());
      if (op.has_delete_range()) {
        deleted += Remove(op.delete_range().start(), op.delete_range().end());
      }
    }
    response->mutable_batch()->mutable_header()->set_node_id(1);
    response->mutable_batch()->set_version(clock_);
    response->mutable_batch()->set_deleted(deleted);
  }
  ++writes_;
}

bool MemoryServer::Holds(const v1::Condition& condition, const std::string& key) {
  const auto it = store_.find(key);
  const bool exists = it != store_.end();
  switch (condition.condition_case()) {
    case v1::Condition::kVersion:
      return exists && it->second.version == condition.version();
    case v1::Condition::kValue:
      return exists && it->second.bytes == condition.value();
    case v1::Condition::kAbsent:
      return !exists;
    case v1::Condition::kExists:
      return exists;
    case v1::Condition::CONDITION_NOT_SET:
      break;
  }
  return true;
}

std::uint64_t MemoryServer::Remove(const std::string& start, const std::string& end) {
  const auto first = store_.lower_bound(start);
  const auto last = end.empty() ? store_.end() : store_.lower_bound(end);
  const auto count = static_cast<std::uint64_t>(std::distance(first, last));
  store_.erase(first, last);
  return count;
}

}  // namespace flotilla::client
