#include "cmd/kvd/server.h"

#include <fmt/format.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <rocksdb/env.h>

#include <algorithm>
#include <future>
#include <utility>

#include "base/logger.h"
#include "base/random.h"
#include "base/real_executor.h"
#include "cmd/kvd/cluster_service.h"
#include "cmd/kvd/directory_service.h"
#include "cmd/kvd/http_server.h"
#include "cmd/kvd/kv_service.h"
#include "cmd/kvd/listener.h"
#include "cmd/kvd/memory.h"
#include "cmd/kvd/metrics.h"
#include "cmd/kvd/transactions_service.h"
#include "raft/transport/grpc_transport.h"
#include "shard/node.h"

namespace flotilla {
namespace {

constexpr char kSlowDiskPage[] = "the disk does not answer\n";
constexpr std::uint64_t kBlockCacheBytesMin = 256 << 20;
constexpr auto kHealthPeriod = std::chrono::milliseconds(250);
constexpr int kDescriptorsFew = 16'384;

NodeOptions ToNodeOptions(const Config& config) {
  NodeOptions options;
  options.data_directory = config.data_dir;
  options.advertise_address = config.advertise;
  options.join = config.join;
  options.bootstrap_expect = config.bootstrap_expect;
  options.promote_joined = config.promote_joined;
  options.labels = config.labels;
  options.weight = config.weight;
  options.balance = config.balance;
  options.balancer.dead_after = config.replace_after;
  options.balancer.split_bytes = config.split_size;
  options.balancer.split_requests_per_s = config.split_load;
  options.election_timeout = config.election_timeout;
  options.heartbeat_interval = config.heartbeat_interval;
  options.leases = config.leases;
  options.quiesce_after = config.quiesce_after;
  options.slow_disk_after = config.slow_disk_after;
  options.block_cache_bytes = config.block_cache != 0
                                  ? config.block_cache
                                  : std::max<std::uint64_t>(MemoryBytes() / 8, kBlockCacheBytesMin);
  options.write_buffer_bytes = config.write_buffer;
  options.log.segment_bytes = config.wal_segment;
  options.log.cache_bytes = config.wal_cache;
  options.log.live_bytes_soft_max = config.wal_max;
  options.store.memtable_bytes = config.memtable;
  options.admitted_requests_max = config.requests_max;
  options.compact_after_bytes = config.compact_after;
  options.background_bytes_per_second_max = config.compaction_rate;
  options.snapshot_bytes_per_second_max = config.snapshot_rate;
  options.disk_reserve_bytes = config.disk_reserve;
  options.vacuum.automatic = config.vacuum;
  options.vacuum.versions_min = config.vacuum_threshold;
  options.vacuum.fraction_min = config.vacuum_percent / 100.0;
  options.vacuum.age_max = config.vacuum_age;
  options.vacuum.hold_max = config.vacuum_hold;
  return options;
}

}  // namespace

struct Server::Parts {
  Config config;
  std::shared_ptr<spdlog::logger> logger;
  RealClock clock;
  std::unique_ptr<RealExecutor> executor;
  std::unique_ptr<Strand> health;
  std::unique_ptr<raft::GrpcTransport> transport;
  std::unique_ptr<Node> node;
  RequestMetrics metrics;
  std::unique_ptr<KvService> kv;
  std::unique_ptr<TransactionsService> transactions;
  std::unique_ptr<ClusterService> cluster;
  std::unique_ptr<DirectoryService> directory;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
  std::unique_ptr<grpc::Server> grpc;
  std::unique_ptr<HttpServer> http;
  bool stopped = false;

