// Task, TaskScope: flows of many steps, written as coroutines that read from top to bottom.
//
//   Task<Status> Mover::Move(GroupId group) {
//     for (int failures = 0; failures < kFailuresMax; ++failures) {
//       const Status status = co_await Ask(group);        // another Task
//       if (status.ok()) co_return status;
//       const bool go_on = co_await SleepFor(kBackOff);   // false: the scope is being stopped
//       if (!go_on) break;
//     }
//     co_return Error(...);
//   }
//   Task<Status> Mover::Ask(GroupId group) {
//     const Status answer = co_await AwaitCallback<Status>(
//         [&](Completion<Status> done) { calls_->Ask(group, std::move(done)); });
//     co_return answer;
//   }
//   scope_.Spawn(Run(group));
//
// Place in the picture: above Executor; for flows, not for the hot path of an operation.
//
// Every task belongs to a TaskScope, directly or through the task that awaits it, and runs on that
// scope's strand only: what belongs to the strand needs no lock. Between two awaits nothing else
// runs there; during one, anything may.
//
// Rules of the house:
// - A co_await stands alone or is the whole right-hand side.
// - Parameters are values or pointers to what outlives the task, never references; arguments are
//   named locals, moved in. A lambda that captures is never itself a coroutine.
// - After each await look again at what may have changed: terms, epochs, whether to stop.
// - No lock is held across an await. No exceptions.
// - A loop that awaits must end when SleepFor() returns false.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/executor.h"
#include "base/function.h"

namespace flotilla {

class TaskScope;
template <class T = void>
class Task;

namespace task_internal {

struct PromiseBase {
  std::coroutine_handle<> continuation;  // who awaits this task; none: the scope
  TaskScope* scope = nullptr;
  std::uint64_t id = 0;  // in the scope, when nobody awaits

  // Hands over to who waits without growing the stack.
  struct Ended {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) noexcept {
      return Next(ended.promise());
    }
    void await_resume() noexcept {}
    static std::coroutine_handle<> Next(PromiseBase& ended);
  };

  std::suspend_always initial_suspend() noexcept { return {}; }
  Ended final_suspend() noexcept { return {}; }
  void unhandled_exception() { CHECK(false) << "an exception left a task"; }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;

  Task<T> get_return_object();
  template <std::convertible_to<T> U = T>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T Take() { return *std::move(value); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void Take() {}
};

template <class T>
struct TaskAwaiter {
  std::coroutine_handle<Promise<T>> task;

  bool await_ready() { return false; }
  template <class Waiting>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Waiting> waiting) {
    task.promise().continuation = waiting;
    task.promise().scope = waiting.promise().scope;
    return task;
  }
  T await_resume() { return task.promise().Take(); }
};

}  // namespace task_internal

// One flow and its result. Nothing of it runs until it is awaited, once, or spawned. Destroying a
// task destroys what it holds where it stands; who awaits a task keeps it until it has ended.
template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = task_internal::Promise<T>;

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  // Runs the task on the strand of who awaits it, and gives its result.
  auto operator co_await() && {
    CHECK(handle_ && !handle_.done() && handle_.promise().scope == nullptr);
    return task_internal::TaskAwaiter<T>{handle_};
  }

 private:
  friend promise_type;
  friend TaskScope;
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}

  std::coroutine_handle<promise_type> handle_;
};

namespace task_internal {

template <class T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

class Sleep;

}  // namespace task_internal

// Owns the tasks that were spawned in it. All methods on its strand.
class TaskScope {
 public:
  // `strand` outlives the scope.
  explicit TaskScope(Strand* strand) : strand_(strand) {}
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  // Every task has ended, or the executor has stopped: a process that is killed takes its tasks
  // with it, where they stand.
  ~TaskScope();

  // Starts the task, never inside this call. Not once Stop() has been answered.
  void Spawn(Task<> task);

  // Asks all tasks to end: sleeps end early and return false from now on. What awaits a callback
  // waits for it: who was called ends it in its own way. `done` runs on the strand when the last
  // task has ended, never inside this call; the scope may be destroyed then. Once.
  void Stop(Closure done);

