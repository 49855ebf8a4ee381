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
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/function.h"
#include "base/status.h"
#include "base/types.h"
#include "shard/oracle/timestamp_source.h"

namespace flotilla {

class AsOfGate {
 public:
  // The oracle outlives it.
  explicit AsOfGate(TimestampSource* oracle) : oracle_(oracle) {}

  bool Passes(Timestamp as_of) const { return as_of.value() <= known_.load(); }
  // One that nobody had before, and that passes from then on. What one turn of a thread
  // (base/turn.h) asks for is one question at its end, and answered in one turn.
  using Taken = UniqueFunction<void(StatusOr<Timestamp>)>;
  void Fresh(MonoTime deadline, Taken done);
  // Asks the oracle, and knows more then. What prevents it from answering.
  void Ask(MonoTime deadline, UniqueFunction<void(Status)> done) {
    Fresh(deadline, [done = std::move(done)](const StatusOr<Timestamp>& taken) mutable {
      done(taken.status());
    });
  }

 private:
  void AskForAll();
  // This one has been given out.
  void Note(Timestamp given);

  TimestampSource* const oracle_;
  std::atomic<std::uint64_t> known_{0};
  std::mutex mutex_;
  std::vector<Taken> waiting_;  // to be asked for when a turn ends
  MonoTime latest_{};           // deadline of theirs
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace flotilla
