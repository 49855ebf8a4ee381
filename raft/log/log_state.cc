#include "raft/log/log_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace flotilla::raft::log {
namespace {

// One batch is one write and one sync; larger ones would only delay the first in it.
constexpr std::size_t kBatchBytesMax = 16 << 20;
// A bound for the records of one lazy group.
constexpr std::size_t kLazyBytes = 2 * (kRecordOverheadMax + 16);

bool IsLazy(const LogWrite& write) {
  return !write.sync && write.entries.empty() && !write.reset_to.has_value();
}

// A bound for the size of the write's records.
std::size_t RecordBytes(const LogWrite& write) {
  std::size_t bytes = 2 * kRecordOverheadMax;
  for (const Entry& entry : write.entries) bytes += entry.payload.size() + kRecordOverheadMax;
  return bytes;
}

}  // namespace

// --- Callers of Log ----------------------------------------------------------------------------

Status LogState::Admit(std::size_t bytes, bool small) const {
  std::lock_guard lock(mutex_);
  return AdmitLocked(bytes, small);
}

Status LogState::AdmitLocked(std::size_t bytes, bool small) const {
  if (!closed_.ok()) return closed_;
  if (pending_bytes_ > 0 && pending_bytes_ + bytes > options_.pending_bytes_max) {
    return Error(Reason::kOverloaded,
                 fmt::format("{} bytes wait for the log's disk already, and {} more would exceed "
                             "the bound of {}: retry after a pause",
                             pending_bytes_, bytes, options_.pending_bytes_max));
  }
  if (full_) {
    const std::size_t reserve = small ? LazyReserve(options_) : EntryReserve(options_);
    if (queued_bytes_ + bytes + reserve > room_bytes_) return full_error_;
  }
  return absl::OkStatus();
}

Status LogState::Append(LogWrite write, UniqueFunction<void(Status)> done, bool& wake) {
  const bool lazy = IsLazy(write);
  const std::size_t bytes = lazy ? 0 : RecordBytes(write);
  std::lock_guard lock(mutex_);
  wake = false;
  if (Status status = AdmitLocked(bytes, write.entries.empty()); !status.ok()) return status;

  const std::uint64_t sequence = ++last_sequence_;
  GroupIndex& index = groups_.try_emplace(write.group, sequence).first->second;
  std::int64_t growth = 0;
  if (write.reset_to.has_value()) {
    const auto [reset_index, reset_term] = *write.reset_to;
    growth += index.Reset(reset_index, reset_term, sequence, table_);
  }
  if (!write.entries.empty()) {
    growth += index.Append(write.entries, sequence, table_);
    Cache(write.group, index.last(), 0);
  }
  cached_bytes_ += growth;
  if (write.hard_state.has_value()) {
    index.SetHardState(*write.hard_state, sequence, lazy, table_);
    if (lazy) dirty_.insert(write.group);
  }
  ++stats_.writes;
  stats_.entries += write.entries.size();
  if (lazy && !done) return absl::OkStatus();

  queued_bytes_ += bytes;
  pending_bytes_ += bytes;
  queue_.push_back({std::move(write), std::move(done), sequence, bytes, false});
  wake = true;
  return absl::OkStatus();
}

void LogState::Release(GroupId group, Index index, Term term, bool& wake) {
  std::lock_guard lock(mutex_);
  wake = false;
  const auto found = groups_.find(group);
  if (found == groups_.end() || index <= found->second.start() || !closed_.ok()) return;
  cached_bytes_ += found->second.Release(index, term, ++last_sequence_, table_);
  dirty_.insert(group);
  wake = OldestIsFree();
}

void LogState::Remove(GroupId group) {
  std::lock_guard lock(mutex_);
  const auto found = groups_.find(group);
  if (found == groups_.end() || !closed_.ok()) return;
  const std::uint64_t sequence = ++last_sequence_;
  cached_bytes_ += found->second.Drop(sequence, table_);
  QueuedWrite queued;
  groups_.erase(found);
  queued.write.group = group;
  queued.write.sync = false;
  queued.sequence = sequence;
  queued.bytes = kRecordOverheadMax;
  queued.remove = true;
  queued_bytes_ += queued.bytes;
  pending_bytes_ += queued.bytes;
  queue_.push_back(std::move(queued));
}

