// CheckRegister: Wing and Gong's search with Lowe's memory of visited states.
//
// A state is which operations are done and what the register holds. Most of what could be tried
// cannot matter, and is not tried:
// - whatever changes nothing and fits (a read of the value, a swap that was refused rightly) is
// done
//   at once, for it fits later no better;
// - a value that no operation brings back is not left while somebody is still to see it;
// - of deletions without an answer one is as good as another;
// - a write without an answer whose value nobody saw or asked for helps only a swap that was
// refused and
//   otherwise would not have been: it is tried right before one, and any will do.

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/random.h"
#include "tests/sim/history.h"

namespace flotilla::sim {
namespace {

// Values by number; none is kAbsent.
using Value = std::uint32_t;
constexpr Value kAbsent = 0;

using Print = std::array<std::uint64_t, 2>;

struct Step {
  OperationKind kind = OperationKind::kGet;
  Value argument = kAbsent;
  Value expected = kAbsent;  // kGet: what was read
  MonoTime invoked{};
  std::optional<MonoTime> answered;
  bool swapped = false;
  bool seen = false;  // or asked for: its value, by anybody
  Print print{};      // two words, so that two sets of steps hardly ever look the same
  bool done = false;

  bool writes() const { return kind != OperationKind::kGet; }
  // Whether it says that the register held `expected`.
  bool saw() const {
    return answered &&
           (kind == OperationKind::kGet || (kind == OperationKind::kCompareAndSet && swapped));
  }
  bool refused() const { return answered && kind == OperationKind::kCompareAndSet && !swapped; }
};

class Search {
 public:
  Search(const std::vector<Operation>& operations, std::uint64_t steps_max)
      : steps_left_(steps_max) {
    std::set<Value> seen;
    for (const Operation& operation : operations) {
      const Step step = StepOf(operation);
      (step.answered ? answered_ : unanswered_).push_back(step);
      if (step.kind == OperationKind::kGet || step.kind == OperationKind::kCompareAndSet) {
        seen.insert(step.expected);
      }
    }
    to_see_.resize(values_.size() + 1);
    makers_.resize(values_.size() + 1);
    for (std::vector<Step>* steps : {&answered_, &unanswered_}) {
      std::sort(steps->begin(), steps->end(),
                [](const Step& a, const Step& b) { return a.invoked < b.invoked; });
      for (Step& step : *steps) {
        step.seen = seen.contains(step.argument);
        step.print = {random_.Next(), random_.Next()};
        Count(step, 1);
      }
    }
    left_ = answered_.size();
  }

  // Depth first.
  Verdict Run() {
    std::vector<Frame> stack;
    stack.push_back(Settle({}));
    while (!stack.empty()) {
      if (left_ == 0) return Verdict::kLinearizable;
      Frame& frame = stack.back();
      if (frame.next == frame.moves.size()) {
        Undo(frame);
        stack.pop_back();
        continue;
      }
      if (steps_left_-- == 0) return Verdict::kTooHard;
      Step* const step = frame.moves[frame.next++];
      Frame after;
      after.value = step->argument;
      Do(*step, after);
      after = Settle(std::move(after));
      Print print = print_;
      print[0] += after.value;
      if (left_ != 0 && !visited_.insert(print).second) {
        Undo(after);
      } else {
        stack.push_back(std::move(after));
      }
    }
    return Verdict::kNotLinearizable;
  }

 private:
  struct Frame {
    Value value = kAbsent;
    std::vector<Step*> done;  // to get here from the frame below
    std::vector<Step*> moves;
    std::size_t next = 0;
  };

  Step StepOf(const Operation& operation) {
    const bool is_get = operation.kind == OperationKind::kGet;
    return {.kind = operation.kind,
            .argument = NumberOf(operation.argument),
            .expected = NumberOf(is_get ? operation.read : operation.expected),
            .invoked = operation.invoked,
            .answered = operation.answered,
            .swapped = operation.swapped};
  }

  Value NumberOf(const std::optional<std::string>& value) {
    if (!value) return kAbsent;
    return values_.emplace(*value, static_cast<Value>(values_.size() + 1)).first->second;
  }

