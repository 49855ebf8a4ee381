#include "cmd/kvctl/shards.h"

#include <fmt/format.h>

namespace flotilla::kvctl {

StatusOr<std::vector<v1::Shard>> FetchShards(Session& session, v1::ListShardsRequest request) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  std::vector<v1::Shard> shards;
  do {
    ASSIGN_OR_RETURN(const v1::ListShardsResponse page,
                     admin->Directory(&v1::Directory::Stub::ListShards, request));
    shards.insert(shards.end(), page.shards().begin(), page.shards().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return shards;
}

std::string From(const Session& session, const v1::Shard& shard) {
  if (Hashed(shard)) return fmt::format("slot {}", shard.first_slot());
  return shard.start().empty() ? "-" : session.Show(shard.start());
}

std::string To(const Session& session, const v1::Shard& shard) {
  if (Hashed(shard)) return fmt::format("slot {}", shard.past_last_slot());
  return shard.end().empty() ? "-" : session.Show(shard.end());
}

}  // namespace flotilla::kvctl
