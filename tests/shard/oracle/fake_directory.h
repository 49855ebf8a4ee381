// FakeDirectory: what an OracleServer asks of group 1, answered when the test says so.
#pragma once

#include <deque>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "shard/oracle/oracle_server.h"

namespace flotilla {

class SetClock final : public Clock {
 public:
  MonoTime Now() const override { return now; }
  std::chrono::microseconds WallNow() const override { return wall; }
  MonoTime now{};
  std::chrono::microseconds wall = std::chrono::hours(500'000);
};

// The row that all nodes share.
struct FakeRow {
  Timestamp end;

  Status Move(const TimestampOracle::Move& move) {
    if (move.from != end) return Error(Reason::kConditionFailed, "the row says otherwise");
    end = move.to;
    return absl::OkStatus();
  }
};

// One node's part of the group.
class FakeDirectory {
 public:
  explicit FakeDirectory(FakeRow* row) : row_(row) {}

  OracleServer::World World() {
    return {
        .clock = &clock,
        .confirm =
            [this](const OracleAsker& asker, UniqueFunction<void(StatusOr<raft::Term>)> done) {
              askers.push_back(asker);
              confirms.push_back(std::move(done));
              if (at_once) ConfirmAll();
            },
        .row = [this] { return row_->end; },
        .move_row =
            [this](const TimestampOracle::Move& move, UniqueFunction<void(const Status&)> done) {
              moves.emplace_back(move, std::move(done));
              if (at_once) MoveAll();
            }};
  }

  void ConfirmAll() {
    for (auto& done : std::exchange(confirms, {})) {
      if (leads) {
        done(term);
      } else {
        done(Error(Reason::kNotLeader, "another one leads"));
      }
    }
  }
  void MoveAll() {
    for (auto& [move, done] : std::exchange(moves, {})) done(row_->Move(move));
  }

  SetClock clock;
  bool at_once = true;
  bool leads = true;
  raft::Term term{1};
  std::vector<OracleAsker> askers;
  std::vector<UniqueFunction<void(StatusOr<raft::Term>)>> confirms;
  std::vector<std::pair<TimestampOracle::Move, UniqueFunction<void(const Status&)>>> moves;

 private:
  FakeRow* const row_;
};

// Collects what is given to it.
struct Taken {
  OracleServer::Done Sink() {
    return [this](StatusOr<Timestamp> first) { answers.push_back(std::move(first)); };
  }
  Timestamp last() const {
    return answers.empty() ? Timestamp() : answers.back().value_or(Timestamp());
  }
  Reason reason() const {
    return answers.empty() ? Reason::kNone : ReasonOf(answers.back().status());
  }

  std::vector<StatusOr<Timestamp>> answers;
};

}  // namespace flotilla
