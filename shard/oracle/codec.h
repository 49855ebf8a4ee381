// The oracle's requests and answers between nodes (PeerMethod::kTimestamps):
//   request = varint count
//   answer  = u8 1 | first timestamp fixed64,  or  u8 0 | prefixed reason | prefixed message
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/types.h"
#include "raft/core/types.h"

namespace flotilla {

struct TimestampRequest {
  std::uint64_t count = 0;
  raft::Term term;  // see OracleAsker
};
std::string EncodeTimestampRequest(const TimestampRequest& request);
StatusOr<TimestampRequest> DecodeTimestampRequest(std::string_view body);

std::string EncodeTimestampAnswer(const StatusOr<Timestamp>& answer);
// BAD_REQUEST when malformed, the peer's error when that is what it says.
StatusOr<Timestamp> DecodeTimestampAnswer(std::string_view body);

}  // namespace flotilla
