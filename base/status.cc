#include "base/status.h"

#include <absl/strings/cord.h>

#include "base/coding.h"

namespace flotilla {
namespace {

constexpr char kPayloadUrl[] = "flotilla/reason";

constexpr ReasonInfo kReasons[] = {
    {"NONE", absl::StatusCode::kOk, Retry::kNever, 0, "no error"},
#define FLOTILLA_REASON(name, text, code, retry, exit, meaning) \
  {text, absl::StatusCode::code, Retry::retry, exit, meaning},
#include "base/reasons.inc"
#undef FLOTILLA_REASON
};

absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

// The payload: varint reason | (prefixed key | prefixed value)*.
std::string EncodePayload(Reason reason, const ErrorMetadata& metadata) {
  std::string payload;
  AppendVarint(payload, static_cast<std::uint64_t>(reason));
  for (const auto& [key, value] : metadata) {
    AppendPrefixed(payload, key);
    AppendPrefixed(payload, value);
  }
  return payload;
}

}  // namespace

const ReasonInfo& InfoOf(Reason reason) {
  const auto index = static_cast<std::size_t>(reason);
  const bool known = reason != Reason::kNone && index < std::size(kReasons);
  return kReasons[known ? index : static_cast<std::size_t>(Reason::kInternal)];
}

std::optional<Reason> ReasonFromName(std::string_view name) {
  for (std::size_t i = 1; i < std::size(kReasons); ++i) {
    if (kReasons[i].name == name) return static_cast<Reason>(i);
  }
  return std::nullopt;
}

std::string_view RetryName(Retry retry) {
  switch (retry) {
    case Retry::kSafe:
      return "SAFE";
    case Retry::kRefreshRoute:
      return "REFRESH_ROUTE";
    case Retry::kRestartTxn:
      return "RESTART_TXN";
    case Retry::kCheckOutcome:
      return "CHECK_OUTCOME";
    case Retry::kNever:
      break;
  }
  return "NEVER";
}

Status Error(Reason reason, std::string_view message, const ErrorMetadata& metadata) {
  Status status(InfoOf(reason).code, ToAbsl(message));
  // Through a view: the constructor from a string is a template that the packaged library, built
  // by another compiler, exports under a name that clang does not ask for.
  status.SetPayload(kPayloadUrl, absl::Cord(ToAbsl(EncodePayload(reason, metadata))));
  return status;
}

Reason ReasonOf(const Status& status) {
  if (status.ok()) return Reason::kNone;
  const auto payload = status.GetPayload(kPayloadUrl);
  if (!payload) return Reason::kInternal;
  const std::string text(*payload);
  Reader reader(text);
  std::uint64_t reason = 0;
  if (!reader.Varint(reason) || reason == 0 || reason >= std::size(kReasons)) {
    return Reason::kInternal;
  }
  return static_cast<Reason>(reason);
}

ErrorMetadata MetadataOf(const Status& status) {
  ErrorMetadata metadata;
  const auto payload = status.GetPayload(kPayloadUrl);
  if (!payload) return metadata;
  const std::string text(*payload);
  Reader reader(text);
  std::uint64_t reason = 0;
  if (!reader.Varint(reason)) return metadata;
  std::string_view key;
  std::string_view value;
  while (reader.Prefixed(key) && reader.Prefixed(value)) {
    metadata[std::string(key)] = std::string(value);
  }
  return metadata;
}

bool HoldsForEarlierAttempts(Reason reason) {
  switch (reason) {
    case Reason::kConditionFailed:
    case Reason::kSessionExpired:  // says itself that the outcome is not known
    case Reason::kOutcomeUnknown:
    case Reason::kTxnAborted:
    case Reason::kKeyTooLarge:
    case Reason::kValueTooLarge:
    case Reason::kBatchTooLarge:
    case Reason::kBadRange:
    case Reason::kBadRequest:
    case Reason::kKeyspaceNotFound:
    case Reason::kUnimplemented:
      return true;
    default:
      return false;
  }
}

Status Annotate(const Status& status, std::string_view context) {
  if (status.ok()) return status;
  std::string message(context);
  message += ": ";
  message += MessageOf(status);
  Status annotated(status.code(), message);
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

std::string_view MessageOf(const Status& status) {
  return {status.message().data(), status.message().size()};
}

}  // namespace flotilla
