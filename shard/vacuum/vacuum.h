// Vacuum: drops old versions of this node's groups, one group at a time and slice by slice.
//
//   Look(), each second ─▶ NextVacuumStep of each group ─▶ the one with most that may go
//   Run(group) ──────────▶ time moves, flush ─────────────▶ slices ─▶ what became of it
//                                                            (a blocking strand)
//
// Nobody waits for it: a slice is a compaction of a few files beside all else, within the bound of
// all compactions (--compaction-rate), and after each it rests for as long as that took.
//
// On the control strand, but for Report().
#pragma once

#include <spdlog/logger.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/function.h"
#include "base/status.h"
#include "base/task.h"
#include "shard/replica.h"
#include "shard/vacuum/trigger.h"
#include "shard/vacuum/vacuum_report.h"

namespace flotilla {

class Vacuum {
 public:
  // All outlive it.
  struct World {
    const Clock* clock = nullptr;
    TaskScope* scope = nullptr;
    Strand* slices = nullptr;  // blocking
    std::function<std::vector<std::shared_ptr<Replica>>()> replicas;
    std::function<std::shared_ptr<Replica>(GroupId)> find;
    std::function<Timestamp()> oldest_reader;  // zero: not known
    // Looks its counts up again, soon. Any thread.
    std::function<void(const std::shared_ptr<Replica>&)> measure;
    std::shared_ptr<spdlog::logger> logger;
  };
  Vacuum(const VacuumOptions& options, World world);

  // Begins with what is worth it.
  void Look();
  // A thorough run, after those that were asked for before. GROUP_NOT_FOUND, OVERLOADED, and what
  // it fails with. The run goes on when nobody waits for it any more.
  void Run(GroupId group, UniqueFunction<void(StatusOr<VacuumReport>)> done);

  // Any thread.
  VacuumReport Report(GroupId group) const;

 private:
  struct Wanted {
    GroupId group;
    UniqueFunction<void(StatusOr<VacuumReport>)> done;
  };
  struct Sliced {
    kv::VacuumPass pass;
    StatusOr<bool> more;
  };

  // Until there is nothing to do.
  void Begin();
  Task<> Work();
  Task<Status> Thorough(std::weak_ptr<Replica> replica);
  Task<Status> Pass(std::weak_ptr<Replica> replica, kv::VacuumPass pass, double pause);
  Task<Status> TakeSlices(std::weak_ptr<Replica> replica, kv::VacuumPass pass, double pause);
  Task<bool> TimeMoves(std::weak_ptr<Replica> replica);
  // The group that is to be vacuumed next, if any; the others get what they need for that.
  std::shared_ptr<Replica> Choose(kv::VacuumPass& pass);
  VacuumSubject SubjectOf(Replica& replica) const;
  // What a group needs before anything of it may go.
  void Prepare(const std::shared_ptr<Replica>& replica, VacuumStep step);

  const VacuumOptions options_;
  const World world_;
  const MonoTime opened_;
  bool working_ = false;
  std::deque<Wanted> wanted_;
  std::map<GroupId, MonoTime> last_run_;
  std::map<GroupId, MonoTime> prepared_;

  mutable std::mutex mutex_;
  std::map<GroupId, VacuumReport> reports_;
};

}  // namespace flotilla
