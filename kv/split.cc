// Changes of a group's range: control entries, and the birth of a group that is split off.
//
//   parent's apply strand                            whoever opens the child
//   flush ─▶ child/db (hard links) ─▶ child/birth ─▶ rename ─▶ parent's batch
//                                                      └─▶ rows outside go, row `born`
//
// A child is made in the parent's directory and moved to its own place in one step, synced: what is
// there is whole. The checkpoint has the parent's state from before the split; `birth` says what of
// it is the child's. Whoever opens the child sees to that, so that the parent need not wait for it,
// and does so again until a flush has brought the row `born` to the disk: the log has all that came
// after. So nobody need wait for that flush, either.
//
// The parent gives up its part in the batch that has the split's index. A crash before that batch
// is flushed lets the entry be applied once more, which finds the child in its place.

#include <fmt/format.h>

#include <mutex>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/planted.h"
#include "kv/evaluator.h"
#include "kv/store_impl.h"

namespace flotilla::kv {
namespace {

std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

// False: there is none. Anything else that may be the matter is an error.
StatusOr<bool> Find(rocksdb::Env& env, const std::string& path) {
  const rocksdb::Status found = env.FileExists(path);
  if (found.IsNotFound()) return false;
  RETURN_IF_ERROR(FromRocks(found, path));
  return true;
}

// The row in `meta` of a group that was split off: its number, fixed64. The parent may have one,
// too.
constexpr char kBornKey[] = "born";

// birth: crc32c of the rest, fixed32 | the range (kv/shard_range.h)
std::string EncodeBirth(const ShardRange& range) {
  const std::string body = EncodeShardRange(range);
  std::string out;
  AppendFixed32(out, Crc32c(body));
  return out + body;
}

bool DecodeBirth(std::string_view bytes, ShardRange& range) {
  return bytes.size() > 4 && LoadFixed32(bytes.data()) == Crc32c(bytes.substr(4)) &&
         DecodeShardRange(bytes.substr(4), range);
}

}  // namespace

ShardRange StoreImpl::range() const {
  std::shared_lock lock(database_mutex_);
  return range_;
}

ShardRange StoreImpl::durable_range() const {
  std::lock_guard lock(flush_mutex_);
  return ranges_.empty() ? ShardRange() : ranges_.front().second;
}

Status StoreImpl::LoadRange() {
  std::string text;
  ShardRange range;
  const rocksdb::Status read =
      database_->db().Get(rocksdb::ReadOptions(), database_->meta(), kRangeKey, &text);
  if (!read.IsNotFound()) {
    RETURN_IF_ERROR(FromRocks(read, DbPath()));
    if (!DecodeShardRange(text, range)) {
      return Error(Reason::kDataDamaged, fmt::format("{}: the range is malformed", DbPath()));
    }
  }
  range_ = range;
  frozen_.store(range.frozen);
  return absl::OkStatus();
}

Status StoreImpl::ApplyControl(raft::AppliedEntry& applied) {
  const raft::Entry& entry = applied.entry;
  ASSIGN_OR_RETURN(const ControlCommand command, DecodeControl(entry.payload.view()));
  const raft::Configuration configuration = mark().configuration;
  const bool simple = !configuration.joint() && configuration.learners_next.empty();
  ControlResult result = Evaluate(command, options_.group, range_, simple);
  result.index = entry.index;
  const bool applies = result.outcome == ControlOutcome::kApplied;
  const Split* const split = applies && IsMember() ? std::get_if<Split>(&command.change) : nullptr;
  const Absorb* const absorb = applies ? std::get_if<Absorb>(&command.change) : nullptr;
  rocksdb::WriteBatch batch;
  if (split != nullptr) {
    RETURN_IF_ERROR(MakeChild(split->child, ChildRange(*split, range_)));
  } else if (absorb != nullptr) {
    RETURN_IF_ERROR(TakeOver(*absorb, batch));
  } else if (!range_.Covers(result.range)) {
    // What was there once, and may come to light again: files are dropped one by one.
    RETURN_IF_ERROR(RemoveOutside(range_, batch));
  }
  RETURN_IF_ERROR(ChangeRange(result.range, entry, batch));
  if (absorb != nullptr) RETURN_IF_ERROR(TellAllRows());
  if (split != nullptr && options_.on_split) options_.on_split(split->child);
  if (applied.proposal) static_cast<ControlProposal&>(*applied.proposal).Complete(result);
  return absl::OkStatus();
}

bool StoreImpl::IsMember() const {
  return !options_.self || mark().configuration.Contains(options_.self);
}

Status StoreImpl::ChangeRange(const ShardRange& range, const raft::Entry& entry,
                              rocksdb::WriteBatch& batch) {
  const bool bounds_change = range.start != range_.start || range.end != range_.end;
  const bool changes = range != range_;
  if (bounds_change) RETURN_IF_ERROR(RemoveOutside(range, batch));
  if (changes) {
    RETURN_IF_ERROR(FromRocks(batch.Put(database_->meta(), kRangeKey, EncodeShardRange(range)),
                              "changing the range"));
  }
  {
    // Whoever reads has done so when rows go, and asks what the range is before he reads again.
    std::unique_lock lock(database_mutex_);
    RETURN_IF_ERROR(Write(batch, entry));
    // Rows that were read of what is outside now answer nobody; should it come back, they are old.
    if (!range_.Covers(range) && !Planted(Plant::kOldRowsComeBack)) {
      row_cache_.Forget();
      range_cache_.Forget();
    }
    RETURN_IF_ERROR(LoadLocks());
    range_ = range;
    frozen_.store(range.frozen);
  }
  RETURN_IF_ERROR(Written(batch, entry));
  RETURN_IF_ERROR(RefreshNextExpiry());
  if (!changes) return absl::OkStatus();
  if (bounds_change) {
    shrunk_at_ = entry.index;
    MeasureDatabase();
  }
  // Soon: others wait until what was given away, or stands still, is not claimed again after a
  // crash. The entry is applied even if there is no room for that now.
  const Status requested = RequestFlush();
  if (!requested.ok() && ReasonOf(requested) != Reason::kDiskFull) return requested;
  RunBackgroundWork();
  return absl::OkStatus();
}

Status StoreImpl::RemoveOutside(const ShardRange& range, rocksdb::WriteBatch& batch) {
  RETURN_IF_ERROR(database_->RemoveOutside(range, batch));
  RETURN_IF_ERROR(RemoveLocksOutside(range, batch));
  const std::unique_ptr<rocksdb::Iterator> rows =
      database_->Iterate(rocksdb::ReadOptions(), database_->meta());
  const rocksdb::Slice prefix(&kExpiryPrefix, 1);
  constexpr std::size_t kHeadBytes = 1 + sizeof(std::uint64_t);
  for (rows->Seek(prefix); rows->Valid() && rows->key().starts_with(prefix); rows->Next()) {
    std::string_view key(rows->key().data(), rows->key().size());
    if (key.size() < kHeadBytes || range.Contains(key.substr(kHeadBytes))) continue;
    RETURN_IF_ERROR(FromRocks(batch.Delete(database_->meta(), rows->key()), "removing a range"));
  }
  return FromRocks(rows->status(), "reading the index of expiring keys");
}

void StoreImpl::DropFilesOutside() {
  if (!FilesMayGo()) return;
  shrunk_at_ = raft::Index();
  database_->DropFilesOutside(range_);
}

// ---- the child's birth ------------------------------------------------------------------------

Status StoreImpl::MakeChild(GroupId child, const ShardRange& range) {
  if (!options_.directory_of) {
    return Error(Reason::kInternal,
                 fmt::format("{}: nobody says where group {} is to be", DbPath(), child.value()));
  }
  const std::string place = options_.directory_of(child);
  ASSIGN_OR_RETURN(const bool made, Find(*resources_.env, place));
  if (!made) {
    const std::string unfinished = options_.directory + "/child";
    RETURN_IF_ERROR(PrepareChild(unfinished, range));
    RETURN_IF_ERROR(FromRocks(resources_.env->RenameFile(unfinished, place), place));
  }
  if (Planted(Plant::kChildNotInPlace)) return absl::OkStatus();
  // Also of one that was made before: a full disk may have come in between.
  RETURN_IF_ERROR(SyncDirectory(ParentOf(place)));
  return SyncDirectory(options_.directory);
}

Status StoreImpl::PrepareChild(const std::string& directory, const ShardRange& range) {
  RETURN_IF_ERROR(FlushNow());
  RETURN_IF_ERROR(RemoveTree(directory));
  RETURN_IF_ERROR(FromRocks(resources_.env->CreateDir(directory), directory));
  RETURN_IF_ERROR(Checkpoint(directory + "/db"));
  const std::string birth = directory + "/birth";
  RETURN_IF_ERROR(FromRocks(rocksdb::WriteStringToFile(resources_.env, EncodeBirth(range), birth,
                                                       /*should_sync=*/true),
                            birth));
  return SyncDirectory(directory);
}

Status StoreImpl::FinishBirth() {
  const std::string path = options_.directory + "/birth";
  ASSIGN_OR_RETURN(const bool unfinished, Find(*resources_.env, path));
  if (!unfinished) return absl::OkStatus();
  std::string text;
  RETURN_IF_ERROR(FromRocks(rocksdb::ReadFileToString(resources_.env, path, &text), path));
  ShardRange range;
  if (!DecodeBirth(text, range)) {
    return Error(Reason::kDataDamaged,
                 fmt::format("{}: it does not say what a group that was split off holds", path));
  }
  std::string self;
  AppendFixed64(self, options_.group.value());
  std::string born;
  const rocksdb::Status read =
      database_->db().Get(rocksdb::ReadOptions(), database_->meta(), kBornKey, &born);
  if (!read.IsNotFound()) RETURN_IF_ERROR(FromRocks(read, DbPath()));
  if (born == self && !Planted(Plant::kBirthRepeated)) {
    return FromRocks(resources_.env->DeleteFile(path), path);
  }
  database_->DropFilesOutside(range);
  // Of the parent's state: configuration, last timestamp.
  RETURN_IF_ERROR(ReadState().status());
  rocksdb::WriteBatch batch;
  RETURN_IF_ERROR(RemoveOutside(range, batch));
  RETURN_IF_ERROR(
      FromRocks(batch.Put(database_->meta(), kRangeKey, EncodeShardRange(range)), path));
  RETURN_IF_ERROR(FromRocks(batch.Put(database_->meta(), kBornKey, self), path));
  if (Planted(Plant::kSessionsNotSplit)) {
    const std::unique_ptr<rocksdb::Iterator> sessions =
        database_->Iterate(rocksdb::ReadOptions(), database_->meta());
    for (sessions->Seek("s"); sessions->Valid() && sessions->key()[0] == 's'; sessions->Next()) {
      RETURN_IF_ERROR(FromRocks(batch.Delete(database_->meta(), sessions->key()), path));
    }
  }
  raft::Entry first;
  first.term = raft::Term(1);
  first.index = raft::Index(1);
  RETURN_IF_ERROR(Write(batch, first));
  std::lock_guard lock(flush_mutex_);
  unflushed_birth_ = database_->db().GetLatestSequenceNumber();
  return absl::OkStatus();
}

}  // namespace flotilla::kv
