// TimestampSource: where timestamps come from, as those see it who need some.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/function.h"
#include "base/status.h"
#include "base/types.h"

namespace flotilla {

class TimestampSource {
 public:
  virtual ~TimestampSource() = default;

  // `count` consecutive timestamps, the first of which `done` gets: larger than all that anybody in
  // the cluster had received before this call. NO_QUORUM when there is no oracle until `deadline`;
  // NODE_STOPPING; BAD_REQUEST for none, or more than kTimestampsTakenMax. `done` runs in any
  // thread, or within this call, and must not block. Any thread.
  virtual void Take(std::uint64_t count, MonoTime deadline,
                    UniqueFunction<void(StatusOr<Timestamp>)> done) = 0;
};

}  // namespace flotilla
