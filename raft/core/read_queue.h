// ReadQueue: the reads that wait for their leader to prove that it still leads (thesis, 6.4), and
// ForwardedReads: those that a follower has sent to its leader.
//
// All reads that wait when a round of heartbeats starts share that round. A few rounds may be
// under way: a lone read waits for nobody, many gather by themselves.
//
// Pure data; owned by one core.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "raft/core/types.h"

namespace flotilla::raft {

inline constexpr std::size_t kReadRoundsInFlightMax = 2;
// Beyond it a read is refused at once.
inline constexpr std::size_t kReadsWaitingMax = 1 << 16;

// Who asked: this node's driver (zero) or a follower.
struct ReadWaiter {
  NodeId from;
  std::uint64_t context = 0;
};

class ReadQueue {
 public:
  // False when full.
  bool Add(ReadWaiter waiter) {
    if (count_ >= kReadsWaitingMax) return false;
    ++count_;
    waiting_.push_back(waiter);
    return true;
  }
  bool empty() const { return count_ == 0; }
  bool waiting() const { return !waiting_.empty(); }
  bool may_start() const { return !waiting_.empty() && rounds_.size() < kReadRoundsInFlightMax; }

  // Everyone who waits shares this round, of few voters, and gets `index` once it is confirmed.
  void Start(std::uint64_t round, Index index, std::uint64_t tick) {
    rounds_.push_back({round, index, tick, std::move(waiting_)});
    waiting_.clear();
  }
  // A later round went to all voters; it confirms those before it.
  void AskedEveryone() { asked_everyone_ = rounds_.empty() ? 0 : rounds_.back().round; }
  // A round that began before `tick` waits, and only few voters were asked since.
  bool AskedFewBefore(std::uint64_t tick) const {
    for (const Round& round : rounds_) {
      if (round.round > asked_everyone_) return round.tick < tick;
    }
    return false;
  }

  // Calls done(waiter) for everyone who waits for no round yet.
  template <class Done>
  void ConfirmWaiting(Done done) {
    for (const ReadWaiter& waiter : waiting_) done(waiter);
    count_ -= waiting_.size();
    waiting_.clear();
  }

  // Calls done(waiter, index) for the reads of all rounds up to `round`. True when any was.
  template <class Done>
  bool ConfirmTo(std::uint64_t round, Done done) {
    bool any = false;
    while (!rounds_.empty() && rounds_.front().round <= round) {
      any = true;
      for (const ReadWaiter& waiter : rounds_.front().waiters) done(waiter, rounds_.front().index);
      count_ -= rounds_.front().waiters.size();
      rounds_.pop_front();
    }
    return any;
  }

  // Empties the queue, calling gone(waiter) for each.
  template <class Gone>
  void Drain(Gone gone) {
    for (const Round& round : rounds_) {
      for (const ReadWaiter& waiter : round.waiters) gone(waiter);
    }
    for (const ReadWaiter& waiter : waiting_) gone(waiter);
    rounds_.clear();
    waiting_.clear();
    count_ = 0;
  }

 private:
  struct Round {
    std::uint64_t round = 0;
    Index index;
    std::uint64_t tick = 0;
    std::vector<ReadWaiter> waiters;
  };

  std::vector<ReadWaiter> waiting_;
  std::deque<Round> rounds_;          // ascending
  std::uint64_t asked_everyone_ = 0;  // rounds up to this one
  std::size_t count_ = 0;
};

// Contexts never go on the wire: a request carries a number that no earlier life of this node
// used, so that an answer which was delayed across a restart confirms nothing.
class ForwardedReads {
 public:
  explicit ForwardedReads(std::uint64_t first_wire_id) : next_wire_id_(first_wire_id) {}

  // False when full.
  bool Add(std::uint64_t context);
  bool empty() const { return count_ == 0; }
  bool may_start() const { return !waiting_.empty() && requests_.size() < kReadRoundsInFlightMax; }

  // The number of a request that everyone waiting shares; it lapses after so many ticks.
  std::uint64_t Start(int ticks);
  // The contexts of the request that `wire_id` answers; none when it is unknown or lapsed.
  std::vector<std::uint64_t> Answered(std::uint64_t wire_id);
  // One tick has passed: the contexts whose request lapsed.
  std::vector<std::uint64_t> Tick();
  // All of them, out.
  std::vector<std::uint64_t> Drain();

 private:
  struct Request {
    std::uint64_t wire_id = 0;
    int ticks_left = 0;
    std::vector<std::uint64_t> contexts;
  };

  std::uint64_t next_wire_id_;
  std::vector<std::uint64_t> waiting_;
  std::vector<Request> requests_;
  std::size_t count_ = 0;
};

}  // namespace flotilla::raft