HardState LogState::hard_state(GroupId group) const {
  std::lock_guard lock(mutex_);
  const auto found = groups_.find(group);
  return found == groups_.end() ? HardState() : found->second.hard_state();
}

LogEnd LogState::end(GroupId group) const {
  std::lock_guard lock(mutex_);
  const auto found = groups_.find(group);
  return found == groups_.end() ? LogEnd() : found->second.end();
}

// --- The writer strand -------------------------------------------------------------------------

LogState::Take LogState::TakeBatch(std::size_t room, Mode mode, Batch& batch) {
  std::lock_guard lock(mutex_);
  batch = Batch();
  if (mode != Mode::kWrites) return TakeChanges(room, mode == Mode::kMark, batch);
  const std::size_t lazy_bytes = dirty_.size() * kLazyBytes;
  std::size_t bytes = 0;
  while (!queue_.empty()) {
    QueuedWrite& next = queue_.front();
    if (next.bytes > 0) {
      if (bytes > 0 && bytes + next.bytes > kBatchBytesMax) break;
      if (bytes + next.bytes + lazy_bytes > room) {
        if (!batch.writes.empty()) break;
        batch.bytes = next.bytes + lazy_bytes;
        return Take::kNeedsRoom;
      }
      bytes += next.bytes;
      batch.sync |= next.write.sync;
    }
    batch.writes.push_back(std::move(next));
    queue_.pop_front();
  }
  if (batch.writes.empty()) return Take::kNothing;
  queued_bytes_ -= bytes;
  batch.bytes = bytes + lazy_bytes;
  batch.empty = bytes == 0;
  batch.up_to = queue_.empty() ? last_sequence_ : queue_.front().sequence - 1;
  if (!batch.empty) {
    TakeLazy(batch.up_to, false, batch);
    batch.oldest_generation = table_.OldestNeeded(batch.up_to);
  }
  return Take::kBatch;
}

LogState::Take LogState::TakeChanges(std::size_t room, bool mark, Batch& batch) {
  batch.bytes = dirty_.size() * kLazyBytes;
  if (batch.bytes > room) return Take::kNeedsRoom;
  batch.up_to = queue_.empty() ? last_sequence_ : queue_.front().sequence - 1;
  TakeLazy(batch.up_to, true, batch);
  batch.oldest_generation = table_.OldestNeeded(batch.up_to);
  if (!mark && batch.lazy.empty() && batch.oldest_generation <= durable_oldest_) {
    return Take::kNothing;
  }
  batch.sync = true;
  batch.empty = false;
  return Take::kBatch;
}

void LogState::TakeLazy(std::uint64_t up_to, bool overtake, Batch& batch) {
  for (auto group = dirty_.begin(); group != dirty_.end();) {
    const auto found = groups_.find(*group);
    if (found == groups_.end()) {
      group = dirty_.erase(group);
      continue;
    }
    const GroupIndex& index = found->second;
    bool left = false;
    const auto goes = [&](const Anchor& anchor) {
      if (!anchor.pending || !anchor.lazy) return false;
      // A commit index must not precede its entries, nor a release a reset.
      const bool may_go = anchor.sequence <= up_to || (overtake && !anchor.ordered);
      left |= !may_go;
      return may_go;
    };
    if (const Anchor& anchor = index.hard_state_anchor(); goes(anchor)) {
      batch.lazy.push_back({*group, anchor.sequence, index.hard_state(), std::nullopt});
    }
    if (const Anchor& anchor = index.start_anchor(); goes(anchor)) {
      batch.lazy.push_back(
          {*group, anchor.sequence, std::nullopt, std::pair(index.start(), index.start_term())});
    }
    group = left ? std::next(group) : dirty_.erase(group);
  }
}