  void Count(const Step& step, std::uint32_t by) {
    if (step.saw()) to_see_[step.expected] += by;
    if (step.writes() && !step.refused()) makers_[step.argument] += by;
  }

  void Mark(Step& step, bool done) {
    step.done = done;
    print_[0] ^= step.print[0];
    print_[1] ^= step.print[1];
    Count(step, done ? UINT32_MAX : 1);  // one less, or one more
    if (!step.answered) return;
    left_ += done ? SIZE_MAX : 1;
    const auto at = static_cast<std::size_t>(&step - answered_.data());
    if (done) {
      while (first_open_ < answered_.size() && answered_[first_open_].done) ++first_open_;
    } else {
      first_open_ = std::min(first_open_, at);
    }
  }
  void Do(Step& step, Frame& frame) {
    Mark(step, true);
    frame.done.push_back(&step);
  }
  void Undo(const Frame& frame) {
    for (Step* step : frame.done) Mark(*step, false);
  }

  // Answered steps that may be next, and when the first of them was answered: nothing that was
  // invoked later can come before that one.
  MonoTime Window(std::vector<Step*>& window) {
    window.clear();
    MonoTime horizon = MonoTime::max();
    for (std::size_t i = first_open_; i < answered_.size(); ++i) {
      Step& step = answered_[i];
      if (step.done) continue;
      if (step.invoked > horizon) break;
      window.push_back(&step);
      horizon = std::min(horizon, *step.answered);
    }
    std::erase_if(window, [&](const Step* step) { return step->invoked > horizon; });
    return horizon;
  }

  // Does what changes nothing, and lists what may be tried then.
  Frame Settle(Frame frame) {
    std::vector<Step*> window;
    MonoTime horizon{};
    for (bool again = true; again;) {
      again = false;
      horizon = Window(window);
      for (Step* step : window) {
        const bool same = step->expected == frame.value;
        const bool idle = step->kind == OperationKind::kGet ? same : step->refused() && !same;
        if (!idle) continue;
        Do(*step, frame);
        again = true;
      }
    }
    bool in_the_way = false;  // of a swap that must be refused
    for (Step* step : window) {
      if (step->refused()) in_the_way = true;
      if (!step->refused()) Offer(*step, frame);
    }
    bool deletes = false;
    bool clears = !in_the_way;
    for (Step& step : unanswered_) {
      if (step.invoked > horizon) break;
      if (step.done) continue;
      bool& enough = step.kind == OperationKind::kDelete ? deletes : clears;
      const bool any_will_do = step.kind == OperationKind::kDelete || !step.seen;
      if (any_will_do && enough) continue;
      if (Offer(step, frame) && any_will_do) enough = true;
    }
    return frame;
  }

  bool Offer(Step& step, Frame& frame) const {
    if (!step.writes() || step.refused()) return false;
    const Value now = frame.value;
    if (step.kind == OperationKind::kCompareAndSet && step.expected != now) return false;
    if (!step.answered && step.argument == now) return false;  // to no end
    const std::uint32_t others = to_see_[now] - (step.saw() ? 1 : 0);
    if (step.argument != now && others > 0 && makers_[now] == 0) return false;
    frame.moves.push_back(&step);
    return true;
  }

  std::map<std::string, Value> values_;
  std::vector<Step> answered_;    // by their invocation
  std::vector<Step> unanswered_;  // by their invocation
  std::size_t first_open_ = 0;
  std::size_t left_ = 0;  // answered ones that are not done
  // Of each value, among what is not done: who saw it, and who makes it.
  std::vector<std::uint32_t> to_see_;
  std::vector<std::uint32_t> makers_;
  Random random_{1};
  Print print_{};
  std::set<Print> visited_;
  std::uint64_t steps_left_;
};

}  // namespace

Verdict CheckRegister(const std::vector<Operation>& operations, std::uint64_t steps_max) {
  return Search(operations, steps_max).Run();
}

}  // namespace flotilla::sim
