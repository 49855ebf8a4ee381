#include "tests/sim/history.h"

#include <algorithm>
#include <set>
#include <unordered_set>
#include <utility>

#include "base/check.h"

namespace flotilla::sim {
namespace {

using Value = std::optional<std::string>;

// What the operation makes of the register; nothing when it could not have answered as it did.
std::optional<Value> Apply(const Operation& operation, const Value& value) {
  switch (operation.kind) {
    case OperationKind::kPut:
      return operation.argument;
    case OperationKind::kDelete:
      return Value();
    case OperationKind::kGet:
      if (operation.read != value) return std::nullopt;
      return value;
    case OperationKind::kCompareAndSet: {
      const bool holds = value == operation.expected;
      if (operation.answered && holds != operation.swapped) return std::nullopt;
      return holds ? operation.argument : value;
    }
  }
  return std::nullopt;
}

class Search {
 public:
  Search(std::vector<Operation> operations, std::uint64_t steps_max)
      : operations_(std::move(operations)), steps_left_(steps_max) {
    std::sort(operations_.begin(), operations_.end(),
              [](const Operation& a, const Operation& b) { return a.invoked < b.invoked; });
    done_.assign(operations_.size(), false);
  }

  // Depth first: linearize any operation that was invoked before the first outstanding answer.
  Verdict Run() {
    struct Frame {
      Value value;
      std::vector<std::size_t> candidates;
      std::size_t next = 0;
      std::size_t chosen = 0;
    };
    std::vector<Frame> stack;
    stack.push_back({.value = Value(), .candidates = Candidates()});
    while (!stack.empty()) {
      if (AllAnsweredAreDone()) return Verdict::kLinearizable;
      Frame& frame = stack.back();
      bool descended = false;
      while (frame.next < frame.candidates.size()) {
        const std::size_t candidate = frame.candidates[frame.next++];
        if (steps_left_-- == 0) return Verdict::kTooHard;
        const std::optional<Value> after = Apply(operations_[candidate], frame.value);
        if (!after) continue;
        Set(candidate, true);
        if (!visited_.insert(Fingerprint(*after)).second) {
          Set(candidate, false);
          continue;
        }
        frame.chosen = candidate;
        stack.push_back({.value = *after, .candidates = Candidates()});
        descended = true;
        break;
      }
      if (descended) continue;
      stack.pop_back();
      if (!stack.empty()) Set(stack.back().chosen, false);
    }
    return Verdict::kNotLinearizable;
  }

 private:
  void Set(std::size_t operation, bool done) {
    done_[operation] = done;
    if (done) {
      while (first_open_ < done_.size() && done_[first_open_]) ++first_open_;
      if (operations_[operation].answered) ++answered_done_;
    } else {
      first_open_ = std::min(first_open_, operation);
      if (operations_[operation].answered) --answered_done_;
    }
  }

  bool AllAnsweredAreDone() {
    if (answered_ == SIZE_MAX) {
      answered_ = static_cast<std::size_t>(
          std::count_if(operations_.begin(), operations_.end(),
                        [](const Operation& one) { return one.answered.has_value(); }));
    }
    return answered_done_ == answered_;
  }

  std::vector<std::size_t> Candidates() const {
    // Nothing may come before an operation that had its answer before it was invoked.
    std::optional<MonoTime> first_answer;
    std::vector<std::size_t> candidates;
    for (std::size_t i = first_open_; i < operations_.size(); ++i) {
      if (done_[i]) continue;
      const Operation& operation = operations_[i];
      if (first_answer && operation.invoked > *first_answer) break;
      candidates.push_back(i);
      if (operation.answered && (!first_answer || *operation.answered < *first_answer)) {
        first_answer = operation.answered;
      }
    }
    std::erase_if(candidates, [&](std::size_t i) {
      return first_answer && operations_[i].invoked > *first_answer;
    });
    // Answered ones first: the unanswered may as well never have happened.
    std::sort(candidates.begin(), candidates.end(), [&](std::size_t a, std::size_t b) {
      return std::pair(!operations_[a].answered, a) < std::pair(!operations_[b].answered, b);
    });
    return candidates;
  }

  // Which operations are done, and the register: two words of hash, so that a collision is out of
  // the question.
  std::string Fingerprint(const Value& value) const {
    std::string print = std::to_string(first_open_);
    for (std::size_t i = first_open_; i < done_.size(); ++i) {
      if (done_[i]) print += "," + std::to_string(i);
    }
    print += value ? "=" + *value : std::string("-");
    return print;
  }

  std::vector<Operation> operations_;
  std::uint64_t steps_left_;
  std::vector<bool> done_;
  std::size_t first_open_ = 0;
  std::size_t answered_ = SIZE_MAX;
  std::size_t answered_done_ = 0;
  std::unordered_set<std::string> visited_;
};

}  // namespace

std::size_t History::Invoke(Operation operation) {
  operations_.push_back(std::move(operation));
  return operations_.size() - 1;
}

std::map<std::string, std::vector<Operation>> History::ByKey() const {
  const std::set<std::size_t> dropped(dropped_.begin(), dropped_.end());
  std::map<std::string, std::vector<Operation>> by_key;
  for (std::size_t i = 0; i < operations_.size(); ++i) {
    const Operation& operation = operations_[i];
    if (dropped.contains(i)) continue;
    // A read without an answer says nothing.
    if (operation.kind == OperationKind::kGet && !operation.answered) continue;
    by_key[operation.key].push_back(operation);
  }
  return by_key;
}

Verdict CheckRegister(std::vector<Operation> operations, std::uint64_t steps_max) {
  return Search(std::move(operations), steps_max).Run();
}

}  // namespace flotilla::sim
