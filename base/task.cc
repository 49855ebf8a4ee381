#include "base/task.h"

namespace flotilla {

std::coroutine_handle<> task_internal::PromiseBase::Ended::Next(PromiseBase& ended) {
  if (ended.continuation) return ended.continuation;
  // In a closure of its own: this one still runs on the task's frame.
  TaskScope* const scope = ended.scope;
  scope->strand_->Post([scope, id = ended.id] { scope->Ended(id); });
  return std::noop_coroutine();
}

TaskScope::~TaskScope() {
  CHECK(tasks_.empty() || strand_->Stopped())
      << tasks_.size() << " tasks live in a scope that is destroyed: Stop() it first";
}

void TaskScope::Spawn(Task<> task) {
  CHECK(strand_->IsCurrent());
  CHECK(!joined_) << "the scope has stopped";
  const std::uint64_t id = next_id_++;
  const auto handle = task.handle_;
  handle.promise().scope = this;
  handle.promise().id = id;
  tasks_.emplace(id, std::move(task));
  strand_->Post([handle] { handle.resume(); });
}

void TaskScope::Stop(Closure done) {
  CHECK(strand_->IsCurrent());
  CHECK(!stopping_) << "stopped twice";
  stopping_ = true;
  for (task_internal::Sleep* const sleep : std::exchange(sleeps_, {})) {
    sleep->listed_ = false;
    CHECK(strand_->Cancel(sleep->timer_));
    strand_->Post([waiting = sleep->waiting_] { waiting.resume(); });
  }
  if (tasks_.empty()) {
    joined_ = true;
    strand_->Post(std::move(done));
    return;
  }
  done_ = std::move(done);
}

void TaskScope::Ended(std::uint64_t id) {
  CHECK_EQ(tasks_.erase(id), 1u);
  if (!stopping_ || !tasks_.empty()) return;
  joined_ = true;
  Closure done = std::move(done_);
  done();  // may destroy this scope
}

namespace task_internal {

Sleep::~Sleep() {
  if (listed_) scope_->sleeps_.erase(place_);
}

bool Sleep::Begin(TaskScope* scope, std::coroutine_handle<> waiting) {
  scope_ = scope;
  if (scope->stopping()) return false;
  waiting_ = waiting;
  place_ = scope->sleeps_.insert(scope->sleeps_.end(), this);
  listed_ = true;
  timer_ = scope->strand_->After(time_, [this] {
    scope_->sleeps_.erase(place_);
    listed_ = false;
    waiting_.resume();
  });
  return true;
}

}  // namespace task_internal

}  // namespace flotilla
