// PendingBatch: requests that were submitted together, until each has its one answer.
//
// Several parties race to answer a request: the group that serves it, the peer that it was
// forwarded to, the deadline, the node's stop. The slot's state decides who wins, without a lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/planted.h"
#include "shard/gateway.h"

namespace flotilla {

struct Ticket;

// Takes requests that a group has turned away because it does not hold their keys (WRONG_SHARD):
// they had no effect there, and belong elsewhere.
class Rerouter {
 public:
  virtual ~Rerouter() = default;
  virtual void OnWrongShard(std::vector<Ticket> tickets) = 0;
};

class PendingBatch {
 public:
  // `rerouter`: null when WRONG_SHARD is an answer like others. It outlives the batch.
  PendingBatch(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink,
               Rerouter* rerouter = nullptr)
      : requests_(std::move(requests)),
        sink_(std::move(sink)),
        rerouter_(rerouter),
        slots_(requests_.size()) {}
  // Whatever was dropped without an answer gets one here.
  ~PendingBatch();
  PendingBatch(const PendingBatch&) = delete;
  PendingBatch& operator=(const PendingBatch&) = delete;

  // Answers the requests whose deadline has passed.
  void Expire(MonoTime now);
  // Answers all that are open: NODE_STOPPING, or OUTCOME_UNKNOWN for a write in flight.
  void Abandon();
  // The earliest deadline of an open request; nothing when all are answered.
  std::optional<MonoTime> NextDeadline() const;

  std::size_t size() const { return requests_.size(); }
  const GatewayRequest& request(std::uint32_t slot) const { return requests_[slot]; }
  AnswerSink& sink() const { return *sink_; }
  Rerouter* rerouter() const { return rerouter_; }

  enum class State : std::uint8_t {
    kWaiting = 0,   // nobody acts on it: giving up means that nothing happened, unless Lost()
    kInFlight = 1,  // proposed or forwarded: giving up leaves the outcome open
    kAnswered = 2,
  };

  // Whoever gets true acts on the request; false: it is answered already.
  bool Begin(std::uint32_t slot) {
    State expected = State::kWaiting;
    return slots_[slot].state.compare_exchange_strong(expected, State::kInFlight);
  }
  // This attempt had no effect; it will be tried elsewhere. False: answered already.
  bool Return(std::uint32_t slot) {
    State expected = State::kInFlight;
    return slots_[slot].state.compare_exchange_strong(expected, State::kWaiting) ||
           expected == State::kWaiting;
  }
  // It may have happened where it was, and will be tried elsewhere as well: no failure of a later
  // attempt, and no giving up, says any more that it did not. False: answered already.
  bool Lost(std::uint32_t slot) {
    slots_[slot].lost.store(true);
    return Return(slot);
  }
  // Whoever gets something other than kAnswered delivers the answer.
  State Finish(std::uint32_t slot) { return slots_[slot].state.exchange(State::kAnswered); }
  bool Answered(std::uint32_t slot) const { return slots_[slot].state.load() == State::kAnswered; }
  bool IsWrite(std::uint32_t slot) const {
    return std::holds_alternative<WriteCall>(requests_[slot].call);
  }
  // An earlier attempt of this write may have happened.
  bool LostWrite(std::uint32_t slot) const { return slots_[slot].lost.load() && IsWrite(slot); }

 private:
  struct Slot {
    std::atomic<State> state{State::kWaiting};
    std::atomic<bool> lost{false};
  };

  // Giving it up leaves open whether it happened.
  bool PerhapsDone(std::uint32_t slot, State state) const {
    return !Planted(Plant::kPerhapsMeansNo) && IsWrite(slot) &&
           (state == State::kInFlight || slots_[slot].lost.load());
  }

  const std::vector<GatewayRequest> requests_;
  const std::shared_ptr<AnswerSink> sink_;
  Rerouter* const rerouter_;
  std::vector<Slot> slots_;
};

// One request of a batch.
struct Ticket {
  std::shared_ptr<PendingBatch> batch;
  std::uint32_t slot = 0;
  GroupId group = {};  // that serves it, by what is known of the directory
  // Since when groups have turned it away; zero: none has.
  MonoTime misplaced_since{};

  const GatewayRequest& request() const { return batch->request(slot); }
  bool is_write() const { return batch->IsWrite(slot); }
};

// What a write gets for an error of its last attempt when an earlier one was lost.
Status ErrorAfterLoss(const Status& error);

// Gathers answers and hands each sink its own in one call. Not shared between threads.
class AnswerCollector {
 public:
  AnswerCollector() = default;
  ~AnswerCollector() { Flush(); }
  AnswerCollector(const AnswerCollector&) = delete;
  AnswerCollector& operator=(const AnswerCollector&) = delete;

  // Drops the answer when the request has one. The request's id is filled in. WRONG_SHARD goes to
  // the rerouter, if there is one.
  void Add(const Ticket& ticket, GatewayAnswer answer) {
    if (!answer.status.ok() && ticket.batch->rerouter() != nullptr &&
        ReasonOf(answer.status) == Reason::kWrongShard) {
      if (ticket.batch->Return(ticket.slot)) misplaced_.push_back(ticket);
      return;
    }
    if (!answer.status.ok() && ticket.batch->LostWrite(ticket.slot)) {
      answer.status = ErrorAfterLoss(answer.status);
    }
    if (ticket.batch->Finish(ticket.slot) == PendingBatch::State::kAnswered) return;
    AddFinished(ticket, std::move(answer));
  }
  void Fail(const Ticket& ticket, const Status& status) {
    GatewayAnswer answer;
    answer.status = status;
    Add(ticket, std::move(answer));
  }
  // For a caller that has called Finish() itself.
  void AddFinished(const Ticket& ticket, GatewayAnswer answer) {
    answer.id = ticket.request().id;
    for (PerSink& one : per_sink_) {
      if (&one.batch->sink() == &ticket.batch->sink()) {
        one.answers.push_back(std::move(answer));
        return;
      }
    }
    PerSink& one = per_sink_.emplace_back();
    one.batch = ticket.batch;
    one.answers.push_back(std::move(answer));
  }
  void Flush() {
    for (PerSink& one : per_sink_) one.batch->sink().OnAnswers(std::move(one.answers));
    per_sink_.clear();
    if (misplaced_.empty()) return;
    Rerouter* const rerouter = misplaced_.front().batch->rerouter();
    rerouter->OnWrongShard(std::exchange(misplaced_, {}));
  }

 private:
  struct PerSink {
    std::shared_ptr<PendingBatch> batch;  // keeps the sink alive
    std::vector<GatewayAnswer> answers;
  };
  std::vector<PerSink> per_sink_;
  std::vector<Ticket> misplaced_;
};

}  // namespace flotilla
