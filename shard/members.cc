#include "shard/members.h"

#include <algorithm>

#include "base/coding.h"

namespace flotilla {
namespace {

template <class Predicate>
const MemberRecord* FindIf(const Members& members, Predicate predicate) {
  const auto found = std::find_if(members.records.begin(), members.records.end(), predicate);
  return found == members.records.end() ? nullptr : &*found;
}

}  // namespace

const MemberRecord* Members::Find(NodeId node) const {
  return FindIf(*this, [&](const MemberRecord& record) { return record.node == node; });
}

const MemberRecord* Members::FindUuid(NodeUuid uuid) const {
  return FindIf(*this, [&](const MemberRecord& record) { return record.uuid == uuid; });
}

const MemberRecord* Members::FindAddress(std::string_view address) const {
  return FindIf(*this, [&](const MemberRecord& record) { return record.address == address; });
}

std::string EncodeMembers(const Members& members) {
  std::string out;
  AppendVarint(out, members.next_node.value());
  AppendVarint(out, members.records.size());
  for (const MemberRecord& record : members.records) {
    AppendVarint(out, record.node.value());
    AppendFixed64(out, record.uuid.value());
    AppendPrefixed(out, record.address);
    out.push_back(record.promote ? 1 : 0);
  }
  if (members.removed.empty()) return out;
  AppendVarint(out, members.removed.size());
  for (const NodeUuid uuid : members.removed) AppendFixed64(out, uuid.value());
  return out;
}

StatusOr<Members> DecodeMembers(std::string_view bytes) {
  Reader reader(bytes);
  Members members;
  std::uint64_t next = 0;
  std::uint64_t count = 0;
  bool good = reader.Varint(next) && reader.Varint(count);
  for (std::uint64_t i = 0; good && i < count; ++i) {
    std::uint64_t node = 0;
    std::uint64_t uuid = 0;
    std::string_view address;
    std::uint8_t promote = 0;
    good = reader.Varint(node) && reader.Fixed64(uuid) && reader.Prefixed(address) &&
           reader.Byte(promote);
    members.records.push_back({.node = NodeId(node),
                               .uuid = NodeUuid(uuid),
                               .address = std::string(address),
                               .promote = promote != 0});
  }
  if (good && !reader.empty()) {
    std::uint64_t removed = 0;
    good = reader.Varint(removed) && removed > 0;
    for (std::uint64_t i = 0; good && i < removed; ++i) {
      std::uint64_t uuid = 0;
      good = reader.Fixed64(uuid);
      members.removed.emplace_back(uuid);
    }
  }
  if (!good || !reader.empty()) {
    return Error(Reason::kDataDamaged, "the addresses in a group's configuration are damaged");
  }
  members.next_node = NodeId(next);
  return members;
}

}  // namespace flotilla
