// What requests of several services have in common: keys, bounds, conditions, times to live.
#pragma once

#include <spdlog/fmt/fmt.h>

#include <string>

#include "base/status.h"
#include "cmd/kvd/scan_token.h"
#include "flotilla/v1/kv.pb.h"
#include "google/protobuf/duration.pb.h"
#include "kv/limits.h"
#include "kv/request.h"

namespace flotilla {

// BAD_REQUEST when it is empty; KEY_TOO_LARGE.
Status CheckReadKey(const std::string& key);
// BATCH_TOO_LARGE when more are asked for than one request may name, or they are too large
// together.
Status CheckReadKeys(const google::protobuf::RepeatedPtrField<std::string>& keys);

// Each fills in its part of `op`, with views into what it reads from. BAD_REQUEST.
Status DecodeTtl(const google::protobuf::Duration& ttl, kv::WriteOp& op);
Status DecodeCondition(const v1::Condition& condition, kv::WriteOp& op);

// A prefix becomes a range. KEY_TOO_LARGE, BAD_REQUEST, BAD_RANGE.
template <class Request>
Status DecodeBounds(Request& request) {
  for (const std::string* key : {&request.prefix(), &request.start(), &request.end()}) {
    if (key->size() > kv::kKeyBytesMax) {
      return Error(Reason::kKeyTooLarge,
                   fmt::format("a bound of the range has {} bytes; at most {} are allowed",
                               key->size(), kv::kKeyBytesMax));
    }
  }
  if (!request.prefix().empty()) {
    if (!request.start().empty() || !request.end().empty()) {
      return Error(Reason::kBadRequest, "give a prefix or a range, not both");
    }
    request.set_start(request.prefix());
    request.set_end(PrefixEnd(request.prefix()));
    request.clear_prefix();
  }
  if (!request.end().empty() && request.end() <= request.start()) {
    return Error(Reason::kBadRange,
                 "the range is empty: its end must lie after its start (the end is exclusive)");
  }
  return absl::OkStatus();
}

// The range of a decoded scan, of at most `rows` rows (0: as many as is usual); where its token
// says, if it has one.
template <class Request>
Status DecodeRange(const Request& request, std::uint64_t rows, const ScanToken& whole,
                   kv::ScanRequest& range) {
  range.start = request.start();
  range.end = request.end();
  range.reverse = request.reverse();
  range.keys_only = request.keys_only();
  range.limit = rows == 0
                    ? kv::kScanRowsDefault
                    : static_cast<std::uint32_t>(std::min<std::uint64_t>(rows, kv::kScanRowsMax));
  if (request.continuation_token().empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::string resume, DecodeScanToken(request.continuation_token(), whole));
  (range.reverse ? range.end : range.start) = std::move(resume);
  return absl::OkStatus();
}

}  // namespace flotilla