void LogState::Complete(const Batch& batch, std::uint32_t generation, std::uint64_t end,
                        bool synced) {
  std::lock_guard lock(mutex_);
  if (!batch.empty) {
    Segment& segment = table_.At(generation);
    stats_.appended_bytes += end - segment.end;
    rewrite_credit_ = std::min<std::uint64_t>(rewrite_credit_ + (end - segment.end),
                                              options_.live_bytes_soft_max);
    segment.end = end;
    const std::uint32_t* offset = batch.offsets.data();
    for (const QueuedWrite& queued : batch.writes) {
      CompleteWrite(queued, generation, batch.up_to, offset);
    }
    for (const LazyRecord& lazy : batch.lazy) {
      const auto found = groups_.find(lazy.group);
      if (found == groups_.end() || lazy.sequence < found->second.born()) {
        table_.Hold(generation, last_sequence_);
      } else if (lazy.hard_state.has_value()) {
        found->second.HardStateWritten(lazy.sequence, generation, batch.up_to, table_);
      } else {
        found->second.StartWritten(lazy.sequence, generation, batch.up_to, table_);
      }
    }
  }
  for (const QueuedWrite& queued : batch.writes) pending_bytes_ -= queued.bytes;
  if (synced) durable_sequence_ = std::max(durable_sequence_, batch.up_to);
  TrimCache();
}

void LogState::CompleteWrite(const QueuedWrite& queued, std::uint32_t generation,
                             std::uint64_t durable_at, const std::uint32_t*& offset) {
  if (queued.remove || queued.bytes == 0) return;
  const LogWrite& write = queued.write;
  const auto found = groups_.find(write.group);
  if (found == groups_.end() || queued.sequence < found->second.born()) {
    offset += write.entries.size();
    // What removed the group must be durable before this may go.
    table_.Hold(generation, last_sequence_);
    return;
  }
  GroupIndex& index = found->second;
  if (write.reset_to.has_value()) {
    index.StartWritten(queued.sequence, generation, durable_at, table_);
  }
  bool all_placed = true;
  for (const Entry& entry : write.entries) {
    all_placed &= index.EntryWritten(entry, queued.sequence, generation, *offset++, table_);
  }
  if (write.hard_state.has_value()) {
    index.HardStateWritten(queued.sequence, generation, durable_at, table_);
  }
  // The same for what overwrote a part of it.
  if (!all_placed) table_.Hold(generation, last_sequence_);
}

std::vector<QueuedWrite> LogState::Close(const Status& error) {
  std::lock_guard lock(mutex_);
  CHECK(!error.ok());
  if (closed_.ok()) closed_ = error;
  std::vector<QueuedWrite> waiting(std::make_move_iterator(queue_.begin()),
                                   std::make_move_iterator(queue_.end()));
  queue_.clear();
  queued_bytes_ = 0;
  pending_bytes_ = 0;
  return waiting;
}

bool LogState::HasPending() const {
  std::lock_guard lock(mutex_);
  return !queue_.empty();
}

void LogState::AddSegment(Segment segment) {
  std::lock_guard lock(mutex_);
  table_.Add(std::move(segment));
}

bool LogState::HasSegment(std::uint64_t generation) const {
  std::lock_guard lock(mutex_);
  return table_.segments().contains(static_cast<std::uint32_t>(generation));
}

void LogState::SetRoom(std::size_t bytes, bool full, const Status& error) {
  std::lock_guard lock(mutex_);
  room_bytes_ = bytes;
  full_ = full;
  full_error_ = error;
}

bool LogState::full() const {
  std::lock_guard lock(mutex_);
  return full_;
}

void LogState::CountSync(Duration took) {
  std::lock_guard lock(mutex_);
  ++stats_.syncs;
  stats_.sync_time_total += took;
}

void LogState::SetSpares(std::size_t count) {
  std::lock_guard lock(mutex_);
  stats_.spare_segments = count;
}

LogStats LogState::Stats() const {
  std::lock_guard lock(mutex_);
  LogStats stats = stats_;
  stats.segments = table_.segments().size();
  stats.live_bytes = table_.live_bytes();
  stats.held_bytes = table_.held_bytes();
  stats.cached_bytes = static_cast<std::uint64_t>(cached_bytes_);
  stats.pending_bytes = pending_bytes_;
  return stats;
}

}  // namespace flotilla::raft::log
