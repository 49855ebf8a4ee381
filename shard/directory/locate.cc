#include "shard/directory/locate.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "kv/command.h"
#include "kv/key_codec.h"
#include "kv/slots.h"
#include "kv/txn/command.h"

namespace flotilla {
namespace {

Location In(GroupId group) {
  return {.group = group, .scattered = false, .error = absl::OkStatus()};
}
Location In(const ShardDescriptor& shard) { return In(shard.group); }

Location Scattered() { return {.group = {}, .scattered = true, .error = absl::OkStatus()}; }

Location Failed(Status error) {
  return {.group = {}, .scattered = false, .error = std::move(error)};
}

bool HasAll(const ShardDescriptor& shard, kv::KeyspaceId keyspace) {
  return shard.start <= kv::KeyspaceStart(keyspace) && shard.end >= kv::KeyspaceEnd(keyspace);
}

bool HasAll(const ShardDescriptor& shard, kv::KeyspaceId keyspace, const kv::WriteOp& op) {
  if (op.kind != kv::WriteKind::kDeleteRange) {
    return shard.Contains(kv::EncodeKey(keyspace, op.key));
  }
  // Of a hashed keyspace every slot has a part of a range.
  return !kv::IsHashed(keyspace) && kv::RangeStart(keyspace, op.key) >= shard.start &&
         kv::RangeEnd(keyspace, op.end) <= shard.end;
}

class Locator {
 public:
  explicit Locator(const DirectoryImage& image) : image_(image) {}

  Location operator()(const WriteCall& call) const {
    kv::KeyspaceId keyspace = kv::kDefaultKeyspace;
    std::string_view key;
    // The coordinator has parted it; where that is out of date the group says so.
    if (kv::PeekTxnCommand(call.command.view(), key)) return At(key);
    kv::PeekCommand(call.command.view(), keyspace, key);
    if (keyspace == kDirectoryKeyspace) return In(kDirectoryGroup);
    const ShardDescriptor* shard = Find(keyspace, key);
    if (shard == nullptr) return Unknown(keyspace);
    if (HasAll(*shard, keyspace)) return In(*shard);
    thread_local kv::CommandView command;
    if (!kv::DecodeCommand(call.command.view(), command).ok()) return In(*shard);
    const bool whole =
        std::all_of(command.ops.begin(), command.ops.end(),
                    [&](const kv::WriteOp& op) { return HasAll(*shard, keyspace, op); });
    return whole ? In(*shard) : Scattered();
  }

  Location operator()(const GetCall& call) const {
    if (call.keyspace == kDirectoryKeyspace) return In(kDirectoryGroup);
    const ShardDescriptor* shard = Find(call.keyspace, call.key);
    return shard == nullptr ? Unknown(call.keyspace) : In(*shard);
  }

  Location operator()(const BatchGetCall& call) const {
    const std::string_view first = call.keys.empty() ? std::string_view() : call.keys.front();
    const ShardDescriptor* shard = Find(call.keyspace, first);
    if (shard == nullptr) return Unknown(call.keyspace);
    const bool whole = HasAll(*shard, call.keyspace) ||
                       std::all_of(call.keys.begin(), call.keys.end(), [&](const auto& key) {
                         return shard->Contains(kv::EncodeKey(call.keyspace, key));
                       });
    return whole ? In(*shard) : Scattered();
  }

  Location operator()(const ScanCall& call) const {
    const kv::ScanRequest& scan = call.request;
    if (kv::IsHashed(scan.keyspace)) return Spread(scan);
    // Page by page: from the shard that has the beginning.
    const ShardDescriptor* shard =
        scan.reverse ? FindBelow(scan.keyspace, scan.end) : Find(scan.keyspace, scan.start);
    return shard == nullptr ? Unknown(scan.keyspace) : In(*shard);
  }

  // Page by page as well: what a page begins with is an encoded key.
  Location operator()(const AggregateCall& call) const { return At(kv::FirstKey(call.request)); }

  Location operator()(const TxnRecordCall& call) const { return At(call.anchor); }

  Location operator()(const UnlockCall& call) const { return At(call.key); }

  Location operator()(const HistoryCall& call) const {
    const ShardDescriptor* shard = Find(call.request.keyspace, call.request.key);
    return shard == nullptr ? Unknown(call.request.keyspace) : In(*shard);
  }

 private:
  Location At(std::string_view encoded) const {
    const ShardDescriptor* shard = image_.Locate(encoded);
    return shard == nullptr ? Unknown(kv::KeyspaceOf(encoded)) : In(*shard);
  }

  // An empty key: the keyspace's beginning.
  const ShardDescriptor* Find(kv::KeyspaceId keyspace, std::string_view key) const {
    if (image_.shards().size() == 1 && keyspace == kv::kDefaultKeyspace) {
      return &image_.shards().begin()->second;
    }
    return image_.Locate(key.empty() ? kv::KeyspaceStart(keyspace) : kv::EncodeKey(keyspace, key));
  }

  // Just below the key; empty: at the keyspace's end.
  const ShardDescriptor* FindBelow(kv::KeyspaceId keyspace, std::string_view key) const {
    return image_.LocateBelow(kv::RangeEnd(keyspace, key));
  }

  // A scan of slots.
  Location Spread(const kv::ScanRequest& scan) const {
    const ShardDescriptor* first = image_.Locate(kv::SlotBound(scan.keyspace, scan.first_slot));
    if (first == nullptr) return Unknown(scan.keyspace);
    const bool whole = first->end >= kv::SlotBound(scan.keyspace, scan.past_last_slot);
    return whole ? In(*first) : Scattered();
  }

  Location Unknown(kv::KeyspaceId keyspace) const {
    if (image_.shards().empty()) return In(kFirstDataGroup);
    return Failed(
        Error(Reason::kKeyspaceNotFound,
              fmt::format("keyspace {} is not there any more: it was dropped", keyspace.value())));
  }

  const DirectoryImage& image_;
};

}  // namespace

Location Locate(const DirectoryImage& image, const GatewayRequest& request) {
  return std::visit(Locator(image), request.call);
}

}  // namespace flotilla
