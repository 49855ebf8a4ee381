#include "client/errors.h"

#include <fmt/format.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace flotilla::client {
namespace {

constexpr std::string_view kDomain = "flotilla";

Reason ReasonOfCode(int code) {
  switch (static_cast<absl::StatusCode>(code)) {
    case absl::StatusCode::kUnavailable:
      return Reason::kUnreachable;
    case absl::StatusCode::kCancelled:
      return Reason::kCancelled;
    case absl::StatusCode::kDeadlineExceeded:
      return Reason::kDeadlineExceeded;
    case absl::StatusCode::kUnimplemented:
      return Reason::kUnimplemented;
    case absl::StatusCode::kResourceExhausted:
      return Reason::kOverloaded;
    default:
      return Reason::kInternal;
  }
}

// gRPC's "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:7101: Failed to
// connect to remote host: Connection refused" has the system's error at its end.
std::string_view SystemError(std::string_view message) {
  const auto colon = message.rfind(": ");
  return colon == std::string_view::npos ? message : message.substr(colon + 2);
}

}  // namespace

Status FromWire(const google::rpc::Status& error) {
  for (const auto& detail : error.details()) {
    google::rpc::ErrorInfo info;
    if (!detail.Is<google::rpc::ErrorInfo>() || !detail.UnpackTo(&info)) continue;
    if (info.domain() != kDomain) continue;
    const auto reason = ReasonFromName(info.reason());
    if (!reason) continue;  // a newer server's: the code still says enough
    ErrorMetadata metadata(info.metadata().begin(), info.metadata().end());
    metadata.erase("retry");  // follows from the reason
    return Error(*reason, error.message(), metadata);
  }
  return Error(ReasonOfCode(error.code()), error.message());
}

Status FromGrpc(int code, const std::string& message, const std::string& details,
                std::string_view address) {
  google::rpc::Status wire;
  if (!details.empty() && wire.ParseFromString(details) && wire.details_size() > 0) {
    return FromWire(wire);
  }
  const Reason reason = ReasonOfCode(code);
  if (reason == Reason::kUnreachable) {
    return Error(reason, fmt::format("no connection to {}: {}", address, SystemError(message)));
  }
  return Error(reason, fmt::format("{}: {}", address, message));
}

void ToWire(const Status& status, google::rpc::Status* error) {
  const ReasonInfo& reason = InfoOf(ReasonOf(status));
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason.name));
  info.set_domain(std::string(kDomain));
  for (const auto& [key, value] : MetadataOf(status)) (*info.mutable_metadata())[key] = value;
  (*info.mutable_metadata())["retry"] = std::string(RetryName(reason.retry));
  error->set_code(static_cast<int>(reason.code));
  error->set_message(std::string(MessageOf(status)));
  error->add_details()->PackFrom(info);
}

}  // namespace flotilla::client
