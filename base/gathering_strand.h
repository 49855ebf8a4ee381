// GatheringStrand: a strand whose closures run in one GatheringTurn (base/turn.h) with all that
// wait by then, so that what they send leaves together.
//
// For flows that many callers begin and many answers continue. It costs less to post to, too: what
// comes in a turn of another thread wakes this strand once, at that turn's end.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/turn.h"

namespace flotilla {

class GatheringStrand final : public Strand {
 public:
  explicit GatheringStrand(std::unique_ptr<Strand> strand) : strand_(std::move(strand)) {}

  void Post(Closure closure) override {
    {
      std::lock_guard lock(waiting_->mutex);
      waiting_->closures.push_back(std::move(closure));
      if (waiting_->closures.size() > 1) return;
    }
    GatheringTurn::AtEnd([strand = strand_, turn = Turn(waiting_)]() mutable {
      strand->Post([turn = std::move(turn)]() mutable { turn.Run(); });
    });
  }
  TimerId After(Duration delay, Closure closure) override {
    return strand_->After(delay, std::move(closure));
  }
  bool Cancel(TimerId timer) override { return strand_->Cancel(timer); }
  bool IsCurrent() const override { return strand_->IsCurrent(); }
  bool Stopped() const override { return strand_->Stopped(); }

 private:
  struct Waiting {
    std::vector<Closure> Take() {
      std::lock_guard lock(mutex);
      return std::exchange(closures, {});
    }
    std::mutex mutex;
    std::vector<Closure> closures;
  };
  // Runs them, or, when it is destroyed unrun, they are, too.
  class Turn {
   public:
    explicit Turn(std::shared_ptr<Waiting> waiting) : waiting_(std::move(waiting)) {}
    Turn(Turn&& other) noexcept = default;
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (waiting_) waiting_->Take();
    }
    void Run() {
      const std::shared_ptr<Waiting> waiting = std::move(waiting_);
      const GatheringTurn gathering;
      for (Closure& closure : waiting->Take()) std::exchange(closure, nullptr)();
    }

   private:
    std::shared_ptr<Waiting> waiting_;
  };

  const std::shared_ptr<Strand> strand_;
  const std::shared_ptr<Waiting> waiting_ = std::make_shared<Waiting>();
};

}  // namespace flotilla
