#include "shard/pending_batch.h"

#include "shard/answers.h"

namespace flotilla {

PendingBatch::~PendingBatch() { Abandon(); }

void PendingBatch::Expire(MonoTime now) {
  std::vector<GatewayAnswer> answers;
  for (std::uint32_t slot = 0; slot < size(); ++slot) {
    if (Answered(slot) || requests_[slot].deadline > now) continue;
    const State state = Finish(slot);
    if (state == State::kAnswered) continue;
    GatewayAnswer& answer = answers.emplace_back();
    answer.id = requests_[slot].id;
    answer.status = GivenUp(PerhapsDone(slot, state), "the deadline passed");
  }
  if (!answers.empty()) sink_->OnAnswers(std::move(answers));
}

void PendingBatch::Abandon() {
  std::vector<GatewayAnswer> answers;
  for (std::uint32_t slot = 0; slot < size(); ++slot) {
    const State state = Finish(slot);
    if (state == State::kAnswered) continue;
    GatewayAnswer& answer = answers.emplace_back();
    answer.id = requests_[slot].id;
    answer.status =
        PerhapsDone(slot, state) ? GivenUp(true, "the node is stopping") : StoppingError();
  }
  if (!answers.empty()) sink_->OnAnswers(std::move(answers));
}

std::optional<MonoTime> PendingBatch::NextDeadline() const {
  std::optional<MonoTime> next;
  for (std::uint32_t slot = 0; slot < size(); ++slot) {
    if (Answered(slot)) continue;
    if (!next || requests_[slot].deadline < *next) next = requests_[slot].deadline;
  }
  return next;
}

Status ErrorAfterLoss(const Status& error) {
  const Reason reason = ReasonOf(error);
  // To the client it was sent once, and "forgotten" would mean that it was not done.
  const bool forgotten = reason == Reason::kSessionExpired;
  if (!forgotten && HoldsForEarlierAttempts(reason)) return error;
  return GivenUp(true, MessageOf(error));
}

}  // namespace flotilla
