// Interrupt: lets a long command end in order when the user presses Ctrl-C.
//
// While one exists, SIGINT and SIGTERM do not end the process; a second one during the clean-up
// does. At most one at a time.
#pragma once

#include <csignal>

#include "base/clock.h"

namespace flotilla::kvctl {

class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Returns after `duration`, or at once with true when the user interrupts or has done so.
  bool WaitFor(Duration duration);

 private:
  struct sigaction old_int_;
  struct sigaction old_term_;
};

}  // namespace flotilla::kvctl