  bool stopping() const { return stopping_; }
  Strand& strand() const { return *strand_; }

 private:
  friend task_internal::PromiseBase;
  friend task_internal::Sleep;

  void Ended(std::uint64_t id);

  Strand* const strand_;
  bool stopping_ = false;
  bool joined_ = false;
  Closure done_;
  std::uint64_t next_id_ = 1;
  std::list<task_internal::Sleep*> sleeps_;  // their timers wait
  std::map<std::uint64_t, Task<>> tasks_;    // destroyed first: it holds the sleeps
};

namespace task_internal {

class Sleep {
 public:
  explicit Sleep(Duration time) : time_(time) {}
  Sleep(const Sleep&) = delete;
  Sleep& operator=(const Sleep&) = delete;
  ~Sleep();

  bool await_ready() { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> waiting) {
    return Begin(waiting.promise().scope, waiting);
  }
  // True: the whole time has passed and nobody asked to stop.
  bool await_resume() { return !scope_->stopping(); }

 private:
  friend TaskScope;

  // False when there is nothing to wait for.
  bool Begin(TaskScope* scope, std::coroutine_handle<> waiting);

  const Duration time_;
  TaskScope* scope_ = nullptr;
  std::coroutine_handle<> waiting_;
  TimerId timer_ = 0;
  std::list<Sleep*>::iterator place_;
  bool listed_ = false;
};

// Shared by a task that waits for a callback and by the callback, which may outlive the task.
template <class T>
struct CallState {
  std::mutex mutex;
  Strand* strand = nullptr;  // none: the task is gone
  std::coroutine_handle<> waiting;
  std::optional<T> value;
};

}  // namespace task_internal

// Waits at least this long: `const bool go_on = co_await SleepFor(time)`. Zero or less: lets what
// waits on the strand run first. False: the scope is being stopped; then it waits no longer, or not
// at all.
inline task_internal::Sleep SleepFor(Duration time) { return task_internal::Sleep(time); }

// What a callback API calls, once and from any thread, with the value that a task waits for. The
// task goes on on its own strand, never inside this call. Dropping it uncalled, other than by the
// end of the process, would leave the task and its scope waiting for ever.
template <class T>
class Completion {
 public:
  explicit Completion(std::shared_ptr<task_internal::CallState<T>> state)
      : state_(std::move(state)) {}
  Completion(Completion&&) = default;
  Completion& operator=(Completion&&) = default;

  void operator()(T value) {
    const auto state = std::exchange(state_, nullptr);
    CHECK(state != nullptr) << "a completion is called once";
    // The lock keeps the task, and so the strand, from going away meanwhile.
    std::lock_guard lock(state->mutex);
    if (state->strand == nullptr) return;
    state->value.emplace(std::move(value));
    state->strand->Post([state] {
      if (state->waiting) state->waiting.resume();
    });
  }

 private:
  std::shared_ptr<task_internal::CallState<T>> state_;
};

namespace task_internal {

template <class T, class Start>
class CallAwaiter {
 public:
  explicit CallAwaiter(Start start) : start_(std::move(start)) {}
  CallAwaiter(const CallAwaiter&) = delete;
  CallAwaiter& operator=(const CallAwaiter&) = delete;
  ~CallAwaiter() {
    std::lock_guard lock(state_->mutex);
    state_->strand = nullptr;
    state_->waiting = nullptr;
  }

  bool await_ready() { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> waiting) {
    state_->strand = &waiting.promise().scope->strand();
    state_->waiting = waiting;
    start_(Completion<T>(state_));
  }
  T await_resume() { return *std::move(state_->value); }

 private:
  Start start_;
  const std::shared_ptr<CallState<T>> state_ = std::make_shared<CallState<T>>();
};

}  // namespace task_internal

// Waits for a callback API: `start` is called at once with a Completion<T>, whose value is the
// result. Not ended by TaskScope::Stop().
template <class T, class Start>
task_internal::CallAwaiter<T, Start> AwaitCallback(Start start) {
  return task_internal::CallAwaiter<T, Start>(std::move(start));
}

}  // namespace flotilla
