#include "tests/cmd/kvctl/directory_server.h"

#include "base/check.h"
#include "client/errors.h"
#include "google/rpc/status.pb.h"

namespace flotilla::kvctl {
namespace {

constexpr std::uint64_t kJob = 9;

}  // namespace

DirectoryServer::DirectoryServer() {
  v1::Keyspace& first = *keyspaces.add_keyspaces();
  first.set_id(1);
  first.set_name("default");
  first.set_partitioning(v1::PARTITIONING_RANGE);
  first.set_replicas(3);
  first.set_shards(2);
  first.set_shards_min(1);
  first.mutable_retention()->set_seconds(3600);
  v1::Keyspace& second = *keyspaces.add_keyspaces();
  second.set_id(7);
  second.set_name("users");
  second.set_partitioning(v1::PARTITIONING_HASH);
  second.set_replicas(3);
  second.set_shards(8);
  second.add_apart("zone");
  (*second.mutable_require())["disk"] = "ssd";
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
  builder.RegisterService(static_cast<v1::Directory::Service*>(this));
  builder.RegisterService(static_cast<v1::Cluster::Service*>(this));
  builder.RegisterService(static_cast<v1::KV::Service*>(this));
  server_ = builder.BuildAndStart();
  CHECK(server_ != nullptr);
}

DirectoryServer::~DirectoryServer() { server_->Shutdown(gpr_now(GPR_CLOCK_REALTIME)); }

grpc::Status DirectoryServer::Changed(const google::protobuf::Message& request) {
  asked.push_back(request.GetDescriptor()->name() + " " + request.ShortDebugString());
  if (error.ok()) return grpc::Status::OK;
  google::rpc::Status details;
  client::ToWire(error, &details);
  return {static_cast<grpc::StatusCode>(error.code()), details.message(),
          details.SerializeAsString()};
}

#define FLOTILLA_CALL(name, request, response)                                    \
  grpc::Status DirectoryServer::name(grpc::ServerContext*, const v1::request* in, \
                                     [[maybe_unused]] v1::response* out)

FLOTILLA_CALL(ListKeyspaces, ListKeyspacesRequest, ListKeyspacesResponse) {
  for (const v1::Keyspace& keyspace : keyspaces.keyspaces()) {
    if (in->name().empty() || in->name() == keyspace.name()) *out->add_keyspaces() = keyspace;
  }
  return Changed(*in);
}
FLOTILLA_CALL(CreateKeyspace, CreateKeyspaceRequest, CreateKeyspaceResponse) {
  out->mutable_keyspace()->set_name(in->name());
  out->mutable_keyspace()->set_shards(std::max(in->shards(), 1u));
  return Changed(*in);
}
FLOTILLA_CALL(AlterKeyspace, AlterKeyspaceRequest, AlterKeyspaceResponse) {
  out->mutable_keyspace()->set_name(in->name());
  return Changed(*in);
}
FLOTILLA_CALL(DropKeyspace, DropKeyspaceRequest, DropKeyspaceResponse) {
  out->set_job_id(kJob);
  return Changed(*in);
}
FLOTILLA_CALL(ListShards, ListShardsRequest, ListShardsResponse) {
  // A page for each shard.
  const int at = in->page_token().empty() ? 0 : std::stoi(in->page_token());
  if (at < shards.shards_size()) *out->add_shards() = shards.shards(at);
  if (at + 1 < shards.shards_size()) out->set_next_page_token(std::to_string(at + 1));
  return Changed(*in);
}
FLOTILLA_CALL(LocateKey, LocateKeyRequest, LocateKeyResponse) {
  *out = located;
  return Changed(*in);
}
FLOTILLA_CALL(SplitShard, SplitShardRequest, JobResponse) {
  out->set_job_id(kJob);
  return Changed(*in);
}
FLOTILLA_CALL(MergeShards, MergeShardsRequest, JobResponse) {
  out->set_job_id(kJob);
  return Changed(*in);
}
FLOTILLA_CALL(MoveReplica, MoveReplicaRequest, JobResponse) {
  out->set_job_id(kJob);
  return Changed(*in);
}
FLOTILLA_CALL(ListJobs, ListJobsRequest, ListJobsResponse) {
  for (const v1::Job& one : job) *out->add_jobs() = one;
  return Changed(*in);
}
FLOTILLA_CALL(CancelJob, CancelJobRequest, CancelJobResponse) { return Changed(*in); }
FLOTILLA_CALL(GetTimestamp, GetTimestampRequest, GetTimestampResponse) {
  out->set_timestamp((1'700'000'000'123ull << 18) + 5);
  return Changed(*in);
}
FLOTILLA_CALL(Status, StatusRequest, StatusResponse) {
  (void)in;
  *out = status;
  return grpc::Status::OK;
}
FLOTILLA_CALL(TriggerSnapshot, TriggerSnapshotRequest, TriggerSnapshotResponse) {
  out->set_index(70);
  out->set_bytes(2048);
  return Changed(*in);
}
FLOTILLA_CALL(VacuumStatus, VacuumStatusRequest, VacuumStatusResponse) {
  (void)in;
  *out = vacuum;
  return grpc::Status::OK;
}
FLOTILLA_CALL(VacuumRun, VacuumRunRequest, VacuumRunResponse) {
  out->mutable_run()->set_versions_dropped(70);
  out->mutable_run()->set_bytes_before(4096);
  out->mutable_run()->set_bytes_after(1024);
  out->mutable_run()->mutable_took()->set_seconds(2);
  return Changed(*in);
}
FLOTILLA_CALL(History, HistoryRequest, HistoryResponse) {
  *out = history;
  return Changed(*in);
}
FLOTILLA_CALL(TransferLeadership, TransferLeadershipRequest, TransferLeadershipResponse) {
  out->set_leader_id(2);
  return Changed(*in);
}
FLOTILLA_CALL(ListNodes, ListNodesRequest, ListNodesResponse) {
  v1::NodeDescriptor& node = *out->add_descriptors();
  node.set_node_id(3);
  node.set_address("host3:7101");
  node.set_role(v1::NODE_ROLE_DRAINING);
  node.set_weight(100);
  (*node.mutable_labels())["zone"] = "c";
  (*node.mutable_labels())["disk"] = "ssd";
  v1::NodeReport& report = *out->add_reports();
  report.set_node_id(3);
  report.set_liveness(v1::LIVENESS_SUSPECT);
  report.set_replicas(7);
  report.set_leaders(2);
  report.set_requests_per_second(15);
  report.set_bytes_stored(3 << 20);
  report.set_disk_bytes(1ull << 30);
  v1::MemberStatus& member = *out->add_nodes();
  member.set_node_id(3);
  member.set_address("host3:7101");
  return Changed(*in);
}
FLOTILLA_CALL(Aggregate, AggregateRequest, AggregateResponse) {
  out->set_count(12);
  out->set_bytes(3456);
  if (in->add_up()) {
    out->set_sum(-7);
    out->set_not_integers(2);
  }
  return Changed(*in);
}
FLOTILLA_CALL(DrainNode, DrainNodeRequest, DrainNodeResponse) {
  if (in->dry_run()) {
    out->set_plan(plan);
  } else if (!in->undo()) {
    out->set_job_id(kJob);
  }
  return Changed(*in);
}
FLOTILLA_CALL(DecommissionNode, DecommissionNodeRequest, DecommissionNodeResponse) {
  out->set_job_id(kJob);
  return Changed(*in);
}
#undef FLOTILLA_CALL

grpc::Status DirectoryServer::WatchJobs(grpc::ServerContext*, const v1::WatchJobsRequest* in,
                                        grpc::ServerWriter<v1::WatchJobsResponse>* out) {
  for (const v1::Job& one : job) {
    v1::WatchJobsResponse news;
    *news.add_jobs() = one;
    out->Write(news);
  }
  return Changed(*in);
}

}  // namespace flotilla::kvctl
