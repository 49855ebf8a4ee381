// LocalHealth: how far a node trusts its own judgement (Lifeguard, IV.A).
//
// A node that is slow, or cut off, sees everybody else fail. Signs of that make it wait longer
// before it accuses others: all times of its probes grow with its score.
#pragma once

#include <algorithm>

namespace flotilla::gossip {

class LocalHealth {
 public:
  explicit LocalHealth(int score_max) : score_max_(score_max) {}

  // A probe was answered.
  void OnSuccess() { Add(-1); }
  // A probe was not, and so many helpers who should have said so did not answer either; or there
  // was nobody to ask, and the fault may be on either side.
  void OnSilence(int silent) { Add(silent); }
  // Others suspected this node, which lives.
  void OnAccused() { Add(1); }

  int multiplier() const { return 1 + score_; }

 private:
  void Add(int change) { score_ = std::clamp(score_ + change, 0, score_max_); }

  const int score_max_;
  int score_ = 0;
};

}  // namespace flotilla::gossip
