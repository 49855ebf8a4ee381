#include "tests/sim/fiber.h"

#include <cstdint>
#include <utility>

#include "base/check.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FLOTILLA_FIBER_ASAN 1
#endif
#endif
#if defined(FLOTILLA_FIBER_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

namespace flotilla::sim {
namespace {

void Leaving([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* bottom,
             [[maybe_unused]] std::size_t bytes) {
#if defined(FLOTILLA_FIBER_ASAN)
  __sanitizer_start_switch_fiber(fake_stack, bottom, bytes);
#endif
}

void Arrived([[maybe_unused]] void* fake_stack, [[maybe_unused]] const void** bottom,
             [[maybe_unused]] std::size_t* bytes) {
#if defined(FLOTILLA_FIBER_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack, bottom, bytes);
#endif
}

}  // namespace

Fiber::Fiber() : stack_(std::make_unique_for_overwrite<char[]>(kStackBytes)) {
  CHECK_EQ(getcontext(&inside_), 0);
  inside_.uc_stack.ss_sp = stack_.get();
  inside_.uc_stack.ss_size = kStackBytes;
  inside_.uc_link = nullptr;
  const auto self = reinterpret_cast<std::uintptr_t>(this);
  // makecontext() passes ints only.
  makecontext(&inside_, reinterpret_cast<void (*)()>(&Fiber::Main), 2,
              static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
}

Fiber::~Fiber() { CHECK(!waiting()) << "a fiber is destroyed while it waits"; }

void Fiber::Main(unsigned high, unsigned low) {
  const auto self = static_cast<std::uintptr_t>(high) << 32 | low;
  reinterpret_cast<Fiber*>(self)->Loop();
}

void Fiber::Loop() {
  Arrived(nullptr, &outside_bottom_, &outside_bytes_);
  while (true) {
    closure_();
    closure_ = nullptr;
    Leave();
  }
}

void Fiber::Enter() {
  Leaving(&fake_stack_outside_, stack_.get(), kStackBytes);
  CHECK_EQ(swapcontext(&outside_, &inside_), 0);
  Arrived(fake_stack_outside_, nullptr, nullptr);
}

void Fiber::Leave() {
  Leaving(&fake_stack_inside_, outside_bottom_, outside_bytes_);
  CHECK_EQ(swapcontext(&inside_, &outside_), 0);
  Arrived(fake_stack_inside_, &outside_bottom_, &outside_bytes_);
}

void Fiber::Run(Closure closure) {
  CHECK(!waiting());
  closure_ = std::move(closure);
  Enter();
}

void Fiber::Resume() {
  CHECK(waiting());
  Enter();
}

void Fiber::Wait() { Leave(); }

}  // namespace flotilla::sim
