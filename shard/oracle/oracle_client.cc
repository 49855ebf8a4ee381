#include "shard/oracle/oracle_client.h"

#include <spdlog/fmt/fmt.h>

#include <utility>

#include "base/turn.h"
#include "shard/oracle/codec.h"

namespace flotilla {
namespace {

// Until a leader that does not answer is given up; about as long as it takes to elect another.
constexpr Duration kCallTimeout = std::chrono::milliseconds(300);
constexpr Duration kRetryPause = std::chrono::milliseconds(10);

Status Stopping() {
  return Error(Reason::kNodeStopping, "the node is stopping: ask another one");
}

Status TooLate(const Status& last) {
  if (ReasonOf(last) == Reason::kDiskFull) {
    return Annotate(last, "the directory's leader cannot give out timestamps");
  }
  return Error(Reason::kNoQuorum,
               fmt::format("the directory, which gives out timestamps, has no leader that answers "
                           "({}): see `kvctl status`, and try again",
                           MessageOf(last)));
}

}  // namespace

OracleClient::OracleClient(World world) : world_(std::move(world)) {
  world_.calls->Handle(
      raft::PeerMethod::kTimestamps,
      [server = world_.server](NodeId from, std::uint64_t, const Bytes& body,
                               raft::PeerCalls::Reply reply) {
        const StatusOr<TimestampRequest> request = DecodeTimestampRequest(body.view());
        if (!request.ok()) {
          reply(Bytes(EncodeTimestampAnswer(request.status())));
          return;
        }
        server->Take(request->count, {.node = from, .term = request->term},
                     [reply = std::move(reply)](const StatusOr<Timestamp>& first) mutable {
                       reply(Bytes(EncodeTimestampAnswer(first)));
                     });
      });
}

void OracleClient::Take(std::uint64_t count, MonoTime deadline, Done done) {
  Waiting waiting{.count = count, .deadline = deadline, .done = std::move(done)};
  if (count == 0 || count > kTimestampsTakenMax) {
    waiting.done(Error(Reason::kBadRequest, fmt::format("1 to {} timestamps at once, not {}",
                                                        kTimestampsTakenMax, count)));
  } else if (!world_.leads()) {
    Add(std::move(waiting), /*later=*/false);
  } else {
    world_.server->Take(count, {},
                        [this, waiting = std::move(waiting)](StatusOr<Timestamp> first) mutable {
                          if (first.ok()) {
                            waiting.done(*first);
                          } else {
                            Add(std::move(waiting), /*later=*/true);
                          }
                        });
  }
}

void OracleClient::Add(Waiting waiting, bool later) {
  std::unique_lock lock(mutex_);
  if (stopped_) {
    lock.unlock();
    waiting.done(Stopping());
    return;
  }
  waiting_.push_back(std::move(waiting));
  if (later) {
    SendLater();
  } else if (!timer_ && !under_way_) {
    lock.unlock();
    // The groups of one turn ask together.
    GatheringTurn::AtEnd([this, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) Send(std::unique_lock(mutex_));
    });
  }
}

void OracleClient::Send(std::unique_lock<std::mutex> lock) {
  if (under_way_ || waiting_.empty() || stopped_) return;
  std::vector<Waiting> asked;
  std::uint64_t count = 0;
  auto next = waiting_.begin();
  while (next != waiting_.end() && count + next->count <= kTimestampsTakenMax) {
    count += next->count;
    asked.push_back(std::move(*next++));
  }
  waiting_.erase(waiting_.begin(), next);
  under_way_ = true;
  lock.unlock();
  Ask(count, [this, asked = std::move(asked)](const StatusOr<Timestamp>& first) mutable {
    OnAnswer(std::move(asked), first);
  });
}

void OracleClient::Ask(std::uint64_t count, Done done) {
  if (world_.leads()) {
    world_.server->Take(count, {}, std::move(done));
    return;
  }
  const NodeId leader = world_.leader();
  if (!leader) {
    done(Error(Reason::kNotLeader, "this node knows no leader of the directory"));
    return;
  }
  world_.calls->Call(leader, raft::PeerMethod::kTimestamps,
                     Bytes(EncodeTimestampRequest({.count = count, .term = world_.term()})),
                     kCallTimeout, {},
                     [done = std::move(done)](const StatusOr<Bytes>& answer) mutable {
                       if (answer.ok()) {
                         done(DecodeTimestampAnswer(answer->view()));
                       } else {
                         done(answer.status());
                       }
                     });
}

void OracleClient::OnAnswer(std::vector<Waiting> asked, const StatusOr<Timestamp>& first) {
  std::unique_lock lock(mutex_);
  under_way_ = false;
  if (first.ok()) {
    const GatheringTurn gathering;
    Send(std::move(lock));
    Timestamp next = *first;
    for (Waiting& waiting : asked) {
      waiting.done(next);
      next = next + waiting.count;
    }
    return;
  }
  waiting_.insert(waiting_.begin(), std::make_move_iterator(asked.begin()),
                  std::make_move_iterator(asked.end()));
  std::vector<Waiting> turned_away;
  if (stopped_) {
    turned_away.swap(waiting_);
  } else {
    turned_away = TakeLate();
    if (!waiting_.empty()) SendLater();
  }
  const Status status = stopped_ ? Stopping() : TooLate(first.status());
  lock.unlock();
  for (Waiting& waiting : turned_away) waiting.done(status);
}

std::vector<OracleClient::Waiting> OracleClient::TakeLate() {
  const MonoTime now = world_.clock->Now();
  std::vector<Waiting> late;
  std::vector<Waiting> others;
  for (Waiting& one : waiting_) (one.deadline > now ? others : late).push_back(std::move(one));
  waiting_.swap(others);
  return late;
}

void OracleClient::SendLater() {
  if (std::exchange(timer_, true)) return;
  world_.strand->After(kRetryPause, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    std::unique_lock lock(mutex_);
    timer_ = false;
    Send(std::move(lock));
  });
}

void OracleClient::OnLeader() {
  std::unique_lock lock(mutex_);
  Send(std::move(lock));
}

void OracleClient::Stop() {
  std::vector<Waiting> waiting;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    waiting.swap(waiting_);
  }
  for (Waiting& one : waiting) one.done(Stopping());
}

}  // namespace flotilla
