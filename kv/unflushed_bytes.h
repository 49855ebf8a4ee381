// UnflushedBytes: what one store has written and not begun to flush, counted in a total over all
// stores of a node as well. Counted in bytes of write batches; a memtable takes a fifth more.
//
// Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace flotilla::kv {

class UnflushedBytes {
 public:
  using Total = std::atomic<std::uint64_t>;

  explicit UnflushedBytes(std::shared_ptr<Total> total) : total_(std::move(total)) {}
  UnflushedBytes(const UnflushedBytes&) = delete;
  UnflushedBytes& operator=(const UnflushedBytes&) = delete;
  ~UnflushedBytes() { Clear(); }

  void Add(std::uint64_t bytes) {
    *total_ += bytes;  // first: it is never below a store's own
    own_ += bytes;
  }
  void Clear() { *total_ -= own_.exchange(0); }
  std::uint64_t load() const { return own_.load(); }

 private:
  const std::shared_ptr<Total> total_;
  std::atomic<std::uint64_t> own_{0};
};

}  // namespace flotilla::kv
