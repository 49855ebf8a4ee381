// ProbeOrder: whom to probe next.
//
// Round robin in random order (SWIM, 4.3): each member comes up once per walk, and between two of
// its turns lie at most twice as many others as there are, so that a crash is noticed in bounded
// time, which independent draws would not give.
#pragma once

#include <cstddef>
#include <vector>

#include "base/random.h"
#include "base/types.h"

namespace flotilla::gossip {

class ProbeOrder {
 public:
  explicit ProbeOrder(Random random) : random_(random) {}

  // At a random place; perhaps later in this walk, perhaps in the next. Not there yet.
  void Add(NodeId node);
  // Nothing happens when it is not there.
  void Remove(NodeId node);

  // Node 0 when there is none.
  NodeId Next();
  // Up to `count` different ones, neither of them `without`; in random order.
  std::vector<NodeId> Some(std::size_t count, NodeId without);

  std::size_t size() const { return order_.size(); }

 private:
  Random random_;
  std::vector<NodeId> order_;
  std::size_t next_ = 0;  // those before had their turn
};

}  // namespace flotilla::gossip
