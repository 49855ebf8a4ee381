#include "raft/core/read_queue.h"

#include <algorithm>

namespace flotilla::raft {

bool ForwardedReads::Add(std::uint64_t context) {
  if (count_ >= kReadsWaitingMax) return false;
  ++count_;
  waiting_.push_back(context);
  return true;
}

std::uint64_t ForwardedReads::Start(int ticks) {
  requests_.push_back({next_wire_id_++, ticks, std::move(waiting_)});
  waiting_.clear();
  return requests_.back().wire_id;
}

std::vector<std::uint64_t> ForwardedReads::Answered(std::uint64_t wire_id) {
  auto found = std::find_if(requests_.begin(), requests_.end(),
                            [&](const Request& request) { return request.wire_id == wire_id; });
  if (found == requests_.end()) return {};
  std::vector<std::uint64_t> contexts = std::move(found->contexts);
  requests_.erase(found);
  count_ -= contexts.size();
  return contexts;
}

std::vector<std::uint64_t> ForwardedReads::Tick() {
  std::vector<std::uint64_t> lapsed;
  for (Request& request : requests_) {
    if (--request.ticks_left > 0) continue;
    lapsed.insert(lapsed.end(), request.contexts.begin(), request.contexts.end());
  }
  if (lapsed.empty()) return lapsed;
  std::erase_if(requests_, [](const Request& request) { return request.ticks_left <= 0; });
  count_ -= lapsed.size();
  return lapsed;
}

std::vector<std::uint64_t> ForwardedReads::Drain() {
  std::vector<std::uint64_t> all = std::move(waiting_);
  waiting_.clear();
  for (Request& request : requests_) {
    all.insert(all.end(), request.contexts.begin(), request.contexts.end());
  }
  requests_.clear();
  count_ = 0;
  return all;
}

}  // namespace flotilla::raft
