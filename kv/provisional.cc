// Reads that see what transactions are about to commit, and may yet roll back; any thread.

#include <algorithm>
#include <map>
#include <utility>

#include "kv/key_codec.h"
#include "kv/page_builder.h"
#include "kv/store_impl.h"
#include "kv/txn/rows.h"
#include "kv/user_range.h"

namespace flotilla::kv {

StatusOr<std::optional<ProvisionalValue>> StoreImpl::ReadIntent(const Obstacle& intent) {
  rocksdb::PinnableSlice row;
  const rocksdb::Status read =
      database_->db().Get(rocksdb::ReadOptions(), database_->locks(),
                          LockRowKey(LockTag::kLock, intent.key, intent.holder.txn), &row);
  // It is about to be written, or has become a version.
  if (read.IsNotFound()) return std::optional<ProvisionalValue>();
  RETURN_IF_ERROR(Located(FromRocks(read, "reading an intent")));
  LockValue lock;
  if (!DecodeLock({row.data(), row.size()}, lock)) return Malformed();
  ProvisionalValue value{.deleted = lock.kind == LockKind::kDelete, .value = {}};
  if (!value.deleted) value.value = lock.value;
  return std::optional(std::move(value));
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
    ASSIGN_OR_RETURN(std::optional<ProvisionalValue> value, ReadIntent(*intent));
    if (!value) continue;
    results[i] = GetResult();
    results[i].found = !value->deleted;
    results[i].value = std::move(value->value);
  }
  return results;
}

StatusOr<ScanPage> StoreImpl::ProvisionalScan(const ScanRequest& request) {
  std::shared_lock lock(database_mutex_);
  RETURN_IF_ERROR(CheckOpen());
  if (range_.frozen) return WrongShard(options_.group, range_);
  ASSIGN_OR_RETURN(ScanPage page, ScanAny(request));
  std::string first = request.start;
  std::string past_last = request.end;
  if (page.more) (request.reverse ? first : past_last) = page.resume_key;
  const UserRange range(request.keyspace, first, past_last, request.first_slot,
                        request.past_last_slot);
  const std::vector<Obstacle> intents = locks_.IntentsIn(range.first(), range.past_last(), {});
  if (intents.empty()) return page;
  std::map<std::string, ScanRow> rows;
  for (ScanRow& row : page.rows) rows.emplace(row.key, std::move(row));
  for (const Obstacle& intent : intents) {
    KeyspaceId keyspace;
    std::string key;
    if (range.PlaceOf(intent.key) != UserRange::Place::kInside) continue;
    ASSIGN_OR_RETURN(std::optional<ProvisionalValue> value, ReadIntent(intent));
    if (!value || !DecodeKey(intent.key, keyspace, key)) continue;
    rows.erase(key);
    if (value->deleted) continue;
    ScanRow& row = rows[key];
    row = {.key = key, .value = request.keys_only ? std::string() : std::move(value->value)};
  }
  page.rows.clear();
  for (auto& [key, row] : rows) page.rows.push_back(std::move(row));
  if (request.reverse) std::reverse(page.rows.begin(), page.rows.end());
  if (page.rows.size() <= LimitOf(request)) return page;
  page.more = true;
  page.resume_key = page.rows[request.reverse ? LimitOf(request) - 1 : LimitOf(request)].key;
  page.rows.resize(LimitOf(request));
  return page;
}

}  // namespace flotilla::kv
