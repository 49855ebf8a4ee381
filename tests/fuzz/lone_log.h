// LoneLog: a node's log by itself, on a simulated disk and in virtual time.
#pragma once

#include <memory>
#include <vector>

#include "raft/log/log.h"
#include "tests/sim/event_loop.h"
#include "tests/sim/sim_file_system.h"
#include "tests/sim/sim_process.h"

namespace flotilla::fuzz {

class LoneLog {
 public:
  // Opens it; `status()` says whether that went well, `recovery()` what was found.
  LoneLog(sim::SimFileSystem& files, const raft::LogOptions& options);
  // Stops it as a node would.
  ~LoneLog();
  LoneLog(const LoneLog&) = delete;
  LoneLog& operator=(const LoneLog&) = delete;

  const Status& status() const { return status_; }
  const raft::LogRecovery& recovery() const { return recovery_; }

  // All entries of the group, as recovered.
  StatusOr<std::vector<raft::Entry>> ReadAll(GroupId group);
  // Appends one more entry behind them, durably.
  Status AppendOne(GroupId group, std::string payload);

 private:
  sim::EventLoop loop_;
  sim::SimProcess process_;
  raft::LogRecovery recovery_;
  Status status_;
  std::unique_ptr<raft::Log> log_;
};

}  // namespace flotilla::fuzz
