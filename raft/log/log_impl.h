// LogImpl: the Log, put together.
//
// Place in the picture: callers meet LogState (memory, one mutex); the writer strand runs Drain(),
// which writes what has gathered, and Upkeep(), which frees, fills and rewrites segments one step
// at a time, so that writes never wait for long behind it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "raft/log/log.h"
#include "raft/log/log_state.h"
#include "raft/log/segment_files.h"
#include "raft/log/segment_writer.h"

namespace flotilla::raft::log {

class LogImpl final : public Log {
 public:
  LogImpl(const LogOptions& options, World world);
  ~LogImpl() override;

  // Before anything else, on the caller's thread.
  Status Start(LogRecovery& recovery);

  Status Append(LogWrite write, UniqueFunction<void(Status)> done) override;
  Status CheckRoom(std::size_t bytes) override;
  std::optional<std::vector<Entry>> ReadCached(GroupId group, IndexRange range,
                                               std::size_t bytes_max) override;
  StatusOr<std::vector<Entry>> Read(GroupId group, IndexRange range,
                                    std::size_t bytes_max) override;
  void Release(GroupId group, Index index, Term term) override;
  void Remove(GroupId group) override;
  HardState hard_state(GroupId group) const override;
  LogEnd end(GroupId group) const override;
  std::vector<GroupId> Pressure() override;
  LogStats Stats() const override;
  void Stop(Closure done) override;

 private:
  // Posts `step` to the writer strand; it does not run once the log is gone.
  void Post(void (LogImpl::*step)());
  // At most one of each waits on the strand.
  void ScheduleDrain();
  void ScheduleUpkeep();

  // For its lifetime the writer is at work.
  class AtWork {
   public:
    explicit AtWork(LogImpl& log) : log_(log) {
      log_.work_began_.store(log_.clock_.Now().time_since_epoch().count(),
                             std::memory_order_relaxed);
    }
    ~AtWork() { log_.work_began_.store(0, std::memory_order_relaxed); }
    // Writing so much takes its time even on a disk that is well.
    void Allow(std::size_t bytes);

   private:
    LogImpl& log_;
  };

  // --- The writer strand -------------------------------------------------------------------------

  void Drain();
  // Writes one batch; false when there was nothing to do or no room for it.
  bool WriteOneBatch(LogState::Mode mode, AtWork* at_work = nullptr);
  Status WriteBatch(Batch& batch, bool& synced);
  // Makes room for a batch of so many bytes of records; false when there is no space or no log.
  bool MakeRoom(std::size_t bytes);
  void Upkeep();
  // Each does one step of its kind if there is one to do.
  bool WriteSummary();
  bool FreeOldest();
  bool MakeSpare();
  bool RewriteSlice();
  Status CopyRecords(const RewritePlan& plan, std::vector<std::uint32_t>& offsets);
  // Whether the last attempt to get a segment failed, and why.
  void SetFull(const Status& error);
  void PublishRoom();
  void RetryLater();
  // Ends the log. `lost` were taken from the queue already.
  void Fail(const Status& error, std::vector<QueuedWrite> lost = {});
  void FinishStop(Closure done);

  const LogOptions options_;
  rocksdb::FileSystem& files_;
  const Clock& clock_;
  UniqueFunction<void(Status)> on_fatal_;

  LogState state_;
  SegmentFiles segments_;
  std::unique_ptr<SegmentWriter> writer_;

  // Of the writer strand.
  bool failed_ = false;
  bool stopped_ = false;
  bool retry_scheduled_ = false;
  bool full_ = false;
  Status full_error_;

  std::atomic<bool> drain_scheduled_{false};
  std::atomic<bool> upkeep_scheduled_{false};
  std::atomic<std::int64_t> work_began_{0};    // 0: it rests
  std::atomic<std::int64_t> drain_wanted_{0};  // since when somebody waits for it; zero: nobody
  std::shared_ptr<bool> alive_;
  // Last: its queued closures may run while it is destroyed.
  std::unique_ptr<Strand> strand_;
};

}  // namespace flotilla::raft::log
