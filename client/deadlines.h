// Deadlines: which calls have run out of time, at no cost to those that have not.
//
// Calls are kept in lists by deadline, rounded up to a bucket of a few milliseconds: adding and
// removing a call are a few pointer writes, however many there are, because calls with one timeout
// all go to the newest bucket. Not synchronized; does not own the calls.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "client/call.h"

namespace flotilla::client {

class Deadlines {
 public:
  static constexpr Duration kBucket = std::chrono::milliseconds(4);

  void Add(Call* call) {
    const auto nanos = static_cast<std::uint64_t>(call->deadline.time_since_epoch().count());
    call->bucket = nanos / kBucket.count() + 1;
    Call*& head = Head(call->bucket);
    call->previous = nullptr;
    call->next = head;
    if (head != nullptr) head->previous = call;
    head = call;
  }

  void Remove(Call* call) {
    if (call->next != nullptr) call->next->previous = call->previous;
    if (call->previous != nullptr) {
      call->previous->next = call->next;
    } else if (call->next != nullptr) {
      Head(call->bucket) = call->next;
    } else {
      buckets_.erase(call->bucket);
      if (newest_ == call->bucket) newest_head_ = nullptr;
    }
    call->previous = call->next = nullptr;
  }

  // Those whose bucket has passed; they stay in until removed.
  std::vector<Call*> Expired(MonoTime now) const {
    std::vector<Call*> expired;
    for (auto it = buckets_.begin(); it != buckets_.end() && EndOf(it->first) <= now; ++it) {
      for (Call* call = it->second; call != nullptr; call = call->next) expired.push_back(call);
    }
    return expired;
  }

  // When Expired() will have something next; MonoTime::max() when there is no call.
  MonoTime Next() const {
    return buckets_.empty() ? MonoTime::max() : EndOf(buckets_.begin()->first);
  }

 private:
  static MonoTime EndOf(std::uint64_t bucket) {
    return MonoTime(kBucket * static_cast<std::int64_t>(bucket));
  }

  Call*& Head(std::uint64_t bucket) {
    if (newest_head_ == nullptr || newest_ != bucket) {
      newest_ = bucket;
      newest_head_ = &buckets_[bucket];
    }
    return *newest_head_;
  }

  std::map<std::uint64_t, Call*> buckets_;  // value-initialized to null by operator[]
  // The bucket last used, found without a search; map nodes do not move.
  std::uint64_t newest_ = 0;
  Call** newest_head_ = nullptr;
};

}  // namespace flotilla::client
