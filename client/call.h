// Call: one request of the user's on its way to an answer, and CallTable, which finds it by id.
//
// Internal to the library. A call lives from submission until its callback has run; it is owned by
// the dispatcher, touched under the dispatcher's lock, and linked into exactly the structures that
// its fields name.
#pragma once

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/function.h"
#include "base/status.h"
#include "client/options.h"
#include "client/sequences.h"
#include "flotilla/v1/kv.pb.h"

namespace flotilla::client {

template <class T>
using Callback = UniqueFunction<void(StatusOr<T>)>;

// By the kind of request. One variant rather than a closure around each callback: no allocation.
using AnyCallback =
    std::variant<Callback<GetResult>, Callback<std::vector<GetResult>>, Callback<PutResult>,
                 Callback<DeleteResult>, Callback<DeleteRangeResult>, Callback<CompareAndSetResult>,
                 Callback<BatchResult>, Callback<ScanPage>>;

class Lane;

struct Call {
  v1::Request request;
  AnyCallback callback;
  MonoTime deadline;
  std::size_t bytes = 0;  // of the encoded request
  bool is_write = false;
  bool any_replica = false;  // need not go to the leader

  // ---- progress --------------------------------------------------------------------------------
  std::uint64_t id = 0;             // in the table
  std::uint64_t sequence = 0;       // 0: not yet numbered, or a read
  WriteSession* session = nullptr;  // whose number it is
  std::uint32_t attempts = 0;       // that failed
  std::uint32_t redirects = 0;
  // Some attempt left this process and its fate is not known: the write may have happened.
  bool perhaps = false;
  Lane* lane = nullptr;  // where it awaits its answer; null: waiting to be sent
  MonoTime sent;         // there
  Status last_error;     // of the last failed attempt

  // ---- links of the deadline list (deadlines.h) ------------------------------------------------
  Call* previous = nullptr;
  Call* next = nullptr;
  std::uint64_t bucket = 0;

  // How the call ended; set before the callback runs, outside the lock.
  Status outcome;
  v1::Response* response = nullptr;
};

// Slots with generations: an id is never reused while an old answer could still name it.
class CallTable {
 public:
  // Takes the call over and sets its id.
  Call* Insert(std::unique_ptr<Call> call) {
    std::uint32_t slot = 0;
    if (free_.empty()) {
      slot = static_cast<std::uint32_t>(slots_.size());
      slots_.emplace_back();
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    call->id = static_cast<std::uint64_t>(++slots_[slot].generation) << 32 | slot;
    slots_[slot].call = std::move(call);
    ++size_;
    return slots_[slot].call.get();
  }

  // Null when the call has ended.
  Call* Find(std::uint64_t id) {
    const auto slot = static_cast<std::uint32_t>(id);
    if (slot >= slots_.size() || !slots_[slot].call || slots_[slot].call->id != id) return nullptr;
    return slots_[slot].call.get();
  }

  // A new id for another attempt: answers to the old one are no longer heard.
  void Renew(Call* call) {
    Slot& slot = slots_[static_cast<std::uint32_t>(call->id)];
    CHECK(slot.call.get() == call);
    call->id =
        static_cast<std::uint64_t>(++slot.generation) << 32 | static_cast<std::uint32_t>(call->id);
  }

  std::unique_ptr<Call> Remove(Call* call) {
    const auto slot = static_cast<std::uint32_t>(call->id);
    CHECK_LT(slot, slots_.size());
    CHECK(slots_[slot].call.get() == call);
    free_.push_back(slot);
    --size_;
    return std::move(slots_[slot].call);
  }

  std::vector<Call*> All() {
    std::vector<Call*> all;
    all.reserve(size_);
    for (Slot& slot : slots_) {
      if (slot.call) all.push_back(slot.call.get());
    }
    return all;
  }

  std::size_t size() const { return size_; }

 private:
  struct Slot {
    std::unique_ptr<Call> call;
    std::uint32_t generation = 0;
  };
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::size_t size_ = 0;
};

}  // namespace flotilla::client
