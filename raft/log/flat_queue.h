// FlatQueue: a vector that also gives its front away, for the log's indexes.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "base/check.h"

namespace flotilla::raft::log {

// Contiguous; empty ones own no memory, which matters with ten thousand idle groups. Pushing at the
// end and popping at either end take constant time on average.
template <class T>
class FlatQueue {
 public:
  std::size_t size() const { return items_.size() - head_; }
  bool empty() const { return size() == 0; }
  T& operator[](std::size_t i) { return items_[head_ + i]; }
  const T& operator[](std::size_t i) const { return items_[head_ + i]; }

  void PushBack(T item) { items_.push_back(std::move(item)); }

  void PopFront(std::size_t count) {
    CHECK_LE(count, size());
    for (std::size_t i = 0; i < count; ++i) items_[head_ + i] = T();
    head_ += count;
    if (head_ == items_.size()) {
      Clear();
    } else if (head_ > 64 && head_ > items_.size() / 2) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(head_));
      head_ = 0;
    }
  }

  void PopBack(std::size_t count) {
    CHECK_LE(count, size());
    items_.resize(items_.size() - count);
    if (items_.size() == head_) Clear();
  }

  // Puts `count` default items in front: linear.
  void PushFront(std::size_t count) {
    items_.insert(items_.begin() + static_cast<std::ptrdiff_t>(head_), count, T());
  }

  void Clear() {
    head_ = 0;
    if (items_.capacity() > 64) {
      std::vector<T>().swap(items_);
    } else {
      items_.clear();
    }
  }

 private:
  std::vector<T> items_;
  std::size_t head_ = 0;
};

}  // namespace flotilla::raft::log
