#include "raft/persister.h"

#include <utility>

#include "base/check.h"
#include "base/planted.h"

namespace flotilla::raft {

Persister::Persister(GroupId group, Log* log, Callbacks callbacks)
    : group_(group), log_(log), callbacks_(std::move(callbacks)) {}

void Persister::Write(PersistBatch batch, std::vector<OutgoingMessage> held) {
  Pending& pending = pending_.emplace_back();
  pending.number = next_number_++;
  pending.batch = std::move(batch);
  pending.held = std::move(held);
  if (!disk_full_) Submit(pending);
}

void Persister::Reset(Index index, Term term, Closure done) {
  Pending& pending = pending_.emplace_back();
  pending.number = next_number_++;
  pending.reset_to = {index, term};
  pending.after_reset = std::move(done);
  if (!disk_full_) Submit(pending);
}

void Persister::Hold(std::vector<OutgoingMessage> held) {
  if (held.empty()) return;
  if (pending_.empty()) {
    callbacks_.on_release(std::move(held));
    return;
  }
  for (OutgoingMessage& message : held) pending_.back().held.push_back(std::move(message));
}

void Persister::Submit(Pending& pending) {
  LogWrite write;
  write.group = group_;
  write.hard_state = pending.batch.hard_state;
  write.entries = pending.batch.entries;
  write.reset_to = pending.reset_to;
  pending.in_log = true;
  const std::uint64_t number = pending.number;
  if (Planted(Plant::kAcknowledgeBeforeSync)) callbacks_.on_completion(number, absl::OkStatus());
  const Status queued =
      log_->Append(std::move(write), [this, number, hold = callbacks_.hold()](Status status) {
        callbacks_.on_completion(number, std::move(status));
      });
  if (queued.ok()) return;
  // At once: what comes next, perhaps smaller, must not be accepted before this.
  pending.in_log = false;
  disk_full_ = true;
}

void Persister::OnCompletion(std::uint64_t number, const Status& status) {
  for (Pending& pending : pending_) {
    if (pending.number != number) continue;
    pending.in_log = false;
    pending.durable = status.ok();
    break;
  }
  // Any refusal here left nothing on disk and may pass; a broken disk is reported by the log itself
  // and ends the node.
  if (!status.ok()) disk_full_ = true;
  while (!pending_.empty() && pending_.front().durable) {
    Pending done = std::move(pending_.front());
    pending_.pop_front();
    if (done.reset_to) {
      done.after_reset();
    } else {
      callbacks_.on_persisted(done.batch.token);
    }
    if (!done.held.empty()) callbacks_.on_release(std::move(done.held));
  }
}

void Persister::RetryIfFull() {
  if (!disk_full_) return;
  for (const Pending& pending : pending_) {
    if (pending.in_log) return;  // its completion comes first
  }
  disk_full_ = false;
  for (Pending& pending : pending_) {
    pending.durable = false;
    Submit(pending);
    if (disk_full_) return;
  }
}

}  // namespace flotilla::raft
