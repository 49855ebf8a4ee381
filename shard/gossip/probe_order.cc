#include "shard/gossip/probe_order.h"

#include <algorithm>
#include <utility>

namespace flotilla::gossip {

void ProbeOrder::Add(NodeId node) {
  const std::size_t place = random_.Below(order_.size() + 1);
  order_.insert(order_.begin() + static_cast<std::ptrdiff_t>(place), node);
  if (place < next_) ++next_;
}

void ProbeOrder::Remove(NodeId node) {
  const auto found = std::find(order_.begin(), order_.end(), node);
  if (found == order_.end()) return;
  if (static_cast<std::size_t>(found - order_.begin()) < next_) --next_;
  order_.erase(found);
}

NodeId ProbeOrder::Next() {
  if (order_.empty()) return NodeId();
  if (next_ >= order_.size()) {
    next_ = 0;
    for (std::size_t left = order_.size(); left > 1; --left) {
      std::swap(order_[left - 1], order_[random_.Below(left)]);
    }
  }
  return order_[next_++];
}

std::vector<NodeId> ProbeOrder::Some(std::size_t count, NodeId without) {
  std::vector<NodeId> some = order_;
  std::erase(some, without);
  count = std::min(count, some.size());
  for (std::size_t i = 0; i < count; ++i) {
    std::swap(some[i], some[i + random_.Below(some.size() - i)]);
  }
  some.resize(count);
  return some;
}

}  // namespace flotilla::gossip
