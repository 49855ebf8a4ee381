// Status with a typed reason: what happened, where, and what to do about it.
//
// A reason is one of the table in reasons.inc: its gRPC code, its retry class, kvctl's exit code.
// Statuses without a reason (from libraries) read as Reason::kInternal.
//
//   return Error(Reason::kKeyTooLarge,
//                fmt::format("the key has {} bytes; at most {} are allowed: shorten it", n, max));
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"

namespace flotilla {

using Status = absl::Status;
template <class T>
using StatusOr = absl::StatusOr<T>;

enum class Reason {
  kNone,  // the status is OK
#define FLOTILLA_REASON(name, text, code, retry, exit, meaning) name,
#include "base/reasons.inc"
#undef FLOTILLA_REASON
};

// What a caller may do after an error.
enum class Retry {
  kSafe,          // repeat as it is, after a back-off
  kRefreshRoute,  // repeat at once, at the place that the error names
  kRestartTxn,    // repeat the whole transaction
  kCheckOutcome,  // it may have happened: repeat only with the same client id and sequence number
  kNever,
};

struct ReasonInfo {
  std::string_view name;  // "NOT_LEADER"
  absl::StatusCode code;
  Retry retry;
  int exit_code;  // of kvctl
  std::string_view meaning;
};

// The table's line for a reason; kNone and unknown values give that of kInternal.
const ReasonInfo& InfoOf(Reason reason);
// The reason of that name; nothing when there is none.
std::optional<Reason> ReasonFromName(std::string_view name);
// "SAFE", "REFRESH_ROUTE", ...
std::string_view RetryName(Retry retry);

// What the error's ErrorInfo will carry beside the reason: bounded, printable.
using ErrorMetadata = std::map<std::string, std::string>;

// Keys of metadata that code reads (not only people).
inline constexpr std::string_view kLeaderNodeMetadata = "leader_node";
inline constexpr std::string_view kLeaderAddressMetadata = "leader_address";
inline constexpr std::string_view kActualVersionMetadata = "actual_version";
inline constexpr std::string_view kTimestampMetadata = "timestamp";
// Of WRONG_SHARD: what the group holds; the bounds in hexadecimal digits.
inline constexpr std::string_view kGroupMetadata = "group";
inline constexpr std::string_view kEpochMetadata = "epoch";
inline constexpr std::string_view kRangeStartMetadata = "range_start";
inline constexpr std::string_view kRangeEndMetadata = "range_end";

// An error status. `message` says what happened, on which key, group or node, and what to do.
Status Error(Reason reason, std::string_view message, const ErrorMetadata& metadata = {});

Reason ReasonOf(const Status& status);
ErrorMetadata MetadataOf(const Status& status);

// Whether an error of this reason, given to a repeated request with a client id and sequence
// number, holds for the attempts before it as well: it came with the evaluation of that very
// number, or from the request alone. Others say only that this attempt was not done.
bool HoldsForEarlierAttempts(Reason reason);

// The same reason and metadata with words in front: "opening group 7: ...".
Status Annotate(const Status& status, std::string_view context);

// The message as a std::string_view (abseil has a type of its own for it).
std::string_view MessageOf(const Status& status);

}  // namespace flotilla

// Returns from the enclosing function when `expression` is not OK.
#define RETURN_IF_ERROR(expression)                                                         \
  do {                                                                                      \
    if (::flotilla::Status status_of_expression = (expression); !status_of_expression.ok()) \
      return status_of_expression;                                                          \
  } while (false)

#define FLOTILLA_CONCAT_INNER(a, b) a##b
#define FLOTILLA_CONCAT(a, b) FLOTILLA_CONCAT_INNER(a, b)

// ASSIGN_OR_RETURN(auto x, F()): x is F()'s value, or the enclosing function returns its error.
#define ASSIGN_OR_RETURN(declaration, expression) \
  FLOTILLA_ASSIGN_OR_RETURN(FLOTILLA_CONCAT(status_or_, __LINE__), declaration, expression)
#define FLOTILLA_ASSIGN_OR_RETURN(temporary, declaration, expression) \
  auto temporary = (expression);                                      \
  if (!temporary.ok()) return temporary.status();                     \
  declaration = std::move(temporary).value()
