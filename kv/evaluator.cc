#include "kv/evaluator.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "base/coding.h"
#include "base/planted.h"
#include "kv/key_codec.h"
#include "kv/txn/steps.h"
#include "kv/user_range.h"
#include "kv/visible_rows.h"

namespace flotilla::kv {
namespace {

// Expired keys turned into tombstones per log entry.
constexpr int kExpireSliceMax = 256;

bool Reads(const CommandView& command) {
  return std::any_of(command.ops.begin(), command.ops.end(), [](const WriteOp& op) {
    return op.kind != WriteKind::kPut || op.condition != ConditionKind::kNone;
  });
}

// Whether any command that is left in the batch reads; `command` is for reuse.
StatusOr<bool> AnyReads(CommandBatchReader& batch, CommandView& command) {
  std::string_view encoded;
  Timestamp timestamp;
  while (batch.Next(encoded, timestamp)) {
    if (IsTxnCommand(encoded)) return true;
    RETURN_IF_ERROR(DecodeCommand(encoded, command));
    if (Reads(command)) return true;
  }
  return false;
}

bool ExpiryIsDue(const CommandBatchReader& batch, std::uint64_t next_expiry_ms) {
  return next_expiry_ms != 0 && next_expiry_ms <= MillisecondsOf(batch.first());
}

rocksdb::Slice ToSlice(std::string_view text) { return {text.data(), text.size()}; }

WriteResult Refused(Timestamp timestamp) {
  WriteResult result;
  result.outcome = WriteOutcome::kWrongShard;
  result.timestamp = timestamp;
  return result;
}

}  // namespace

std::string ExpiryKey(std::uint64_t expires_at_ms, std::string_view encoded_key) {
  std::string key(1, kExpiryPrefix);
  AppendOrdered64(key, expires_at_ms);
  key.append(encoded_key);
  return key;
}

Evaluator::Evaluator(const Database& database, const Caches& caches, const ShardRange& range,
                     Sessions& sessions, Locks& locks, FollowedRows* followed)
    : database_(database),
      cache_(caches.rows),
      ranges_(caches.ranges),
      changes_(caches.changes),
      range_(range),
      followed_(followed),
      sessions_(sessions),
      locks_(locks) {}

Evaluator::~Evaluator() = default;

void Evaluator::Reserve(std::size_t bytes) {
  batch_ = rocksdb::WriteBatch(bytes + bytes / 4 + 512);
}

void Evaluator::AddRow(std::string_view encoded_key, Timestamp timestamp, std::string_view header,
                       std::string_view value) {
  Row& row = rows_to_write_.emplace_back();
  row.key_offset = static_cast<std::uint32_t>(keys_.size());
  keys_.append(encoded_key);
  AppendVersionSuffix(keys_, timestamp);
  row.key_size = static_cast<std::uint32_t>(keys_.size() - row.key_offset);
  row.header_offset = static_cast<std::uint32_t>(headers_.size());
  row.header_size = static_cast<std::uint32_t>(header.size());
  headers_.append(header);
  row.value = value;
  changes_.Note(encoded_key, timestamp);
}

Status Evaluator::Finish() {
  const auto key_of = [this](const Row& row) {
    return std::string_view(keys_).substr(row.key_offset, row.key_size);
  };
  // The newest version of a key first, which is what the cache goes by. A batch may put a key
  // twice, at one timestamp: the later one counts.
  std::sort(rows_to_write_.begin(), rows_to_write_.end(), [&](const Row& a, const Row& b) {
    const int order = key_of(a).compare(key_of(b));
    return order != 0 ? order < 0 : a.key_offset < b.key_offset;
  });
  const bool ranges_want_it = ranges_.wants_writes();
  for (std::size_t i = 0; i < rows_to_write_.size(); ++i) {
    const Row& row = rows_to_write_[i];
    const std::string_view version_key = key_of(row);
    if (i + 1 < rows_to_write_.size() && key_of(rows_to_write_[i + 1]) == version_key) continue;
    const std::string_view header =
        std::string_view(headers_).substr(row.header_offset, row.header_size);
    std::string_view encoded;
    Timestamp timestamp;
    CHECK(SplitVersionKey(version_key, encoded, timestamp));
    cache_.BeginWrite(encoded, timestamp, header, row.value);
    if (followed_ != nullptr) followed_->Note(encoded, header, row.value);
    if (ranges_want_it) range_writes_.push_back({encoded, timestamp, header, row.value});
    const rocksdb::Slice key = ToSlice(version_key);
    const std::array<rocksdb::Slice, 2> value{ToSlice(header), ToSlice(row.value)};
    Check(batch_.Put(database_.versions(), rocksdb::SliceParts(&key, 1),
                     rocksdb::SliceParts(value.data(), 2)),
          "gathering writes");
  }
  ranges_.BeginWrites(ranges_want_it ? &range_writes_ : nullptr);
  return failure_;
}

void Evaluator::Check(const rocksdb::Status& status, std::string_view what) {
  if (!status.ok() && failure_.ok()) failure_ = FromRocks(status, what);
}

rocksdb::Iterator& Evaluator::Rows() {
  if (!rows_) {
    rocksdb::ReadOptions options;
    options.total_order_seek = true;
    rows_ = database_.Iterate(options, database_.versions());
  }
  return *rows_;
}

rocksdb::Iterator& Evaluator::Points() {
  if (!points_) {
    points_ = database_.Iterate(PointReads(), database_.versions());
  }
  return *points_;
}

bool Evaluator::ReadsNothing(std::string_view payload, std::uint64_t next_expiry_ms) {
  StatusOr<CommandBatchReader> reader = CommandBatchReader::Open(payload);
  if (!reader.ok() || ExpiryIsDue(*reader, next_expiry_ms)) return false;
  CommandView command;
  const StatusOr<bool> reads = AnyReads(*reader, command);
  return reads.ok() && !*reads && reader->status().ok();
}

StatusOr<bool> Evaluator::MustStartAfresh(std::string_view payload, std::uint64_t next_expiry_ms) {
  ASSIGN_OR_RETURN(CommandBatchReader reader, CommandBatchReader::Open(payload));
  expiry_due_ = ExpiryIsDue(reader, next_expiry_ms);
  next_expiry_ms_ = next_expiry_ms;
  if (tracking_) return false;
  bool reads = expiry_due_;
  if (!reads) {
    ASSIGN_OR_RETURN(reads, AnyReads(reader, command_));
  }
  if (!reads) return false;
  if (!rows_to_write_.empty() || batch_.Count() > 0) return true;
  tracking_ = true;
  return false;
}

Status Evaluator::ApplyBatch(std::string_view payload, std::vector<WriteResult>& results,
                             Timestamp& last_timestamp) {
  ASSIGN_OR_RETURN(CommandBatchReader reader, CommandBatchReader::Open(payload));
  if (reader.first() <= last_timestamp) {
    return Error(Reason::kDataDamaged, "a log entry's timestamp does not lie after those before");
  }
  last_timestamp = reader.first();
  if (expiry_due_) RETURN_IF_ERROR(ExpireDue(reader.first()));
  TxnSteps(*this, range_, locks_, sessions_).ForgetNeedless(reader.first());
  std::string_view encoded;
  Timestamp timestamp;
  while (reader.Next(encoded, timestamp)) {
    last_timestamp = timestamp;
    if (IsTxnCommand(encoded)) {
      RETURN_IF_ERROR(DecodeTxnCommand(encoded, txn_command_));
      results.push_back(TxnSteps(*this, range_, locks_, sessions_)
                            .Apply(txn_command_, reader.first(), timestamp));
      continue;
    }
    RETURN_IF_ERROR(DecodeCommand(encoded, command_));
    // Before its session is looked at: whoever has the keys has the session's newest state as well.
    if (const Share share = ShareOf(command_); share != Share::kAll) {
      results.push_back(Refuse(command_, share, timestamp));
      continue;
    }
    if (!command_.session.client || Planted(Plant::kRetryExecutedTwice)) {
      results.push_back(Evaluate(command_, timestamp));
    } else if (std::optional<WriteResult> first = sessions_.Recall(command_.session, timestamp)) {
      results.push_back(*first);
    } else {
      results.push_back(Evaluate(command_, timestamp));
      if (results.back().outcome == WriteOutcome::kLocked) continue;
      sessions_.Record(command_.session, timestamp, results.back());
    }
  }
  RETURN_IF_ERROR(reader.status());
  TxnSteps(*this, range_, locks_, sessions_).EndEntry(reader.first());
  return failure_;
}

Status Evaluator::RefuseBatch(std::string_view payload, std::vector<WriteResult>& results) {
  ASSIGN_OR_RETURN(CommandBatchReader reader, CommandBatchReader::Open(payload));
  std::string_view encoded;
  Timestamp timestamp;
  while (reader.Next(encoded, timestamp)) results.push_back(Refused(timestamp));
  return reader.status();
}

Evaluator::Share Evaluator::ShareOf(const CommandView& command) {
  if (range_.unbounded() || command.ops.empty() || Planted(Plant::kWritesUnowned)) {
    return Share::kAll;
  }
  const Share first = ShareOf(command.keyspace, command.ops.front());
  const bool alike =
      std::all_of(command.ops.begin() + 1, command.ops.end(), [&](const WriteOp& op) {
        return first != Share::kSome && ShareOf(command.keyspace, op) == first;
      });
  return alike ? first : Share::kSome;
}

Evaluator::Share Evaluator::ShareOf(KeyspaceId keyspace, const WriteOp& op) {
  if (op.kind == WriteKind::kDeleteRange) {
    const UserRange doomed(keyspace, op.key, op.end);
    if (range_.ContainsAll(doomed.first(), doomed.past_last())) return Share::kAll;
    const bool apart =
        doomed.past_last() <= range_.start || (!range_.end.empty() && doomed.first() >= range_.end);
    return apart ? Share::kNone : Share::kSome;
  }
  key_.clear();
  AppendEncodedKey(key_, keyspace, op.key);
  return range_.Contains(key_) ? Share::kAll : Share::kNone;
}

WriteResult Evaluator::Refuse(const CommandView& command, Share share, Timestamp timestamp) const {
  // It may have been applied when the range had all of it, and then nobody else can say so: each
  // part of the range has the sessions, and none has all keys.
  if (share == Share::kSome && command.session.client) {
    const std::optional<WriteResult> first = sessions_.Recall(command.session, timestamp);
    if (first && first->outcome != WriteOutcome::kSessionExpired) return *first;
  }
  return Refused(timestamp);
}

WriteResult Evaluator::Evaluate(const CommandView& command, Timestamp timestamp) {
  WriteResult result;
  result.timestamp = timestamp;
  if (std::optional<Obstacle> obstacle = ObstacleTo(command)) {
    result.outcome = WriteOutcome::kLocked;
    result.obstacle = std::make_shared<const Obstacle>(*std::move(obstacle));
    return result;
  }
  const std::uint64_t now_ms = MillisecondsOf(timestamp);
  // All conditions first: a batch takes effect as a whole or not at all. They look at the state
  // before the batch.
  for (std::size_t i = 0; i < command.ops.size(); ++i) {
    const WriteOp& op = command.ops[i];
    if (op.condition == ConditionKind::kNone) continue;
    const Newest newest =
        Read(EncodeKey(command.keyspace, op.key), op.condition == ConditionKind::kValueIs);
    if (ConditionHolds(op, newest, now_ms)) continue;
    result.outcome = WriteOutcome::kConditionFailed;
    result.failed_op = static_cast<std::uint32_t>(i);
    result.actual_version = newest.Exists(now_ms) ? newest.timestamp : Timestamp();
    return result;
  }
  for (const WriteOp& op : command.ops) {
    switch (op.kind) {
      case WriteKind::kPut:
        Put(command, op, timestamp);
        break;
      case WriteKind::kDelete: {
        const std::string encoded = EncodeKey(command.keyspace, op.key);
        if (Read(encoded, false).Exists(now_ms)) {
          Tombstone(encoded, timestamp);
          ++result.affected;
        }
        break;
      }
      case WriteKind::kDeleteRange:
        result.affected += DeleteRange(command, op, timestamp);
        break;
    }
  }
  return result;
}

bool Evaluator::ConditionHolds(const WriteOp& op, const Newest& newest,
                               std::uint64_t now_ms) const {
  const bool exists = newest.Exists(now_ms);
  switch (op.condition) {
    case ConditionKind::kNone:
      return true;
    case ConditionKind::kAbsent:
      return !exists;
    case ConditionKind::kExists:
      return exists;
    case ConditionKind::kVersionIs:
      return exists ? newest.timestamp == op.condition_version : !op.condition_version;
    case ConditionKind::kValueIs:
      return exists && newest.value == op.condition_value;
  }
  return false;
}

void Evaluator::Put(const CommandView& command, const WriteOp& op, Timestamp timestamp) {
  std::uint64_t expires_at_ms = op.ttl_ms == 0 ? 0 : MillisecondsOf(timestamp) + op.ttl_ms;
  if (Planted(Plant::kTtlByLocalClock) && op.ttl_ms != 0) {
    std::int64_t seconds = 0;
    Check(database_.db().GetEnv()->GetCurrentTime(&seconds), "reading the clock");
    expires_at_ms = static_cast<std::uint64_t>(seconds) * 1000 + op.ttl_ms;
  }
  key_.clear();
  AppendEncodedKey(key_, command.keyspace, op.key);
  AddPut(key_, timestamp, expires_at_ms, TxnId(), op.value);
}

void Evaluator::AddPut(const std::string& encoded, Timestamp timestamp, std::uint64_t expires_at_ms,
                       TxnId txn, std::string_view value) {
  AddRow(encoded, timestamp, VersionHeader(kPutVersion, expires_at_ms, txn.value()), value);
  if (expires_at_ms != 0) {
    std::string row;
    AppendFixed64(row, timestamp.value());
    Check(batch_.Put(database_.meta(), ExpiryKey(expires_at_ms, encoded), row), "gathering writes");
    if (earliest_expiry_ms_ == 0 || expires_at_ms < earliest_expiry_ms_) {
      earliest_expiry_ms_ = expires_at_ms;
    }
  }
  if (!tracking_) return;
  Newest& newest = written_[encoded];
  newest.present = true;
  newest.timestamp = timestamp;
  newest.tombstone = false;
  newest.expires_at_ms = expires_at_ms;
  newest.value = value;
}

void Evaluator::WriteVersion(const TxnWrite& write, const std::string& encoded, Timestamp commit,
                             TxnId txn) {
  if (write.deletes) {
    Tombstone(encoded, commit, txn);
    return;
  }
  AddPut(encoded, commit, write.ttl_ms == 0 ? 0 : MillisecondsOf(commit) + write.ttl_ms, txn,
         write.value);
}

void Evaluator::WriteLock(const std::string& row_key, std::string row) {
  Check(batch_.Put(database_.locks(), row_key, row), "gathering locks");
  written_locks_[row_key] = std::move(row);
}

void Evaluator::RemoveLock(const std::string& row_key) {
  Check(batch_.Delete(database_.locks(), row_key), "gathering locks");
  written_locks_.erase(row_key);
}

bool Evaluator::ReadLock(const std::string& row_key, std::string& row) {
  if (const auto found = written_locks_.find(row_key); found != written_locks_.end()) {
    row = found->second;
    return true;
  }
  const rocksdb::Status read =
      database_.db().Get(rocksdb::ReadOptions(), database_.locks(), row_key, &row);
  if (read.IsNotFound()) return false;
  Check(read, "reading a lock");
  return read.ok();
}

std::optional<std::pair<std::string, Timestamp>> Evaluator::ChangeAfter(Timestamp limit,
                                                                        std::string_view start,
                                                                        std::string_view end,
                                                                        Timestamp now) {
  const std::uint64_t now_ms = MillisecondsOf(now);
  for (auto one = written_.lower_bound(start); one != written_.end() && one->first < end; ++one) {
    const Timestamp changed = one->second.ChangedAt(now_ms);
    if (changed > limit) return std::pair(one->first, changed);
  }
  rocksdb::Iterator& rows = Rows();
  VisibleRows newest_rows(rows);
  for (newest_rows.Seek(ToSlice(start)); rows.Valid() && rows.key().compare(ToSlice(end)) < 0;
       newest_rows.Next()) {
    std::string_view encoded;
    Timestamp timestamp;
    if (!SplitVersionKey({rows.key().data(), rows.key().size()}, encoded, timestamp)) {
      Damaged("a version key is malformed");
      return std::nullopt;
    }
    if (written_.contains(encoded)) continue;
    Newest newest;
    Take(timestamp, {rows.value().data(), rows.value().size()}, newest, false);
    const Timestamp changed = newest.ChangedAt(now_ms);
    if (changed > limit) return std::pair(std::string(encoded), changed);
  }
  Check(rows.status(), "checking a range");
  return std::nullopt;
}

std::optional<Obstacle> Evaluator::ObstacleTo(const CommandView& command) const {
  if (locks_.empty() || Planted(Plant::kPlainWritesPass)) return std::nullopt;
  for (const WriteOp& op : command.ops) {
    if (op.kind != WriteKind::kDeleteRange) {
      if (auto found = locks_.AgainstWrite(EncodeKey(command.keyspace, op.key), TxnId())) {
        return found;
      }
      continue;
    }
    // Of a hashed keyspace, with what lies between the slots' parts of it.
    const UserRange doomed(command.keyspace, op.key, op.end);
    if (auto found = locks_.AgainstWriteIn(doomed.first(), doomed.past_last())) return found;
  }
  return std::nullopt;
}

void Evaluator::Tombstone(const std::string& encoded, Timestamp timestamp, TxnId txn,
                          std::uint64_t expired_at_ms) {
  AddRow(encoded, timestamp, VersionHeader(kTombstoneVersion, expired_at_ms, txn.value()), {});
  Newest& newest = written_[encoded];
  newest = Newest();
  newest.present = true;
  newest.timestamp = timestamp;
  newest.tombstone = true;
  newest.expires_at_ms = expired_at_ms;
}

bool Evaluator::IsUnchangedAfter(const std::string& encoded, Timestamp limit, Timestamp now) {
  changes_.Begin(now);
  for (const std::uint64_t expiry_ms : {next_expiry_ms_, earliest_expiry_ms_}) {
    if (expiry_ms != 0 && expiry_ms <= MillisecondsOf(now)) return false;
  }
  return changes_.IsUnchangedAfter(encoded, limit);
}

Evaluator::Newest Evaluator::Read(const std::string& encoded, bool want_value) {
  CHECK(tracking_);
  if (const auto found = written_.find(encoded);
      found != written_.end() && !Planted(Plant::kBatchBlind)) {
    return found->second;
  }
  Newest newest;
  const bool cached = cache_.Find(encoded, [&](Timestamp timestamp, std::string_view stored) {
    Take(timestamp, stored, newest, want_value);
  });
  if (cached) return newest;
  const RowCache::Token token = cache_.Begin(encoded);
  rocksdb::Iterator& rows = Points();
  if (SeekVersion(rows, encoded)) {
    ReadAt(rows, newest, want_value);
    cache_.Keep(encoded, token, newest.timestamp, {rows.value().data(), rows.value().size()});
  }
  Check(rows.status(), "reading the state machine");
  return newest;
}

void Evaluator::ReadAt(rocksdb::Iterator& rows, Newest& newest, bool want_value) {
  std::string_view encoded;
  Timestamp timestamp;
  if (!SplitVersionKey({rows.key().data(), rows.key().size()}, encoded, timestamp)) {
    Check(rocksdb::Status::Corruption("a version key is malformed"), "reading the state machine");
    return;
  }
  Take(timestamp, {rows.value().data(), rows.value().size()}, newest, want_value);
}

void Evaluator::Take(Timestamp timestamp, std::string_view stored, Newest& newest,
                     bool want_value) {
  VersionView version;
  if (!DecodeVersion(stored, version)) {
    Check(rocksdb::Status::Corruption("a version is malformed"), "reading the state machine");
    return;
  }
  newest.timestamp = timestamp;
  newest.present = true;
  newest.tombstone = version.tombstone;
  newest.expires_at_ms = version.expires_at_ms;
  if (want_value) newest.value = version.value;
}

std::uint64_t Evaluator::DeleteRange(const CommandView& command, const WriteOp& op,
                                     Timestamp timestamp) {
  const std::uint64_t now_ms = MillisecondsOf(timestamp);
  const UserRange range(command.keyspace, op.key, op.end);
  std::vector<std::string> doomed;
  // What the batch has written lies over what the database has.
  for (auto one = written_.lower_bound(range.first());
       one != written_.end() && one->first < range.past_last(); ++one) {
    const bool inside = range.PlaceOf(one->first) == UserRange::Place::kInside;
    if (inside && one->second.Exists(now_ms)) doomed.push_back(one->first);
  }
  rocksdb::Iterator& rows = Rows();
  VisibleRows newest_rows(rows);
  rows.Seek(range.first());
  while (rows.Valid() && rows.key().compare(range.past_last()) < 0) {
    std::string_view encoded;
    Timestamp version_timestamp;
    if (!SplitVersionKey({rows.key().data(), rows.key().size()}, encoded, version_timestamp)) {
      Check(rocksdb::Status::Corruption("a version key is malformed"), "deleting a range");
      break;
    }
    if (const auto place = range.PlaceOf(encoded); place != UserRange::Place::kInside) {
      range.SkipForward(rows, encoded, place);
      continue;
    }
    if (!written_.contains(encoded)) {
      Newest newest;
      ReadAt(rows, newest, false);
      if (newest.Exists(now_ms)) doomed.emplace_back(encoded);
    }
    newest_rows.Next();
  }
  Check(rows.status(), "deleting a range");
  for (const std::string& encoded : doomed) Tombstone(encoded, timestamp);
  return doomed.size();
}

Status Evaluator::ExpireDue(Timestamp now) {
  const std::uint64_t now_ms = MillisecondsOf(now);
  const std::unique_ptr<rocksdb::Iterator> due =
      database_.Iterate(rocksdb::ReadOptions(), database_.meta());
  int slice = 0;
  for (due->Seek(rocksdb::Slice(&kExpiryPrefix, 1));
       due->Valid() && due->key()[0] == kExpiryPrefix && slice < kExpireSliceMax; due->Next()) {
    const std::string_view key(due->key().data(), due->key().size());
    const std::string_view value(due->value().data(), due->value().size());
    if (key.size() < 9 || value.size() != 8) {
      return Error(Reason::kDataDamaged, "the index of expiring keys is malformed");
    }
    if (LoadOrdered64(key.data() + 1) > now_ms) break;
    ++slice;
    const std::string encoded(key.substr(9));
    // What a transaction puts there may have an earlier timestamp than now.
    if (locks_.AgainstWrite(encoded, TxnId())) continue;
    const Newest newest = Read(encoded, false);
    if (newest.present && !newest.tombstone &&
        newest.timestamp == Timestamp(LoadFixed64(value.data()))) {
      Tombstone(encoded, now, TxnId(), newest.expires_at_ms);
    }
    Check(batch_.Delete(database_.meta(), due->key()), "gathering writes");
    expired_some_ = true;
  }
  Check(due->status(), "reading the index of expiring keys");
  return failure_;
}

}  // namespace flotilla::kv
