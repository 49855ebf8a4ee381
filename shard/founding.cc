#include "shard/founding.h"

#include "base/coding.h"

namespace flotilla {

std::string EncodeFounding(const Founding& founding) {
  std::string out;
  AppendFixed64(out, founding.cluster.value());
  AppendPrefixed(out, EncodeMembers(founding.members));
  return out;
}

StatusOr<Founding> DecodeFounding(std::string_view bytes) {
  Reader reader(bytes);
  std::uint64_t cluster = 0;
  std::string_view encoded;
  if (!reader.Fixed64(cluster) || !reader.Prefixed(encoded) || !reader.empty() || cluster == 0) {
    return Error(Reason::kBadRequest, "a malformed founding of a cluster");
  }
  ASSIGN_OR_RETURN(Members members, DecodeMembers(encoded));
  return Founding{.cluster = ClusterId(cluster), .members = std::move(members)};
}

raft::Configuration FoundingConfiguration(const Founding& founding) {
  raft::Configuration configuration;
  for (const MemberRecord& record : founding.members.records) {
    configuration.voters.insert(record.node);
  }
  configuration.context = EncodeMembers(founding.members);
  return configuration;
}

}  // namespace flotilla
