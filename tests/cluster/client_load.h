// ClientLoad: threads that use one client until the program's input ends, and look at what they
// see.
//
//   PROGRAM ENDPOINTS KEYSPACE
//
// For every line of input it prints a line of counts. It exits with 1, and says why, when something
// was wrong.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/random.h"
#include "base/status.h"
#include "client/client.h"

namespace flotilla::client {

class ClientLoad {
 public:
  virtual ~ClientLoad() = default;

  // Before the threads begin.
  virtual Status Open() { return absl::OkStatus(); }
  virtual int threads() const = 0;
  // Of one thread; until `stopped`.
  virtual void Work(int thread, Random random) = 0;
  // When the threads have ended.
  virtual void Close() {}
  // Names and numbers: "committed 3 unknown 0".
  virtual std::string Counts() const = 0;

  void Stop() { stopped_ = true; }
  bool stopped() const { return stopped_; }
  // Empty: nothing was.
  std::string wrong() const;

 protected:
  // The first is told, and everything ends.
  void Wrong(const std::string& what);
  // For the curious.
  void Note(const Status& status);

 private:
  std::atomic<bool> stopped_{false};
  mutable std::mutex mutex_;
  std::string wrong_;
};

// The program, whole.
int RunLoad(int argc, char** argv, const std::function<std::unique_ptr<ClientLoad>(Client*)>& make);

}  // namespace flotilla::client
