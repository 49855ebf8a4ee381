// Shards: fetched from the directory, and their bounds as people should see them.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cmd/kvctl/session.h"
#include "flotilla/v1/directory.pb.h"

namespace flotilla::kvctl {

// All pages of what `request` asks for.
StatusOr<std::vector<v1::Shard>> FetchShards(Session& session, v1::ListShardsRequest request);

inline bool Hashed(const v1::Shard& shard) { return shard.past_last_slot() != 0; }
// "slot 8192", or the key; "-": the keyspace's end.
std::string From(const Session& session, const v1::Shard& shard);
std::string To(const Session& session, const v1::Shard& shard);

}  // namespace flotilla::kvctl
