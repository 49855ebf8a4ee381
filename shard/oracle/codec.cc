#include "shard/oracle/codec.h"

#include "base/coding.h"

namespace flotilla {
namespace {

Status Malformed() {
  return Error(Reason::kBadRequest, "a peer sent a malformed message about timestamps");
}

}  // namespace

std::string EncodeTimestampRequest(const TimestampRequest& request) {
  std::string out;
  AppendVarint(out, request.count);
  AppendVarint(out, request.term.value());
  return out;
}

StatusOr<TimestampRequest> DecodeTimestampRequest(std::string_view body) {
  Reader reader(body);
  std::uint64_t count = 0;
  std::uint64_t term = 0;
  if (!reader.Varint(count) || !reader.Varint(term) || !reader.empty()) return Malformed();
  return TimestampRequest{.count = count, .term = raft::Term(term)};
}

std::string EncodeTimestampAnswer(const StatusOr<Timestamp>& answer) {
  std::string out;
  out.push_back(answer.ok() ? '\1' : '\0');
  if (answer.ok()) {
    AppendFixed64(out, answer->value());
  } else {
    AppendPrefixed(out, InfoOf(ReasonOf(answer.status())).name);
    AppendPrefixed(out, MessageOf(answer.status()));
  }
  return out;
}

StatusOr<Timestamp> DecodeTimestampAnswer(std::string_view body) {
  Reader reader(body);
  std::uint8_t given = 0;
  std::uint64_t first = 0;
  std::string_view name;
  std::string_view message;
  if (!reader.Byte(given)) return Malformed();
  if (given == 1) {
    if (!reader.Fixed64(first) || !reader.empty() || first == 0) return Malformed();
    return Timestamp(first);
  }
  if (!reader.Prefixed(name) || !reader.Prefixed(message) || !reader.empty()) return Malformed();
  return Error(ReasonFromName(name).value_or(Reason::kInternal), message);
}

}  // namespace flotilla
