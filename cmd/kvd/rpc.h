// What every gRPC handler needs: deadlines and errors.
#pragma once

#include <grpcpp/grpcpp.h>

#include "base/clock.h"
#include "base/status.h"

namespace flotilla {

// The call's deadline on our clock; `fallback` from now when it has none.
MonoTime DeadlineOf(const grpc::CallbackServerContext& context, const Clock& clock,
                    Duration fallback);

// With google.rpc.Status in the details.
grpc::Status ToGrpc(const Status& status);

}  // namespace flotilla
