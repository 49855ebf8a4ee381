// History: what clients asked and were told, and whether a register could have answered so.
//
// Keys are checked one by one: linearizable objects compose.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace flotilla::sim {

enum class OperationKind : std::uint8_t { kPut, kDelete, kGet, kCompareAndSet };

struct Operation {
  OperationKind kind = OperationKind::kGet;
  std::string key = {};
  std::optional<std::string> argument = {};  // kPut, kCompareAndSet: the new value
  std::optional<std::string> expected = {};  // kCompareAndSet: the value it must have; none: absent
  MonoTime invoked{};
  // When the answer came; nothing: never, or not a definite one. It may take effect at any time
  // after the invocation, or never.
  std::optional<MonoTime> answered = {};
  std::optional<std::string> read = {};  // kGet: what was found
  bool swapped = false;                  // kCompareAndSet: whether the condition held
};

class History {
 public:
  // The number by which the answer is recorded.
  std::size_t Invoke(Operation operation);
  Operation& At(std::size_t number) { return operations_[number]; }
  // It surely had no effect.
  void Drop(std::size_t number) { dropped_.push_back(number); }

  std::size_t size() const { return operations_.size(); }
  std::map<std::string, std::vector<Operation>> ByKey() const;

 private:
  std::vector<Operation> operations_;
  std::vector<std::size_t> dropped_;
};

enum class Verdict : std::uint8_t { kLinearizable, kNotLinearizable, kTooHard };

// All operations on one key. `steps_max` bounds the search.
Verdict CheckRegister(const std::vector<Operation>& operations,
                      std::uint64_t steps_max = 5'000'000);

// Of a history that is not linearizable: the first answer that fits no order, and what was asked
// shortly before it, a line each.
std::string FirstContradiction(const std::vector<Operation>& operations);

}  // namespace flotilla::sim
