#include "shard/directory/locate.h"

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "kv/command.h"
#include "kv/key_codec.h"

namespace flotilla {
namespace {

// The keyspace, and the first key; an empty key: the keyspace's start.
struct PlaceOf {
  using Place = std::pair<kv::KeyspaceId, std::string_view>;

  Place operator()(const WriteCall& call) const {
    Place place{kv::kDefaultKeyspace, {}};
    kv::PeekCommand(call.command.view(), place.first, place.second);
    return place;
  }
  Place operator()(const GetCall& call) const { return {call.keyspace, call.key}; }
  Place operator()(const BatchGetCall& call) const {
    return {call.keyspace, call.keys.empty() ? std::string_view() : call.keys.front()};
  }
  Place operator()(const ScanCall& call) const {
    return {call.request.keyspace, call.request.start};
  }
};

}  // namespace

GroupId GroupOf(const DirectoryImage& image, const GatewayRequest& request) {
  const auto [keyspace, key] = std::visit(PlaceOf(), request.call);
  if (keyspace == kDirectoryKeyspace) return kDirectoryGroup;
  if (image.shards().size() == 1) return image.shards().begin()->first;
  const ShardDescriptor* shard =
      image.Locate(key.empty() ? kv::KeyspaceStart(keyspace) : kv::EncodeKey(keyspace, key));
  return shard == nullptr ? kFirstDataGroup : shard->group;
}

}  // namespace flotilla
