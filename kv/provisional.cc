// Reads that see what transactions are about to commit, and may yet roll back; any thread.

#include <utility>

#include "kv/key_codec.h"
#include "kv/page_builder.h"
#include "kv/page_overlay.h"
#include "kv/store_impl.h"
#include "kv/txn/rows.h"
#include "kv/user_range.h"

namespace flotilla::kv {

StatusOr<std::optional<RowChange>> StoreImpl::ReadIntent(const Obstacle& intent) {
  rocksdb::PinnableSlice row;
  const rocksdb::Status read =
      database_->db().Get(rocksdb::ReadOptions(), database_->locks(),
                          LockRowKey(LockTag::kLock, intent.key, intent.holder.txn), &row);
  // It is about to be written, or has become a version.
  if (read.IsNotFound()) return std::optional<RowChange>();
  RETURN_IF_ERROR(Located(FromRocks(read, "reading an intent")));
  LockValue lock;
  RowChange change;
  KeyspaceId keyspace;
  if (!DecodeLock({row.data(), row.size()}, lock) || !DecodeKey(intent.key, keyspace, change.key)) {
    return Malformed();
  }
  if (lock.kind != LockKind::kDelete) change.value = lock.value;
  return std::optional(std::move(change));
}

// Intents are looked up before versions are read: whoever finds none finds what it has become.
StatusOr<std::vector<GetResult>> StoreImpl::ProvisionalGet(
    KeyspaceId keyspace, const std::vector<std::string_view>& keys) {
  std::vector<std::pair<std::size_t, RowChange>> changes;
  if (!locks_.empty()) {
    std::shared_lock lock(database_mutex_);
    RETURN_IF_ERROR(CheckOpen());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const auto intent = locks_.IntentOn(EncodeKey(keyspace, keys[i]), {});
      if (!intent) continue;
      ASSIGN_OR_RETURN(std::optional<RowChange> change, ReadIntent(*intent));
      if (change) changes.emplace_back(i, *std::move(change));
    }
  }
  ASSIGN_OR_RETURN(std::vector<GetResult> results,
                   BatchGet(keyspace, keys, GetRules{.one_moment = false}));
  for (auto& [at, change] : changes) {
    results[at] = GetResult();
    results[at].found = change.value.has_value();
    if (results[at].found) results[at].value = *std::move(change.value);
  }
  return results;
}

StatusOr<ScanPage> StoreImpl::ProvisionalScan(const ScanRequest& request) {
  std::shared_lock lock(database_mutex_);
  RETURN_IF_ERROR(CheckOpen());
  if (range_.frozen) return WrongShard(options_.group, range_);
  const UserRange all(request.keyspace, request.start, request.end, request.first_slot,
                      request.past_last_slot);
  const std::vector<Obstacle> intents = locks_.IntentsIn(all.first(), all.past_last(), {});
  ASSIGN_OR_RETURN(ScanPage page, ScanAny(request));
  const PageSpan span = SpanOf(request, page);
  const UserRange range(request.keyspace, span.start, span.end, request.first_slot,
                        request.past_last_slot);
  std::vector<RowChange> changes;
  for (const Obstacle& intent : intents) {
    if (range.PlaceOf(intent.key) != UserRange::Place::kInside) continue;
    ASSIGN_OR_RETURN(std::optional<RowChange> change, ReadIntent(intent));
    if (!change) {
      // Perhaps it has become a version behind the page's back.
      ASSIGN_OR_RETURN(change, ReadNewest(intent.key));
    }
    changes.push_back(*std::move(change));
  }
  Overlay(request, std::move(changes), page);
  return page;
}

StatusOr<std::optional<RowChange>> StoreImpl::ReadNewest(const std::string& encoded_key) {
  RowChange change;
  KeyspaceId keyspace;
  if (!DecodeKey(encoded_key, keyspace, change.key)) return Malformed();
  Timestamp newest;
  ASSIGN_OR_RETURN(std::vector<GetResult> results, ReadKeys({encoded_key}, Timestamp(), newest));
  if (results.front().found) change.value = std::move(results.front().value);
  return std::optional(std::move(change));
}

}  // namespace flotilla::kv
