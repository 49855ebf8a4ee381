// ListTxn: what one transaction saw and did to lists, each of them the value of one key: it read
// lists, and appended elements that nobody else appends anywhere.
//
// A list tells its own past: its last element names the version and who wrote it, the one before
// that the version which that transaction had read. No timestamp of the store is needed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "kv/txn/types.h"

namespace flotilla::sim {

using ListElement = std::uint64_t;  // not 0
using List = std::vector<ListElement>;

struct ListStep {
  std::string key;
  List found = {};                           // with what the transaction appended before
  std::optional<ListElement> appended = {};  // to what was found
};

enum class ListFate : std::uint8_t {
  kCommitted,
  kAborted,
  kUnknown,  // it counts as committed once somebody has read an element of it
};

struct ListTxn {
  std::uint64_t number = 0;
  kv::Isolation isolation = kv::Isolation::kSerializable;
  bool read_only = false;
  bool locks = false;  // some of what it reads: a lock that was lost is noticed at the commit alone
  ListFate fate = ListFate::kCommitted;
  MonoTime begun{};                    // before its first read
  std::optional<MonoTime> ended = {};  // after it was committed
  std::vector<ListStep> steps = {};
};

}  // namespace flotilla::sim
