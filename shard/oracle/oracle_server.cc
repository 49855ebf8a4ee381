#include "shard/oracle/oracle_server.h"

#include <spdlog/fmt/fmt.h>

#include <utility>
#include <vector>

#include "base/planted.h"

namespace flotilla {

void OracleServer::Take(std::uint64_t count, const OracleAsker& asker, Done done) {
  if (count == 0 || count > kTimestampsTakenMax) {
    done(Error(Reason::kBadRequest,
               fmt::format("1 to {} timestamps at once, not {}", kTimestampsTakenMax, count)));
    return;
  }
  world_.confirm(asker, [this, waiting = Waiting{.count = count, .done = std::move(done)}](
                            StatusOr<raft::Term> term) mutable {
    OnConfirmed(std::move(term), std::move(waiting));
  });
}

void OracleServer::OnConfirmed(StatusOr<raft::Term> term, Waiting waiting) {
  if (!term.ok()) {
    waiting.done(term.status());
    return;
  }
  std::unique_lock lock(mutex_);
  if (*term != term_) {
    term_ = *term;
    oracle_.Forget();
    moving_ = false;
  }
  std::optional<Timestamp> first;
  if (waiting_.empty()) first = oracle_.Allocate(waiting.count, world_.clock->WallNow());
  if (!first) waiting_.push_back(std::move(waiting));
  Extend(std::move(lock));
  if (first) waiting.done(*first);
}

void OracleServer::Extend(std::unique_lock<std::mutex> lock) {
  const std::chrono::microseconds wall = world_.clock->WallNow();
  if (moving_ || !oracle_.WantsMore(wall)) return;
  const TimestampOracle::Move move = oracle_.NextMove(world_.row(), wall);
  moving_ = true;
  const raft::Term term = term_;
  lock.unlock();
  if (Planted(Plant::kOracleWindowNotDurable)) {
    OnMoved(term, move, absl::OkStatus());
    return;
  }
  world_.move_row(move, [this, term, move](const Status& status) { OnMoved(term, move, status); });
}

void OracleServer::OnMoved(raft::Term term, const TimestampOracle::Move& move,
                           const Status& status) {
  std::vector<std::pair<Done, StatusOr<Timestamp>>> answers;
  {
    std::unique_lock lock(mutex_);
    // In a later term others may have given out timestamps above these.
    if (term != term_) return;
    moving_ = false;
    if (status.ok()) oracle_.Moved(move);
    while (!waiting_.empty()) {
      Waiting& waiting = waiting_.front();
      if (!status.ok()) {
        answers.emplace_back(std::move(waiting.done), status);
      } else if (const auto first = oracle_.Allocate(waiting.count, world_.clock->WallNow())) {
        answers.emplace_back(std::move(waiting.done), *first);
      } else {
        break;
      }
      waiting_.pop_front();
    }
    if (!waiting_.empty()) Extend(std::move(lock));
  }
  for (auto& [done, answer] : answers) done(std::move(answer));
}

void OracleServer::OnDeposed() {
  std::deque<Waiting> waiting;
  {
    std::lock_guard lock(mutex_);
    waiting.swap(waiting_);
  }
  for (Waiting& one : waiting) {
    one.done(Error(Reason::kNotLeader, "this node leads the directory no more"));
  }
}

}  // namespace flotilla
