// Server: a node over the real world, with its services. What main() runs.
#pragma once

#include <memory>
#include <string>

#include "base/function.h"
#include "base/status.h"
#include "cmd/kvd/config.h"

namespace flotilla {

class Server {
 public:
  // Opens the data directory and listens. `on_fatal` is called once if the node cannot go on.
  static StatusOr<std::unique_ptr<Server>> Start(const Config& config, const std::string& version,
                                                 UniqueFunction<void(Status)> on_fatal);
  ~Server();

  // Hands leaderships over, answers what is open, joins everything.
  void Stop();

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace flotilla
