// What a store holds of transactions: loaded, parted by splits and put together by merges.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/crc32c.h"
#include "kv/store_impl.h"
#include "kv/txn/rows.h"

namespace flotilla::kv {
namespace {

// One row of the family.
struct Row {
  LockTag tag = LockTag::kLock;
  std::string_view key;
  TxnId txn;
  std::string_view value;
};

// Calls use(row), a Status, for each.
template <class Use>
Status ForEachRow(const Database& database, const std::string& path, Use use) {
  const std::unique_ptr<rocksdb::Iterator> rows =
      database.Iterate(rocksdb::ReadOptions(), database.locks());
  for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
    Row row;
    row.value = {rows->value().data(), rows->value().size()};
    if (!SplitLockRowKey({rows->key().data(), rows->key().size()}, row.tag, row.key, row.txn)) {
      return Error(Reason::kDataDamaged, fmt::format("{}: a lock is malformed", path));
    }
    RETURN_IF_ERROR(use(row));
  }
  return FromRocks(rows->status(), path);
}

bool LoadRow(const Row& row, Locks& locks) {
  switch (row.tag) {
    case LockTag::kLock: {
      LockValue lock;
      if (!DecodeLock(row.value, lock)) return false;
      lock.holder.txn = row.txn;
      locks.AddLock(row.key, lock.kind, lock.holder);
      return true;
    }
    case LockTag::kRange: {
      LockHolder holder;
      std::string_view end;
      if (!DecodeRangeLock(row.value, holder, end)) return false;
      holder.txn = row.txn;
      locks.AddRange(row.key, end, holder);
      return true;
    }
    case LockTag::kRecord: {
      TxnRecord record;
      if (!DecodeTxnRecord(row.value, record)) return false;
      locks.SetRecord(row.key, row.txn, std::move(record));
      return true;
    }
    case LockTag::kCommits: {
      TxnCommits commits;
      if (!DecodeCommits(row.value, commits)) return false;
      const Timestamp entry(row.txn.value());
      for (const auto& [txn, at] : commits.commits) {
        locks.AddCommit(entry, commits.valid_until_ms, txn, at);
      }
      locks.EndCommits(entry);
      return true;
    }
    case LockTag::kFence: {
      std::uint64_t valid_until_ms = 0;
      if (!DecodeFence(row.value, valid_until_ms)) return false;
      locks.SetFence(row.key, row.txn, valid_until_ms);
      return true;
    }
  }
  return false;
}

}  // namespace

Status StoreImpl::LoadLocks() {
  Locks locks;
  RETURN_IF_ERROR(ForEachRow(*database_, DbPath(), [&](const Row& row) {
    if (LoadRow(row, locks)) return absl::OkStatus();
    return Error(Reason::kDataDamaged, fmt::format("{}: a lock is malformed", DbPath()));
  }));
  locks_.Become(std::move(locks));
  return absl::OkStatus();
}

Status StoreImpl::RemoveLocksOutside(const ShardRange& range, rocksdb::WriteBatch& batch) {
  return ForEachRow(*database_, DbPath(), [&](const Row& row) {
    if (row.tag == LockTag::kCommits || range.Contains(row.key)) return absl::OkStatus();
    rocksdb::Status done = batch.Delete(database_->locks(), LockRowKey(row.tag, row.key, row.txn));
    LockHolder holder;
    std::string_view end;
    // A range that reaches in from before keeps its part.
    if (done.ok() && row.tag == LockTag::kRange && row.key < range.start &&
        DecodeRangeLock(row.value, holder, end) && end > range.start) {
      done = batch.Put(database_->locks(), LockRowKey(row.tag, range.start, row.txn),
                       EncodeRangeLock(holder, end));
    }
    return FromRocks(done, "removing a range");
  });
}

StatusOr<std::uint32_t> StoreImpl::HashLocks() const {
  std::uint32_t crc = 0;
  RETURN_IF_ERROR(ForEachRow(*database_, DbPath(), [&](const Row& row) {
    crc = ExtendCrc32c(crc, LockRowKey(row.tag, row.key, row.txn));
    crc = ExtendCrc32c(crc, row.value);
    return absl::OkStatus();
  }));
  return crc;
}

Status StoreImpl::CopyLocks(const StoreImpl& from, rocksdb::WriteBatch& batch) const {
  return ForEachRow(*from.database_, from.DbPath(), [&](const Row& row) {
    return FromRocks(batch.Put(database_->locks(), LockRowKey(row.tag, row.key, row.txn),
                               rocksdb::Slice(row.value.data(), row.value.size())),
                     "absorbing a group");
  });
}

}  // namespace flotilla::kv
