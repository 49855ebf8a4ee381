// IdleLog: a log that keeps nothing, for tests that need some part of one and override that.
#pragma once

#include <optional>
#include <vector>

#include "raft/log/log.h"

namespace flotilla::raft {

class IdleLog : public Log {
 public:
  Status Append(LogWrite, UniqueFunction<void(Status)>) override { return absl::OkStatus(); }
  Status CheckRoom(std::size_t) override { return absl::OkStatus(); }
  std::optional<std::vector<Entry>> ReadCached(GroupId, IndexRange, std::size_t) override {
    return std::nullopt;
  }
  StatusOr<std::vector<Entry>> Read(GroupId, IndexRange, std::size_t) override {
    return Error(Reason::kNotReady, "nothing here");
  }
  void Release(GroupId, Index, Term) override {}
  void Remove(GroupId) override {}
  HardState hard_state(GroupId) const override { return {}; }
  LogEnd end(GroupId) const override { return {}; }
  std::vector<GroupId> Pressure() override { return {}; }
  LogStats Stats() const override { return {}; }
  void Stop(Closure) override {}
};

}  // namespace flotilla::raft
