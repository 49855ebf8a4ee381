// CHECK: assertions that are always on, for mistakes of programmers.
//
// Data from peers, disks or users never meets a CHECK; it gets a Status. Standard library only:
// the consensus core includes this header.
//
//   CHECK(ptr != nullptr);
//   CHECK_LE(applied, commit);            // prints both values
//   CHECK(ok) << "group " << id;          // adds words
#pragma once

#include <cstdint>
#include <ostream>
#include <sstream>
#include <string>
#include <type_traits>

#include "base/strong.h"

namespace flotilla::check_internal {

// Collects the message; its destructor writes it to standard error and aborts.
class Failure {
 public:
  Failure(const char* file, int line, const char* expression);
  Failure(const Failure&) = delete;
  Failure& operator=(const Failure&) = delete;
  [[noreturn]] ~Failure();

  std::ostream& stream() { return message_; }

 private:
  std::ostringstream message_;
};

// Gives both branches of the macro's conditional expression the type void.
struct Voidify {
  void operator&(std::ostream&) const {}
};

template <class T>
void Print(std::ostream& out, const T& value) {
  if constexpr (std::is_enum_v<T>) {
    out << static_cast<std::int64_t>(value);
  } else if constexpr (requires { out << value; }) {
    out << value;
  } else if constexpr (requires {
                         value.value();
                         out << value.value();
                       }) {
    out << value.value();
  } else {
    out << "(not printable)";
  }
}

template <class A, class B>
std::string Both(const A& a, const B& b) {
  std::ostringstream out;
  out << " (";
  Print(out, a);
  out << " and ";
  Print(out, b);
  out << ") ";
  return out.str();
}

}  // namespace flotilla::check_internal

#define CHECK(condition)                              \
  (__builtin_expect(static_cast<bool>(condition), 1)) \
      ? static_cast<void>(0)                          \
      : ::flotilla::check_internal::Voidify() &       \
            ::flotilla::check_internal::Failure(__FILE__, __LINE__, #condition).stream()

#define FLOTILLA_CHECK_OP(op, a, b)                                                             \
  (__builtin_expect(static_cast<bool>((a)op(b)), 1))                                            \
      ? static_cast<void>(0)                                                                    \
      : ::flotilla::check_internal::Voidify() &                                                 \
            ::flotilla::check_internal::Failure(__FILE__, __LINE__, #a " " #op " " #b).stream() \
                << ::flotilla::check_internal::Both((a), (b))

#define CHECK_EQ(a, b) FLOTILLA_CHECK_OP(==, a, b)
#define CHECK_NE(a, b) FLOTILLA_CHECK_OP(!=, a, b)
#define CHECK_LT(a, b) FLOTILLA_CHECK_OP(<, a, b)
#define CHECK_LE(a, b) FLOTILLA_CHECK_OP(<=, a, b)
#define CHECK_GT(a, b) FLOTILLA_CHECK_OP(>, a, b)
#define CHECK_GE(a, b) FLOTILLA_CHECK_OP(>=, a, b)
