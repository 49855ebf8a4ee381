#include "tests/sim/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace flotilla::sim {
namespace {

constexpr std::size_t kLinesOfContradiction = 16;

// What was known at `time`.
std::vector<Operation> Until(const std::vector<Operation>& operations, MonoTime time) {
  std::vector<Operation> known;
  for (Operation operation : operations) {
    if (operation.invoked > time) continue;
    if (operation.answered && *operation.answered > time) {
      if (operation.kind == OperationKind::kGet) continue;
      operation.answered.reset();
    }
    known.push_back(std::move(operation));
  }
  return known;
}

double Milliseconds(MonoTime time) {
  return std::chrono::duration<double, std::milli>(time.time_since_epoch()).count();
}

std::string Text(const Operation& operation) {
  const auto value = [](const std::optional<std::string>& one) { return one.value_or("(absent)"); };
  std::string text = fmt::format("{:.3f} ms .. ", Milliseconds(operation.invoked));
  text += operation.answered ? fmt::format("{:.3f} ms", Milliseconds(*operation.answered))
                             : std::string("no answer");
  switch (operation.kind) {
    case OperationKind::kPut:
      return text + " put " + value(operation.argument);
    case OperationKind::kDelete:
      return text + " delete";
    case OperationKind::kGet:
      return text + " get: " + value(operation.read);
    case OperationKind::kCompareAndSet:
      return text + fmt::format(" set {} if {}: {}", value(operation.argument),
                                value(operation.expected), operation.swapped ? "done" : "refused");
  }
  return text;
}

}  // namespace

std::string FirstContradiction(const std::vector<Operation>& operations) {
  std::vector<MonoTime> answers;
  for (const Operation& operation : operations) {
    if (operation.answered) answers.push_back(*operation.answered);
  }
  std::sort(answers.begin(), answers.end());
  const auto first = std::partition_point(answers.begin(), answers.end(), [&](MonoTime time) {
    return CheckRegister(Until(operations, time)) != Verdict::kNotLinearizable;
  });
  if (first == answers.end()) return "none was found";
  std::vector<Operation> shown;
  for (const Operation& operation : operations) {
    if (operation.invoked <= *first) shown.push_back(operation);
  }
  std::sort(shown.begin(), shown.end(), [](const Operation& a, const Operation& b) {
    return a.answered.value_or(a.invoked) < b.answered.value_or(b.invoked);
  });
  std::string text =
      fmt::format("the answer at {:.3f} ms fits no order; before it:", Milliseconds(*first));
  for (std::size_t i = shown.size() - std::min(shown.size(), kLinesOfContradiction);
       i < shown.size(); ++i) {
    text += "\n      " + Text(shown[i]);
  }
  return text;
}

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

}  // namespace flotilla::sim
