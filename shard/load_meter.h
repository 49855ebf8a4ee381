// LoadMeter: how much a group is asked for, and where: counts of reads and writes, and a sample of
// their keys, of which the middle says where to split a busy shard.
//
// Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "shard/pending_batch.h"

namespace flotilla {

class LoadMeter {
 public:
  // Requests that the group serves.
  void Count(const std::vector<Ticket>& tickets);

  struct Load {
    double reads_per_s = 0;
    double writes_per_s = 0;
    // An encoded key below which about half of the requests lie; empty: too few, or one key has
    // more than half.
    std::string median;
  };
  // Since the last call, smoothed over some; at a fixed pace by one caller.
  Load Take(Duration since_last);

 private:
  std::atomic<std::uint64_t> reads_{0};
  std::atomic<std::uint64_t> writes_{0};
  double reads_per_s_ = 0;
  double writes_per_s_ = 0;

  std::mutex mutex_;
  std::vector<std::string> sample_;  // a ring
  std::size_t next_ = 0;
};

}  // namespace flotilla
