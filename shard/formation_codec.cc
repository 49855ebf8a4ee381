#include "shard/formation_codec.h"

#include "base/coding.h"
#include "shard/forward_codec.h"

namespace flotilla {
namespace {

constexpr std::uint64_t kHeardOfMax = 1000;

Status Malformed() {
  return Error(Reason::kBadRequest, "a node that is no member sent a malformed request");
}

}  // namespace

std::string EncodeHello(const Hello& hello) {
  std::string out;
  AppendFixed64(out, hello.uuid.value());
  AppendPrefixed(out, hello.address);
  AppendVarint(out, hello.expect);
  AppendFixed64(out, hello.cluster.value());
  AppendPrefixed(out, hello.founding);
  AppendVarint(out, hello.heard_of.size());
  for (const std::string& address : hello.heard_of) AppendPrefixed(out, address);
  AppendPrefixed(out, EncodeMembers(hello.members));
  return out;
}

StatusOr<Hello> DecodeHello(std::string_view body) {
  Reader reader(body);
  Hello hello;
  std::uint64_t uuid = 0;
  std::uint64_t expect = 0;
  std::uint64_t cluster = 0;
  std::string_view address;
  std::string_view founding;
  std::uint64_t heard_of = 0;
  if (!reader.Fixed64(uuid) || !reader.Prefixed(address) || !reader.Varint(expect) ||
      expect > UINT32_MAX || !reader.Fixed64(cluster) || !reader.Prefixed(founding) ||
      !reader.Varint(heard_of) || heard_of > kHeardOfMax) {
    return Malformed();
  }
  for (std::uint64_t i = 0; i < heard_of; ++i) {
    std::string_view one;
    if (!reader.Prefixed(one)) return Malformed();
    hello.heard_of.emplace_back(one);
  }
  std::string_view members;
  if (!reader.Prefixed(members)) return Malformed();
  ASSIGN_OR_RETURN(hello.members, DecodeMembers(members));
  hello.uuid = NodeUuid(uuid);
  hello.address = address;
  hello.expect = static_cast<std::uint32_t>(expect);
  hello.cluster = ClusterId(cluster);
  hello.founding = founding;
  return hello;
}

std::string EncodeFoundingCall(const FoundingCall& call) {
  std::string out;
  AppendFixed64(out, call.coordinator.value());
  out.append(EncodeFounding(call.founding));
  return out;
}

StatusOr<FoundingCall> DecodeFoundingCall(std::string_view body) {
  Reader reader(body);
  std::uint64_t coordinator = 0;
  if (!reader.Fixed64(coordinator)) return Malformed();
  ASSIGN_OR_RETURN(Founding founding, DecodeFounding(reader.rest()));
  return FoundingCall{.coordinator = NodeUuid(coordinator), .founding = std::move(founding)};
}

std::string EncodeJoinCall(const JoinCall& call) {
  std::string out;
  AppendFixed64(out, call.uuid.value());
  AppendPrefixed(out, call.address);
  out.push_back(call.promote ? 1 : 0);
  AppendFixed64(out, call.member.value());
  return out;
}

StatusOr<JoinCall> DecodeJoinCall(std::string_view body) {
  Reader reader(body);
  std::uint64_t uuid = 0;
  std::string_view address;
  std::uint8_t promote = 0;
  std::uint64_t member = 0;
  if (!reader.Fixed64(uuid) || !reader.Prefixed(address) || !reader.Byte(promote) ||
      !reader.Fixed64(member) || uuid == 0) {
    return Malformed();
  }
  return JoinCall{.uuid = NodeUuid(uuid),
                  .address = std::string(address),
                  .promote = promote != 0,
                  .member = NodeId(member)};
}

std::string EncodeAdmission(const Admission& admission) {
  std::string out;
  AppendStatus(out, admission.status);
  AppendFixed64(out, admission.cluster.value());
  AppendVarint(out, admission.node.value());
  AppendPrefixed(out, EncodeMembers(admission.members));
  return out;
}

StatusOr<Admission> DecodeAdmission(std::string_view body) {
  Reader reader(body);
  Admission admission;
  std::uint64_t cluster = 0;
  std::uint64_t node = 0;
  std::string_view members;
  if (!ReadStatus(reader, admission.status) || !reader.Fixed64(cluster) || !reader.Varint(node) ||
      !reader.Prefixed(members)) {
    return Malformed();
  }
  admission.cluster = ClusterId(cluster);
  admission.node = NodeId(node);
  ASSIGN_OR_RETURN(admission.members, DecodeMembers(members));
  return admission;
}

}  // namespace flotilla
