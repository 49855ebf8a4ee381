// Metrics: what /metrics shows, in the Prometheus text format.
//
// Requests are counted in atomics, cheaply; everything about groups, log and stores is read from
// the node when somebody asks.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "shard/node.h"

namespace flotilla {

enum class Method : std::uint8_t {
  kGet,
  kBatchGet,
  kPut,
  kDelete,
  kDeleteRange,
  kCompareAndSet,
  kBatch,
  kScan,
  kAggregate,
  kExecute,
  kHistory,
};
inline constexpr std::size_t kMethods = 11;

class RequestMetrics {
 public:
  // Upper bounds of the latency histogram's buckets, in seconds; one more holds the rest.
  static constexpr std::array<double, 12> kBounds{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                                  0.01,   0.025,   0.05,   0.1,   0.5,    2.5};

  void Count(Method method, const Status& status, Duration took);
  // Requests that came on streams, which are not timed one by one.
  void CountPipelined(std::uint64_t requests) {
    pipelined_.fetch_add(requests, std::memory_order_relaxed);
  }

 private:
  friend class MetricsPage;
  struct PerMethod {
    std::atomic<std::uint64_t> ok{0};
    std::atomic<std::uint64_t> failed{0};
    std::atomic<std::uint64_t> nanoseconds{0};
    std::array<std::atomic<std::uint64_t>, kBounds.size() + 1> buckets{};
  };
  std::array<PerMethod, kMethods> methods_;
  std::atomic<std::uint64_t> pipelined_{0};
};

// Times one request from its construction on.
class RequestTimer {
 public:
  RequestTimer(RequestMetrics* metrics, Method method, const Clock* clock)
      : metrics_(metrics), method_(method), clock_(clock), start_(clock->Now()) {}
  void Done(const Status& status) const {
    metrics_->Count(method_, status, clock_->Now() - start_);
  }

 private:
  RequestMetrics* metrics_;
  Method method_;
  const Clock* clock_;
  MonoTime start_;
};

class MetricsPage {
 public:
  // CPU seconds and resident bytes of this process.
  struct Process {
    double cpu_seconds = 0;
    std::uint64_t resident_bytes = 0;
  };
  static Process ReadProcess();

  static std::string Render(const RequestMetrics& requests, const NodeInfo& node);
};

}  // namespace flotilla
