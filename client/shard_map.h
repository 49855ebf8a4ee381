// ShardMap: which group holds a key of the client's keyspace, by the directory's stream of changes.
//
// A copy that lags costs a hop and never a wrong answer: the node that is asked forwards. Pure
// data; not synchronized. Internal to the library.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/types.h"

namespace flotilla::v1 {
class WatchDirectoryResponse;
}  // namespace flotilla::v1

namespace flotilla::client {

class ShardMap {
 public:
  // `keyspace` empty: "default".
  explicit ShardMap(std::string_view keyspace)
      : keyspace_(keyspace.empty() ? "default" : keyspace) {}

  void Apply(const v1::WatchDirectoryResponse& change);

  // 0: not known.
  GroupId Locate(std::string_view key) const;

  bool Holds(GroupId group) const { return starts_.contains(group); }
  // Nothing is known any more.
  void Clear();

 private:
  struct Shard {
    GroupId group;
    std::string end;  // exclusive; empty: the keyspace's
    std::uint32_t past_last_slot = 0;
  };
  // Where a shard begins: by its first slot, or by its first key.
  struct Start {
    std::uint32_t slot = 0;
    std::string key;
    auto operator<=>(const Start&) const = default;
  };

  void Erase(GroupId group);

  const std::string keyspace_;
  std::uint32_t id_ = 0;  // 0: there is none of the name, or it is being dropped
  bool hashed_ = false;
  std::map<Start, Shard> shards_;
  std::map<GroupId, Start> starts_;
};

}  // namespace flotilla::client
