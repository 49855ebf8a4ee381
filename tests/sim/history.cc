#include "tests/sim/history.h"

#include <set>
#include <utility>

namespace flotilla::sim {
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
