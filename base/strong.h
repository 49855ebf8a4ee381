// Strong integer types: a term is not an index, a node is not a group.
//
// Standard library only: the consensus core includes this header.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace flotilla {

// An integer that converts to and from its representation only on request. `Tag` makes the type;
// the tag is an incomplete class that is never defined.
template <class Tag, class Rep = std::uint64_t>
class Strong {
 public:
  using rep = Rep;

  constexpr Strong() = default;
  constexpr explicit Strong(Rep value) : value_(value) {}

  constexpr Rep value() const { return value_; }
  // False for zero, which every id here reserves for "none".
  constexpr explicit operator bool() const { return value_ != 0; }

  constexpr auto operator<=>(const Strong&) const = default;

  constexpr Strong& operator++() {
    ++value_;
    return *this;
  }
  constexpr Strong Next() const { return Strong(value_ + 1); }
  // The one before; zero stays zero.
  constexpr Strong Previous() const { return Strong(value_ == 0 ? 0 : value_ - 1); }

  friend constexpr Strong operator+(Strong a, Rep distance) { return Strong(a.value_ + distance); }
  // The distance from b to a.
  friend constexpr Rep operator-(Strong a, Strong b) { return a.value_ - b.value_; }

  template <class Hash>
  friend Hash AbslHashValue(Hash state, Strong value) {
    return Hash::combine(std::move(state), value.value_);
  }

 private:
  Rep value_ = 0;
};

}  // namespace flotilla

template <class Tag, class Rep>
struct std::hash<flotilla::Strong<Tag, Rep>> {
  std::size_t operator()(flotilla::Strong<Tag, Rep> value) const noexcept {
    return std::hash<Rep>()(value.value());
  }
};
