// AsOfGate: lets a read as of a timestamp pass once the oracle is known to have given out that
// timestamp, or a later one.
//
// What such a read sees must stay as it was, so that groups give writes larger timestamps from then
// on: they are the oracle's, and one of the far future would keep all writes waiting for it.
//
// Place in the picture: before the router; any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "base/clock.h"
#include "base/function.h"
#include "base/status.h"
#include "base/types.h"

namespace flotilla {

class AsOfGate {
 public:
  // One timestamp of the oracle.
  using Take = std::function<void(MonoTime deadline, UniqueFunction<void(StatusOr<Timestamp>)>)>;
  explicit AsOfGate(Take take) : take_(std::move(take)) {}

  bool Passes(Timestamp as_of) const { return as_of.value() <= known_.load(); }
  // This one has been given out.
  void Note(Timestamp given) {
    std::uint64_t known = known_.load();
    while (known < given.value() && !known_.compare_exchange_weak(known, given.value())) {
    }
  }
  // One that nobody had before, and that passes from then on.
  void Fresh(MonoTime deadline, UniqueFunction<void(StatusOr<Timestamp>)> done) {
    take_(deadline, [this, done = std::move(done)](const StatusOr<Timestamp>& taken) mutable {
      if (taken.ok()) Note(*taken);
      done(taken);
    });
  }
  // Asks the oracle, and knows more then. What prevents it from answering.
  void Ask(MonoTime deadline, UniqueFunction<void(Status)> done) {
    Fresh(deadline, [done = std::move(done)](const StatusOr<Timestamp>& taken) mutable {
      done(taken.status());
    });
  }

 private:
  const Take take_;
  std::atomic<std::uint64_t> known_{0};
};

}  // namespace flotilla
