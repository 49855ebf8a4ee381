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

StatusOr<std::vector<GetResult>> StoreImpl::ProvisionalGet(
    KeyspaceId keyspace, const std::vector<std::string_view>& keys) {
  ASSIGN_OR_RETURN(std::vector<GetResult> results,
                   BatchGet(keyspace, keys, GetRules{.one_moment = false}));
  if (locks_.empty()) return results;
  std::shared_lock lock(database_mutex_);
  RETURN_IF_ERROR(CheckOpen());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto intent = locks_.IntentOn(EncodeKey(keyspace, keys[i]), {});
    if (!intent) continue;
    ASSIGN_OR_RETURN(std::optional<RowChange> change, ReadIntent(*intent));
    if (!change) continue;
    results[i] = GetResult();
    results[i].found = change->value.has_value();
    if (results[i].found) results[i].value = *std::move(change->value);
  }
  return results;
}

StatusOr<ScanPage> StoreImpl::ProvisionalScan(const ScanRequest& request) {
  std::shared_lock lock(database_mutex_);
  RETURN_IF_ERROR(CheckOpen());
  if (range_.frozen) return WrongShard(options_.group, range_);
  ASSIGN_OR_RETURN(ScanPage page, ScanAny(request));
  const PageSpan span = SpanOf(request, page);
  const UserRange range(request.keyspace, span.start, span.end, request.first_slot,
                        request.past_last_slot);
  std::vector<RowChange> changes;
  for (const Obstacle& intent : locks_.IntentsIn(range.first(), range.past_last(), {})) {
    if (range.PlaceOf(intent.key) != UserRange::Place::kInside) continue;
    ASSIGN_OR_RETURN(std::optional<RowChange> change, ReadIntent(intent));
    if (change) changes.push_back(*std::move(change));
  }
  Overlay(request, std::move(changes), page);
  return page;
}

}  // namespace flotilla::kv
