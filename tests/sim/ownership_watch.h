// OwnershipWatch: no key is served by two groups at one time.
//
// From the outside: which group answered for which key, as nodes' answers say, and which groups the
// directory ever gave the key to, in the order of their epochs. Whoever asks after somebody was
// answered by the key's next owner must not be answered by the one before.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "shard/directory/image.h"
#include "shard/gateway.h"
#include "tests/sim/event_loop.h"

namespace flotilla::sim {

// One key, answered for.
struct Served {
  GroupId group;
  MonoTime asked{};
  MonoTime answered{};
};

// The first answer that fits no order of owners, as an index into `served`; -1: none. `owners`: the
// groups, one after the other; a group may be there again later.
int FirstMisserved(const std::vector<GroupId>& owners, const std::vector<Served>& served);

class OwnershipWatch {
 public:
  explicit OwnershipWatch(EventLoop* loop);
  ~OwnershipWatch();

  // In front of a node's gateway: what is asked and answered there is noted. The node outlives it.
  std::unique_ptr<Gateway> Before(Gateway* gateway);
  // A state of the directory; of those that only differ elsewhere one is as good as another.
  void Note(const DirectoryImage& image);

  std::uint64_t answers() const;
  // What must not have happened; empty: nothing.
  std::string Check() const;

 private:
  class Records;
  class WatchedGateway;
  class Sink;

  struct Owned {
    Epoch epoch;
    GroupId group;
    std::string start;
    std::string end;
    auto operator<=>(const Owned&) const = default;
  };

  std::vector<GroupId> OwnersOf(const std::string& encoded_key) const;

  const std::shared_ptr<Records> records_;
  std::set<Timestamp> noted_;  // versions
  std::set<Owned> owned_;
};

}  // namespace flotilla::sim
