// Bodies of administrative calls between nodes: integers are varints, texts are prefixed.

#include "base/coding.h"
#include "shard/admin.h"
#include "shard/forward_codec.h"

namespace flotilla {
namespace {

Status Malformed() {
  return Error(Reason::kBadRequest, "a peer sent a malformed administrative call");
}

}  // namespace

std::string EncodeAdminRequest(const AdminRequest& request, Duration left) {
  std::string out;
  out.push_back(static_cast<char>(request.verb));
  AppendVarint(out, request.group.value());
  AppendVarint(out, request.node.value());
  AppendFixed64(out, request.uuid.value());
  AppendPrefixed(out, request.address);
  out.push_back(request.promote ? 1 : 0);
  AppendPrefixed(out, request.control);
  AppendVarint(out, static_cast<std::uint64_t>(std::max<std::int64_t>(
                        std::chrono::duration_cast<std::chrono::milliseconds>(left).count(), 1)));
  if (request.verb == AdminVerb::kReplaceVoter) AppendVarint(out, request.replaced.value());
  return out;
}

StatusOr<AdminRequest> DecodeAdminRequest(std::string_view body, Duration& left) {
  Reader reader(body);
  AdminRequest request;
  std::uint8_t verb = 0;
  std::uint8_t promote = 0;
  std::uint64_t group = 0;
  std::uint64_t node = 0;
  std::uint64_t uuid = 0;
  std::uint64_t left_ms = 0;
  std::string_view address;
  std::string_view control;
  if (!reader.Byte(verb) || !reader.Varint(group) || !reader.Varint(node) ||
      !reader.Fixed64(uuid) || !reader.Prefixed(address) || !reader.Byte(promote) ||
      !reader.Prefixed(control) || !reader.Varint(left_ms) || verb < 1 ||
      verb > static_cast<std::uint8_t>(AdminVerb::kReplaceVoter) || left_ms > 86'400'000) {
    return Malformed();
  }
  request.verb = static_cast<AdminVerb>(verb);
  std::uint64_t replaced = 0;
  if (request.verb == AdminVerb::kReplaceVoter && !reader.Varint(replaced)) return Malformed();
  request.replaced = NodeId(replaced);
  request.group = GroupId(group);
  request.node = NodeId(node);
  request.uuid = NodeUuid(uuid);
  request.address = address;
  request.promote = promote != 0;
  request.control = control;
  left = std::chrono::milliseconds(left_ms);
  return request;
}

std::string EncodeAdminResult(const AdminResult& result) {
  std::string out;
  AppendStatus(out, result.status);
  AppendVarint(out, result.node.value());
  AppendVarint(out, result.index.value());
  AppendVarint(out, result.bytes);
  AppendPrefixed(out, result.key);
  out.push_back(static_cast<char>(result.outcome));
  AppendPrefixed(out, kv::EncodeShardRange(result.range));
  AppendVarint(out, result.durable.value());
  AppendPrefixed(out, kv::EncodeShardRange(result.durable_range));
  AppendVarint(out, result.members.size());
  for (const MemberInfo& member : result.members) {
    AppendVarint(out, member.node.value());
    AppendPrefixed(out, member.address);
    AppendVarint(out, member.match.value());
    out.push_back(static_cast<char>((member.voter ? 1 : 0) | (member.active ? 2 : 0) |
                                    (member.in_snapshot ? 4 : 0)));
  }
  return out;
}

StatusOr<AdminResult> DecodeAdminResult(std::string_view body) {
  Reader reader(body);
  AdminResult result;
  std::uint64_t node = 0;
  std::uint64_t index = 0;
  std::uint64_t count = 0;
  std::string_view key;
  std::uint8_t outcome = 0;
  std::string_view range;
  std::uint64_t durable = 0;
  std::string_view durable_range;
  if (!ReadStatus(reader, result.status) || !reader.Varint(node) || !reader.Varint(index) ||
      !reader.Varint(result.bytes) || !reader.Prefixed(key) || !reader.Byte(outcome) ||
      !reader.Prefixed(range) || !kv::DecodeShardRange(range, result.range) ||
      !reader.Varint(durable) || !reader.Prefixed(durable_range) ||
      !kv::DecodeShardRange(durable_range, result.durable_range) || !reader.Varint(count) ||
      count > 10'000) {
    return Malformed();
  }
  result.node = NodeId(node);
  result.key = key;
  result.outcome = static_cast<kv::ControlOutcome>(outcome);
  result.index = raft::Index(index);
  result.durable = raft::Index(durable);
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t id = 0;
    std::uint64_t match = 0;
    std::uint8_t flags = 0;
    std::string_view address;
    if (!reader.Varint(id) || !reader.Prefixed(address) || !reader.Varint(match) ||
        !reader.Byte(flags)) {
      return Malformed();
    }
    result.members.push_back({.node = NodeId(id),
                              .address = std::string(address),
                              .voter = (flags & 1) != 0,
                              .match = raft::Index(match),
                              .active = (flags & 2) != 0,
                              .in_snapshot = (flags & 4) != 0});
  }
  return result;
}

}  // namespace flotilla
