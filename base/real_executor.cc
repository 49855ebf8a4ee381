#include "base/real_executor.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <queue>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/turn.h"

namespace flotilla {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// Closures of one strand that run before it lets others have the thread.
constexpr std::size_t kTurnMax = 64;

void NameThisThread(std::string_view name) {
  pthread_setname_np(pthread_self(), std::string(name.substr(0, 15)).c_str());
}

}  // namespace

// The closures and timers of one strand; outlives the strand while they run.
class RealExecutor::Queue : public std::enable_shared_from_this<Queue> {
 public:
  virtual ~Queue() = default;

  void Post(Closure closure) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return;
      closures_.push_back(std::move(closure));
      if (scheduled_) return;
      scheduled_ = true;
    }
    Schedule();
  }

  // Runs `closure` here and now if nothing of this strand runs or waits.
  void Dispatch(Closure closure) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return;
      if (scheduled_) {
        closures_.push_back(std::move(closure));
        return;
      }
      scheduled_ = true;
      dispatched_ = true;
    }
    outer_ = std::exchange(current_, this);
    std::exchange(closure, nullptr)();
    current_ = outer_;
    {
      std::lock_guard lock(mutex_);
      dispatched_ = false;
      scheduled_ = !closures_.empty() && !closed_;
      if (!scheduled_) {
        settled_wake_.notify_all();
        return;
      }
    }
    Schedule();
  }

  // Runs one turn; true when more waits.
  bool RunTurn() {
    std::vector<Closure> turn;
    {
      std::lock_guard lock(mutex_);
      if (closures_.size() <= kTurnMax) {
        turn.swap(closures_);
      } else {
        const auto end = closures_.begin() + kTurnMax;
        turn.assign(std::make_move_iterator(closures_.begin()), std::make_move_iterator(end));
        closures_.erase(closures_.begin(), end);
      }
    }
    outer_ = std::exchange(current_, this);
    for (Closure& closure : turn) {
      std::exchange(closure, nullptr)();
    }
    current_ = outer_;
    std::lock_guard lock(mutex_);
    scheduled_ = !closures_.empty() && !closed_;
    if (!scheduled_) settled_wake_.notify_all();
    return scheduled_;
  }

  // Waits until everything that was posted has run, or never will.
  void Settle() {
    std::unique_lock lock(mutex_);
    settled_wake_.wait(lock, [this] { return !scheduled_ || closed_; });
  }

  TimerId AddTimer(Closure closure) {
    std::lock_guard lock(mutex_);
    const TimerId id = next_timer_++;
    if (!closed_) timers_.emplace(id, std::move(closure));
    return id;
  }

  bool Cancel(TimerId id) {
    Closure cancelled;  // destroyed once the lock is released
    std::lock_guard lock(mutex_);
    const auto found = timers_.find(id);
    if (found == timers_.end()) return false;
    cancelled = std::move(found->second);
    timers_.erase(found);
    return true;
  }

  // The strand is being destroyed: no timer of it runs any more.
  virtual void Abandon() {
    std::unordered_map<TimerId, Closure> timers;  // destroyed once the lock is released
    std::lock_guard lock(mutex_);
    timers.swap(timers_);
  }

  // From the timer thread.
  void Fire(TimerId id) {
    Post([this, id] {
      Closure closure;
      {
        std::lock_guard lock(mutex_);
        const auto found = timers_.find(id);
        if (found == timers_.end()) return;
        closure = std::move(found->second);
        timers_.erase(found);
      }
      closure();
    });
  }

  // Takes no more and destroys what waits; once the threads have ended.
  void Close() {
    std::vector<Closure> closures;
    std::unordered_map<TimerId, Closure> timers;
    {
      std::unique_lock lock(mutex_);
      closed_ = true;
      closures.swap(closures_);
      timers.swap(timers_);
      settled_wake_.notify_all();
      settled_wake_.wait(lock, [this] { return !dispatched_; });
    }
  }

  bool IsCurrent() const {
    const Queue* queue = current_;
    while (queue != nullptr && queue != this) queue = queue->outer_;
    return queue != nullptr;
  }
  bool closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }

 protected:
  // Somebody must call RunTurn() until it returns false.
  virtual void Schedule() = 0;

 private:
  static thread_local Queue* current_;

  // Whose closure has dispatched the one that runs here. Of the thread that runs it.
  Queue* outer_ = nullptr;

  mutable std::mutex mutex_;
  std::vector<Closure> closures_;
  std::unordered_map<TimerId, Closure> timers_;
  TimerId next_timer_ = 1;
  bool scheduled_ = false;   // a turn of it is under way or on its way
  bool dispatched_ = false;  // one of them inside Dispatch()
  bool closed_ = false;
  std::condition_variable settled_wake_;
};

