// What of a group's past may go, how much of that there is, and how it goes slice by slice: see
// kv/store.h and kv/vacuum_plan.h.

#include <algorithm>
#include <utility>

#include "base/planted.h"
#include "base/timestamp.h"
#include "kv/store_impl.h"
#include "kv/txn/command.h"

namespace flotilla::kv {
namespace {

// Beside what it writes, a compaction has a manifest to write, and tables have ends.
constexpr std::uint64_t kRoomBytes = 1 << 20;

}  // namespace

void StoreImpl::MoveSafePoint() {
  const ReaderHorizon& readers = *resources_.readers;
  const std::uint64_t now_ms = MillisecondsOf(last_timestamp());
  const std::uint64_t kept_ms = std::max(retention_ms(), readers.unheard_ms.load());
  if (now_ms <= kept_ms) return;
  std::uint64_t safe = (now_ms - kept_ms) << kTimestampCounterBits;
  const std::uint64_t held_ms = now_ms - std::min(now_ms, readers.hold_ms_max.load());
  safe = std::min(safe, std::max(readers.oldest.load(), held_ms << kTimestampCounterBits));
  // Whoever reads around an intent reads as of a time before it.
  safe = std::min(safe, locks_.CompleteUpTo().value());
  if (safe > safe_point_.load()) safe_point_.store(safe);
}

void StoreImpl::CollectUpTo(std::uint64_t safe_point, std::uint64_t last_timestamp) {
  constexpr std::uint64_t kAgeMax = kTxnAgeMsMax << kTimestampCounterBits;
  const std::uint64_t of_age = last_timestamp > kAgeMax ? last_timestamp - kAgeMax : 0;
  collector_->safe_point.store(safe_point);
  collector_->tombstone_point.store(std::min(safe_point, of_age));
}

void StoreImpl::MeasureVersions() {
  const StatusOr<std::vector<VersionTable>> tables = database_->Tables();
  if (!tables.ok()) return;
  const Timestamp safe_point(collector_->safe_point.load());
  const Timestamp tombstone_point(collector_->tombstone_point.load());
  VersionStats stats;
  Spread dead;
  for (const VersionTable& table : *tables) {
    const VersionCounts& counts = table.counts;
    stats.versions += counts.versions;
    stats.dead_bytes += counts.dead_bytes;
    stats.due += DueVersions(counts, safe_point, tombstone_point);
    stats.due_bytes += counts.dead.Part(safe_point, counts.dead_bytes);
    stats.file_bytes += table.bytes;
    dead.Add(counts.dead);
  }
  stats.dead = dead.count;
  stats.dead_first = Timestamp(dead.first);
  stats.dead_last = Timestamp(dead.last);
  std::lock_guard lock(sizes_mutex_);
  versions_ = stats;
}

VersionStats StoreImpl::Versions() const {
  std::lock_guard lock(sizes_mutex_);
  return versions_;
}

StatusOr<bool> StoreImpl::CollectSlice(VacuumPass& pass) {
  std::shared_ptr<Database> database;
  std::unique_lock<std::mutex> under_way;
  {
    std::shared_lock lock(database_mutex_);
    RETURN_IF_ERROR(CheckOpen());
    database = database_;
    under_way = std::unique_lock(slice_mutex_);
  }
  ASSIGN_OR_RETURN(const std::vector<VersionTable> tables, database->Tables());
  const VacuumRules rules{.safe_point = Timestamp(collector_->safe_point.load()),
                          .tombstone_point = Timestamp(collector_->tombstone_point.load()),
                          .fraction_min = pass.fraction_min,
                          .thorough = pass.thorough,
                          .base_level = database->base_level(),
                          .last_level = database->last_level()};
  const std::optional<VacuumSlice> slice = PlanSlice(tables, pass.cursor, rules);
  Status compacted;
  if (slice) {
    compacted = CheckRoom(*resources_.env, DbPath(), slice->bytes + kRoomBytes);
    if (compacted.ok()) {
      collector_->slice_complete.store(slice->complete || Planted(Plant::kSliceTakenForAll));
      compacted = Located(database->Compact(*slice));
      collector_->slice_complete.store(false);
    }
  }
  database = nullptr;
  under_way.unlock();
  RunBackgroundWork();
  RETURN_IF_ERROR(compacted);
  if (!slice) return false;
  pass.cursor = slice->after;
  ++pass.slices;
  pass.bytes_read += slice->bytes;
  return true;
}

void StoreImpl::CloseDatabase() {
  if (database_) database_->EndCompactions();
  std::lock_guard slice(slice_mutex_);
  database_.reset();
}

}  // namespace flotilla::kv
