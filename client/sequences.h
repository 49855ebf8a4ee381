// Sequences: numbers a client's writes and knows which of them are still unanswered.
// WriteSession: such numbers under one client id.
//
// The server keeps the answer of every write until the client says, in `acknowledged_below`, that
// it has it. That bound is the lowest unanswered number. Not synchronized.
#pragma once

#include <cstdint>
#include <deque>

#include "base/check.h"
#include "base/types.h"

namespace flotilla::client {

class Sequences {
 public:
  // At most `window` numbers between the oldest unanswered one and the next.
  explicit Sequences(std::uint64_t window) : window_(window) { CHECK_GT(window, 0u); }

  // True when another number may be given out.
  bool Open() const { return answered_.size() < window_; }

  // The next number, from 1 on. Open() must hold.
  std::uint64_t Next() {
    CHECK(Open());
    answered_.push_back(false);
    return lowest_ + answered_.size() - 1;
  }

  // The client will never repeat this one. Each number once.
  void Done(std::uint64_t sequence) {
    CHECK_GE(sequence, lowest_);
    CHECK_LT(sequence - lowest_, answered_.size());
    CHECK(!answered_[sequence - lowest_]);
    answered_[sequence - lowest_] = true;
    while (!answered_.empty() && answered_.front()) {
      answered_.pop_front();
      ++lowest_;
    }
  }

  // Everything below has been answered.
  std::uint64_t LowestUnanswered() const { return lowest_; }
  bool AllAnswered() const { return answered_.empty(); }

 private:
  const std::uint64_t window_;
  std::uint64_t lowest_ = 1;
  std::deque<bool> answered_;  // of lowest_, lowest_ + 1, ...
};

// A server forgets a client that was idle for long; the client then goes on under a new id.
struct WriteSession {
  WriteSession(std::uint64_t id, std::uint64_t window) : client_id(id), sequences(window) {}

  const std::uint64_t client_id;
  // A timestamp of the cluster's from before its first write; zero until that is numbered.
  Timestamp since;
  Sequences sequences;
};

}  // namespace flotilla::client