thread_local RealExecutor::Queue* RealExecutor::Queue::current_ = nullptr;

// Threads that take turns of strands. Some are there from the start; more come when all are busy,
// and stay, asleep.
class RealExecutor::Pool {
 public:
  struct Options {
    std::string name;  // of its threads, before their number
    std::size_t threads_at_first = 0;
    std::size_t threads_max = 0;
  };

  explicit Pool(const Options& options) : options_(options) {
    std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < options.threads_at_first; ++i) AddThread();
  }

  void Add(std::shared_ptr<Queue> queue) { Push({std::move(queue), nullptr}); }
  void Add(Closure closure) { Push({nullptr, std::move(closure)}); }

  void Stop() {
    std::vector<std::thread> threads;
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
      threads.swap(threads_);
    }
    wake_.notify_all();
    for (std::thread& thread : threads) thread.join();
    std::deque<Item> items;
    std::lock_guard lock(mutex_);
    items.swap(items_);
  }

 private:
  struct Item {
    std::shared_ptr<Queue> queue;
    Closure closure;
  };

  // With the lock held.
  void AddThread() {
    threads_.emplace_back([this, name = options_.name + std::to_string(threads_.size())] {
      NameThisThread(name);
      Work();
    });
  }

  void Push(Item item) {
    bool wake = false;
    {
      std::lock_guard lock(mutex_);
      if (stopped_) return;
      // A thread of this pool that is about to come back takes the only item itself.
      const bool mine = current_ == this && BriefTurn::Active() && items_.empty();
      items_.push_back(std::move(item));
      wake = idle_ > 0 && !mine;
      // Of the idle ones, each has an item waiting for it already.
      const bool all_taken = items_.size() > idle_;
      if (!mine && all_taken && threads_.size() < options_.threads_max) AddThread();
    }
    if (wake) wake_.notify_one();
  }

  void Work() {
    current_ = this;
    std::unique_lock lock(mutex_);
    while (true) {
      while (items_.empty() && !stopped_) {
        ++idle_;
        wake_.wait(lock);
        --idle_;
      }
      if (stopped_) return;
      Item item = std::move(items_.front());
      items_.pop_front();
      lock.unlock();
      bool more = false;
      if (item.queue) {
        more = item.queue->RunTurn();
      } else {
        std::exchange(item.closure, nullptr)();
      }
      if (!more) item = {};
      lock.lock();
      // This thread takes one in its place, so nobody need be woken for it.
      if (more) items_.push_back(std::move(item));
    }
  }

  static thread_local Pool* current_;  // whose thread this is

  const Options options_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Item> items_;
  std::size_t idle_ = 0;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

thread_local RealExecutor::Pool* RealExecutor::Pool::current_ = nullptr;

class RealExecutor::Timers {
 public:
  Timers()
      : thread_([this] {
          NameThisThread("timers");
          Work();
        }) {}

