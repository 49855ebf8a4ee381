// OwnWorld: real threads, the real clock and gRPC, for a client that nobody gave a world. Internal.
#pragma once

#include "base/clock.h"
#include "base/real_executor.h"
#include "client/grpc_connector.h"

namespace flotilla::client {

struct OwnWorld {
  RealClock clock;
  RealExecutor executor{1};  // timers only
  GrpcConnector connector;   // destroyed first: waits for the last callbacks
};

}  // namespace flotilla::client