  Status Listen(const std::string& version, int descriptors_max);
  Status StartHttp();
  void WatchHealth();
};

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() { Stop(); }

StatusOr<std::unique_ptr<Server>> Server::Start(const Config& config, const std::string& version,
                                                UniqueFunction<void(Status)> on_fatal) {
  auto parts = std::make_unique<Parts>();
  parts->config = config;
  parts->logger = MakeLogger("kvd", config.log_format, spdlog::level::from_str(config.log_level),
                             config.log_file);
  parts->executor = std::make_unique<RealExecutor>(config.threads);
  parts->health = parts->executor->NewStrand("health");
  parts->transport = std::make_unique<raft::GrpcTransport>(
      raft::PeerLinkOptions{}, parts->executor.get(), parts->logger, SeedFromSystem());
  World world;
  world.executor = parts->executor.get();
  world.clock = &parts->clock;
  world.transport = parts->transport.get();
  world.env = rocksdb::Env::Default();
  world.logger = parts->logger;
  world.seed = SeedFromSystem();
  // From here on the destructor takes everything down in order.
  std::unique_ptr<Server> server(new Server(std::move(parts)));
  Parts& all = *server->parts_;
  const int descriptors_max = RaiseDescriptorLimit();
  if (descriptors_max < kDescriptorsFew) {
    all.logger->warn(
        "at most {} files may be open, and each group needs up to 20: for hundreds of groups raise "
        "the limit (`ulimit -Hn`, or LimitNOFILE= of the service)",
        descriptors_max);
  }
  ASSIGN_OR_RETURN(all.node, Node::Open(ToNodeOptions(config), world));
  RETURN_IF_ERROR(all.Listen(version, descriptors_max));
  RETURN_IF_ERROR(all.StartHttp());
  all.node->Start(std::move(on_fatal));
  all.WatchHealth();
  all.logger->info("listening on {} (gRPC) and {} (HTTP)", config.listen, config.http_listen);
  return server;
}

Status Server::Parts::Listen(const std::string& version, int descriptors_max) {
  PipelineSession::Options options;
  options.default_timeout = config.request_timeout;
  options.open_max = config.requests_max;
  kv = std::make_unique<KvService>(options, &node->gateway(), &clock, &metrics);
  transactions = std::make_unique<TransactionsService>(
      TransactSession::Options{.default_timeout = config.request_timeout,
                               .requests_max = config.requests_max},
      node.get(), executor.get(), &clock, &metrics, SeedFromSystem());
  cluster = std::make_unique<ClusterService>(
      ClusterService::Options{.version = version,
                              .http_address = config.http_listen,
                              .default_timeout = config.request_timeout},
      node.get(), &clock);
  directory = std::make_unique<DirectoryService>(
      DirectoryService::Options{.default_timeout = config.request_timeout}, node.get(),
      executor.get(), &clock);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(raft::kPeerMessageBytesMax);
  builder.SetMaxSendMessageSize(raft::kPeerMessageBytesMax);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 500);
  builder.RegisterService(kv.get());
  builder.RegisterService(transactions.get());
  builder.RegisterService(cluster.get());
  builder.RegisterService(directory.get());
  builder.RegisterService(transport->service());
  acceptor = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      grpc::InsecureServerCredentials());
  ASSIGN_OR_RETURN(listener, Listener::Open(config.listen, descriptors_max, logger));
  grpc = builder.BuildAndStart();
  if (!grpc) return Error(Reason::kInternal, "gRPC does not start");
  listener->Start(*executor, [this](int descriptor) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = descriptor;
    acceptor->HandleNewConnection(&connection);
  });
  grpc->GetHealthCheckService()->SetServingStatus(false);
  return absl::OkStatus();
}

Status Server::Parts::StartHttp() {
  HttpServer::Pages pages;
  pages.healthz = [this] {
    const bool slow = node->state() == NodeState::kSlowDisk;
    return HttpServer::Page{.code = slow ? 503 : 200, .body = slow ? kSlowDiskPage : "ok\n"};
  };
  pages.readyz = [this] {
    if (node->Ready()) return HttpServer::Page{.code = 200, .body = "ready\n"};
    return HttpServer::Page{.code = 503,
                            .body = node->state() == NodeState::kSlowDisk
                                        ? kSlowDiskPage
                                        : "not a member of a cluster with a leader yet\n"};
  };
  pages.metrics = [this] {
    auto promise = std::make_shared<std::promise<NodeInfo>>();
    std::future<NodeInfo> info = promise->get_future();
    node->Info([promise](NodeInfo got) { promise->set_value(std::move(got)); });
    if (info.wait_for(std::chrono::seconds(2)) != std::future_status::ready) {
      return HttpServer::Page{.code = 503, .body = "the node does not answer\n"};
    }
    return HttpServer::Page{.type = "text/plain; version=0.0.4; charset=utf-8",
                            .body = MetricsPage::Render(metrics, info.get())};
  };
  ASSIGN_OR_RETURN(http, HttpServer::Start(config.http_listen, std::move(pages)));
  return absl::OkStatus();
}

// gRPC's health service follows readiness.
void Server::Parts::WatchHealth() {
  grpc->GetHealthCheckService()->SetServingStatus(node->Ready());
  health->After(kHealthPeriod, [this] { WatchHealth(); });
}

void Server::Stop() {
  Parts& parts = *parts_;
  if (std::exchange(parts.stopped, true)) return;
  if (parts.grpc) {
    parts.grpc->GetHealthCheckService()->SetServingStatus(false);
    std::promise<void> done;
    parts.node->Stop(parts.config.shutdown_grace, [&done] { done.set_value(); });
    done.get_future().wait();
    parts.http = nullptr;
    parts.grpc->Shutdown(
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(1, GPR_TIMESPAN)));
  }
  if (parts.listener) parts.listener->Stop();
  parts.transport->Stop();
  parts.executor->Stop();
  parts.listener = nullptr;
  parts.grpc = nullptr;
  parts.kv = nullptr;
  parts.transactions = nullptr;
  parts.cluster = nullptr;
  parts.directory = nullptr;
  parts.node = nullptr;
  parts.transport = nullptr;
  parts.health = nullptr;
  parts.logger->info("stopped");
}

}  // namespace flotilla
