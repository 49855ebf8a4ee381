#include "shard/as_of_gate.h"

#include <algorithm>
#include <utility>

#include "base/turn.h"

namespace flotilla {

void AsOfGate::Note(Timestamp given) {
  std::uint64_t known = known_.load();
  while (known < given.value() && !known_.compare_exchange_weak(known, given.value())) {
  }
}

void AsOfGate::Fresh(MonoTime deadline, Taken done) {
  if (!GatheringTurn::Active()) {
    oracle_->Take(1, deadline,
                  [this, done = std::move(done)](const StatusOr<Timestamp>& taken) mutable {
                    if (taken.ok()) Note(*taken);
                    done(taken);
                  });
    return;
  }
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(done));
    latest_ = std::max(latest_, deadline);
    if (waiting_.size() > 1) return;
  }
  GatheringTurn::AtEnd([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) AskForAll();
  });
}

void AsOfGate::AskForAll() {
  std::vector<Taken> all;
  MonoTime latest;
  {
    std::lock_guard lock(mutex_);
    all = std::exchange(waiting_, {});
    latest = std::exchange(latest_, MonoTime());
  }
  const std::size_t count = all.size();
  oracle_->Take(count, latest,
                [this, all = std::move(all)](const StatusOr<Timestamp>& first) mutable {
                  if (first.ok()) Note(*first + (all.size() - 1));
                  const GatheringTurn gathering;
                  for (std::size_t i = 0; i < all.size(); ++i) {
                    all[i](first.ok() ? StatusOr<Timestamp>(*first + i) : first);
                  }
                });
}

}  // namespace flotilla
