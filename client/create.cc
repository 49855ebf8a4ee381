// A client that brings its own world: real threads, real clock, gRPC.
#include "base/random.h"
#include "base/real_executor.h"
#include "client/client.h"
#include "client/dispatcher.h"
#include "client/grpc_connector.h"

namespace flotilla::client {

namespace {

struct OwnWorld {
  RealClock clock;
  RealExecutor executor{RealExecutorOptions{.threads = 1}};
  GrpcConnector connector;
};

}  // namespace

StatusOr<std::unique_ptr<Client>> Client::Create(const ClientOptions& options) {
  RETURN_IF_ERROR(ValidateOptions(options));
  auto own = std::make_shared<OwnWorld>();
  auto client = std::make_unique<Client>(options, ClientWorld{.executor = &own->executor,
                                                              .clock = &own->clock,
                                                              .connector = &own->connector,
                                                              .seed = SeedFromSystem()});
  client->own_world_ = std::move(own);
  return client;
}

}  // namespace flotilla::client
