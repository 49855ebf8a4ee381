// Listener: takes connections for gRPC, as long as there are file descriptors to spare.
//
// Purpose: gRPC 1.51 closes its listening socket for good when accept() finds no descriptor free.
// So connections are taken here and handed over, and those beyond what the log, the data and the
// node's own connections may need are closed at once; the log says so, and again when it is over.
//
// A new descriptor has the lowest free number: the number alone tells how many are in use.
#pragma once

#include <spdlog/logger.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/status.h"

namespace flotilla {

// Raises the process's limit of descriptors as far as it may, and returns it.
int RaiseDescriptorLimit();

class Listener {
 public:
  // Takes over the descriptor of a connection. Any thread.
  using HandOver = std::function<void(int descriptor)>;

  // Listens on every address that HOST:PORT stands for. BAD_REQUEST when there is none.
  static StatusOr<std::unique_ptr<Listener>> Open(const std::string& address, int descriptors_max,
                                                  std::shared_ptr<spdlog::logger> logger);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Accepts on a strand of its own until Stop().
  void Start(Executor& executor, HandOver hand_over);
  // Nothing is accepted any more soon. Idempotent.
  void Stop();

 private:
  Listener(int descriptors_max, std::shared_ptr<spdlog::logger> logger);

  void Run();
  void AcceptFrom(int socket);
  void Refuse(bool out_of_descriptors);

  const int descriptors_max_;
  const int connections_below_;  // descriptors from this number on are kept for other things
  const std::shared_ptr<spdlog::logger> logger_;
  std::vector<int> sockets_;
  int wake_ = -1;  // readable from Stop() on
  std::unique_ptr<Strand> strand_;
  HandOver hand_over_;
  bool refusing_ = false;
};

}  // namespace flotilla
