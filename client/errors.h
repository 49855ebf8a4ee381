// Errors on the wire: google.rpc.Status with an ErrorInfo, and gRPC's own, as Status and back.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace google::rpc {
class Status;
}  // namespace google::rpc

namespace flotilla::client {

// The reason is that of the ErrorInfo. Without one (a proxy, another server, gRPC itself) it is
// the nearest to the code: UNAVAILABLE reads as UNREACHABLE, CANCELLED, DEADLINE_EXCEEDED and
// UNIMPLEMENTED as themselves, everything else as INTERNAL. Never OK.
Status FromWire(const google::rpc::Status& error);

// A unary call's status: `details` is the serialized google.rpc.Status of the trailing metadata,
// or empty. `address` goes into the message of a failed connection.
Status FromGrpc(int code, const std::string& message, const std::string& details,
                std::string_view address);

// What a server sends: for fakes and tests, and for whoever serves the API over another network.
void ToWire(const Status& status, google::rpc::Status* error);

}  // namespace flotilla::client