  void Add(Duration delay, std::weak_ptr<Queue> queue, TimerId id) {
    const SteadyTime at = std::chrono::steady_clock::now() + std::max(delay, Duration(0));
    bool earliest = false;
    {
      std::lock_guard lock(mutex_);
      if (stopped_) return;
      earliest = heap_.empty() || at < heap_.top().at;
      heap_.push({.at = at, .sequence = next_sequence_++, .queue = std::move(queue), .id = id});
    }
    if (earliest) wake_.notify_one();
  }

  void Stop() {
    {
      std::lock_guard lock(mutex_);
      if (stopped_) return;
      stopped_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

 private:
  struct Timer {
    SteadyTime at;
    std::uint64_t sequence;
    std::weak_ptr<Queue> queue;
    TimerId id;
    bool operator>(const Timer& other) const {
      return std::pair(at, sequence) > std::pair(other.at, other.sequence);
    }
  };

  void Work() {
    std::unique_lock lock(mutex_);
    while (!stopped_) {
      if (heap_.empty()) {
        wake_.wait(lock);
        continue;
      }
      const SteadyTime at = heap_.top().at;
      if (std::chrono::steady_clock::now() < at) {
        wake_.wait_until(lock, at);
        continue;
      }
      const Timer timer = heap_.top();
      heap_.pop();
      lock.unlock();
      if (const std::shared_ptr<Queue> queue = timer.queue.lock()) queue->Fire(timer.id);
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> heap_;
  std::uint64_t next_sequence_ = 0;
  bool stopped_ = false;
  std::thread thread_;  // last: it uses the others
};

// Every queue there is, so that Stop() finds them.
class RealExecutor::Registry {
 public:
  // Queues that come after Stop() are born closed.
  void Add(const std::shared_ptr<Queue>& queue) {
    std::lock_guard lock(mutex_);
    if (stopped_) {
      queue->Close();
      return;
    }
    std::erase_if(queues_, [](const std::weak_ptr<Queue>& one) { return one.expired(); });
    queues_.push_back(queue);
  }
  std::vector<std::shared_ptr<Queue>> Stop() {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    std::vector<std::shared_ptr<Queue>> all;
    for (const std::weak_ptr<Queue>& one : queues_) {
      if (std::shared_ptr<Queue> queue = one.lock()) all.push_back(std::move(queue));
    }
    return all;
  }

 private:
  std::mutex mutex_;
  bool stopped_ = false;
  std::vector<std::weak_ptr<Queue>> queues_;
};

namespace {

// A strand's face over its queue.
template <class Queue, class Timers, bool kDispatches>
class StrandFace : public Strand {
 public:
  StrandFace(std::shared_ptr<Queue> queue, std::shared_ptr<Timers> timers)
      : queue_(std::move(queue)), timers_(std::move(timers)) {}
  ~StrandFace() override { queue_->Abandon(); }

  void Post(Closure closure) override { queue_->Post(std::move(closure)); }
  void Dispatch(Closure closure) override {
    if (!kDispatches || HurriedTurn::Active()) {
      queue_->Post(std::move(closure));
      return;
    }
    // The closure may destroy the strand.
    const std::shared_ptr<Queue> queue = queue_;
    queue->Dispatch(std::move(closure));
  }
  TimerId After(Duration delay, Closure closure) override {
    const TimerId id = queue_->AddTimer(std::move(closure));
    timers_->Add(delay, queue_, id);
    return id;
  }
  bool Cancel(TimerId timer) override { return queue_->Cancel(timer); }
  bool IsCurrent() const override { return queue_->IsCurrent(); }
  bool Stopped() const override { return queue_->closed(); }

 private:
  const std::shared_ptr<Queue> queue_;
  const std::shared_ptr<Timers> timers_;
};

}  // namespace

class RealExecutor::PoolStrand final : public Queue {
 public:
  explicit PoolStrand(std::shared_ptr<Pool> pool) : pool_(std::move(pool)) {}

 private:
  void Schedule() override { pool_->Add(shared_from_this()); }

  const std::shared_ptr<Pool> pool_;
};

// A queue on the threads that may block.
class RealExecutor::BlockingStrand final : public Queue {
 public:
  explicit BlockingStrand(std::shared_ptr<Pool> pool) : pool_(std::move(pool)) {}

  void Abandon() override {
    Queue::Abandon();
    Settle();
  }

 private:
  void Schedule() override { pool_->Add(shared_from_this()); }

  const std::shared_ptr<Pool> pool_;
};

// A queue with a thread of its own.
class RealExecutor::ThreadStrand final : public Queue {
 public:
  explicit ThreadStrand(std::string name)
      : thread_([this, name = std::move(name)] {
          NameThisThread(name);
          Work();
        }) {}
  ~ThreadStrand() override { End(false); }

  // Waits here: the last reference may be the timer thread's, which must neither wait nor let the
  // strand's owner go on before the thread has ended.
  void Abandon() override {
    Queue::Abandon();
    End(false);
  }

  // Lets the running turn end, and nothing after it.
  void Join() { End(true); }

 private:
  void End(bool drop) {
    {
      std::lock_guard lock(wake_mutex_);
      ended_ = true;
      dropped_ = dropped_ || drop;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

  void Schedule() override {
    {
      std::lock_guard lock(wake_mutex_);
      ready_ = true;
    }
    wake_.notify_one();
  }

  void Work() {
    std::unique_lock lock(wake_mutex_);
    while (true) {
      wake_.wait(lock, [this] { return ready_ || ended_; });
      if (dropped_ || !ready_) return;
      ready_ = false;
      lock.unlock();
      const bool more = RunTurn();
      lock.lock();
      if (more) ready_ = true;
    }
  }

  std::mutex wake_mutex_;
  std::condition_variable wake_;
  bool ready_ = false;
  bool ended_ = false;
  bool dropped_ = false;
  std::thread thread_;  // last: it uses the others
};

RealExecutor::RealExecutor(std::size_t threads)
    : timers_(std::make_shared<Timers>()), registry_(std::make_shared<Registry>()) {
  if (threads == 0) threads = std::max<std::size_t>(1, std::thread::hardware_concurrency());
  pool_ = std::make_shared<Pool>(
      Pool::Options{.name = "pool-", .threads_at_first = threads, .threads_max = threads});
  blocking_pool_ = std::make_shared<Pool>(
      Pool::Options{.name = "blocking-", .threads_at_first = 0, .threads_max = kBlockingThreads});
}

RealExecutor::~RealExecutor() { Stop(); }

std::unique_ptr<Strand> RealExecutor::NewStrand(std::string_view) {
  std::shared_ptr<Queue> queue = std::make_shared<PoolStrand>(pool_);
  registry_->Add(queue);
  return std::make_unique<StrandFace<Queue, Timers, true>>(std::move(queue), timers_);
}

std::unique_ptr<Strand> RealExecutor::NewBlockingStrand(std::string_view) {
  std::shared_ptr<Queue> queue = std::make_shared<BlockingStrand>(blocking_pool_);
  registry_->Add(queue);
  return std::make_unique<StrandFace<Queue, Timers, true>>(std::move(queue), timers_);
}

std::unique_ptr<Strand> RealExecutor::NewThreadStrand(std::string_view name) {
  std::shared_ptr<Queue> queue = std::make_shared<ThreadStrand>(std::string(name));
  registry_->Add(queue);
  return std::make_unique<StrandFace<Queue, Timers, false>>(std::move(queue), timers_);
}

void RealExecutor::Post(Closure closure) { pool_->Add(std::move(closure)); }

void RealExecutor::Stop() {
  timers_->Stop();
  const std::vector<std::shared_ptr<Queue>> queues = registry_->Stop();
  for (const std::shared_ptr<Queue>& queue : queues) {
    if (auto* thread = dynamic_cast<ThreadStrand*>(queue.get())) thread->Join();
  }
  blocking_pool_->Stop();
  pool_->Stop();
  for (const std::shared_ptr<Queue>& queue : queues) queue->Close();
}

}  // namespace flotilla
