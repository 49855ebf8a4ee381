#include "cmd/kvctl/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/check.h"

namespace flotilla::kvctl {
namespace {

int wake[2] = {-1, -1};  // a pipe: all that a signal handler may touch

void OnSignal(int) {
  const char byte = 1;
  [[maybe_unused]] const auto written = write(wake[1], &byte, 1);
}

}  // namespace

Interrupt::Interrupt() {
  CHECK_EQ(wake[0], -1);
  CHECK_EQ(pipe2(wake, O_NONBLOCK | O_CLOEXEC), 0);
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // the second one has its usual effect
  sigaction(SIGINT, &action, &old_int_);
  sigaction(SIGTERM, &action, &old_term_);
}

Interrupt::~Interrupt() {
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGTERM, &old_term_, nullptr);
  close(wake[0]);
  close(wake[1]);
  wake[0] = wake[1] = -1;
}

bool Interrupt::WaitFor(Duration duration) {
  pollfd interrupted = {.fd = wake[0], .events = POLLIN, .revents = 0};
  const auto millis = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  return poll(&interrupted, 1, static_cast<int>(millis)) != 0;
}

}  // namespace flotilla::kvctl
