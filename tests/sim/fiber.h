// Fiber: code that can wait in its midst, on the one thread that there is.
//
// Place in the picture: what a blocking strand of SimProcess runs its closures on, when they are to
// wait for a disk as a thread of their own would, while everything else goes on.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <memory>

#include "base/function.h"

namespace flotilla::sim {

// Runs one closure after another on a stack of its own. Not from inside a fiber.
class Fiber {
 public:
  Fiber();
  // No closure may be waiting.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Runs the closure until it ends, and has been destroyed, or waits.
  void Run(Closure closure);
  // Goes on with the one that waits.
  void Resume();
  bool waiting() const { return closure_ != nullptr; }

  // Inside the closure: returns when it is resumed.
  void Wait();

 private:
  static void Main(unsigned high, unsigned low);
  [[noreturn]] void Loop();
  void Enter();
  void Leave();

  static constexpr std::size_t kStackBytes = 512 << 10;

  Closure closure_;
  std::unique_ptr<char[]> stack_;
  ucontext_t inside_{};
  ucontext_t outside_{};
  // For the address sanitizer, which must know where the stack is.
  void* fake_stack_inside_ = nullptr;
  void* fake_stack_outside_ = nullptr;
  const void* outside_bottom_ = nullptr;
  std::size_t outside_bytes_ = 0;
};

}  // namespace flotilla::sim
