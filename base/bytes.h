// Bytes: an immutable, reference-counted run of bytes, and slices of it.
//
// A value travels from the socket to the log, to the peers and to the state machine as slices of
// the buffer that it arrived in. Copying a Bytes copies a pointer. Standard library only: the
// consensus core includes this header.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace flotilla {

class Bytes {
 public:
  Bytes() = default;
  // Takes the string over; the one allocation that a Bytes makes.
  explicit Bytes(std::string text) {
    auto owner = std::make_shared<const std::string>(std::move(text));
    view_ = *owner;
    owner_ = std::move(owner);
  }
  // A view that `owner` keeps alive.
  Bytes(std::shared_ptr<const void> owner, std::string_view view)
      : owner_(std::move(owner)), view_(view) {}

  std::string_view view() const { return view_; }
  std::size_t size() const { return view_.size(); }
  bool empty() const { return view_.empty(); }

  // A part of these bytes that shares their owner; offset and length must lie within.
  Bytes Slice(std::size_t offset, std::size_t length) const {
    return Bytes(owner_, view_.substr(offset, length));
  }
  // Keeps the same memory alive around any view into it.
  const std::shared_ptr<const void>& owner() const { return owner_; }

  friend bool operator==(const Bytes& a, const Bytes& b) { return a.view_ == b.view_; }

 private:
  std::shared_ptr<const void> owner_;
  std::string_view view_;
};

}  // namespace flotilla
