// Histogram: latencies in buckets of about 3 % width, counted by any thread without a lock.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

namespace flotilla::kvctl {

class Histogram {
 public:
  void Add(std::uint64_t nanos) {
    buckets_[BucketOf(nanos)].fetch_add(1, std::memory_order_relaxed);
  }

  void Clear() {
    for (auto& bucket : buckets_) bucket.store(0, std::memory_order_relaxed);
  }

  std::uint64_t Count() const {
    std::uint64_t count = 0;
    for (const auto& bucket : buckets_) count += bucket.load(std::memory_order_relaxed);
    return count;
  }

  // The latency in microseconds that a share `quantile` of the samples stays within; 0 when empty.
  double QuantileMicros(double quantile) const {
    const std::uint64_t count = Count();
    if (count == 0) return 0;
    const auto wanted = static_cast<std::uint64_t>(quantile * static_cast<double>(count - 1)) + 1;
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i].load(std::memory_order_relaxed);
      if (seen >= wanted) return static_cast<double>(MiddleOf(i)) / 1000;
    }
    return 0;
  }

 private:
  // 32 buckets for each power of two; below 32 each number has its own.
  static constexpr int kSubBits = 5;

  static std::size_t BucketOf(std::uint64_t value) {
    if (value < (1u << kSubBits)) return value;
    const int shift = std::bit_width(value) - 1 - kSubBits;
    return static_cast<std::size_t>((shift + 1) << kSubBits) + ((value >> shift) & 31);
  }

  static std::uint64_t MiddleOf(std::size_t bucket) {
    if (bucket < (1u << kSubBits)) return bucket;
    const auto shift = static_cast<int>(bucket >> kSubBits) - 1;
    const std::uint64_t low = (32 + (bucket & 31)) << shift;
    return low + ((std::uint64_t{1} << shift) / 2);
  }

  std::array<std::atomic<std::uint64_t>, 64 << kSubBits> buckets_{};
};

}  // namespace flotilla::kvctl
