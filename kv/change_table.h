// ChangeTable: tells, of most keys that have not changed lately, that they have not.
//
// Purpose: a commit asks of every key whether it has changed since the transaction began, which was
// a moment ago. The answer is nearly always no, and this knows it without a look at the database: a
// table of the last change by the key's hash, where others of the same hash cost a look and never a
// wrong answer.
//
// Nothing is kept before the first commit asks. Pure data; the apply strand's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace flotilla::kv {

class ChangeTable {
 public:
  // From here on changes are noted; all that there were lie at or before `now`. Again: nothing.
  void Begin(Timestamp now) {
    if (begun_) return;
    begun_ = now;
    last_.assign(kSlots, Timestamp());
  }
  // Changes have passed by it.
  void Reset() {
    begun_ = {};
    last_.clear();
  }

  void Note(std::string_view key, Timestamp at) {
    if (!begun_) return;
    Timestamp& last = last_[SlotOf(key)];
    last = std::max(last, at);
  }
  // True: nobody has written the key after `limit`. False: perhaps somebody has.
  bool IsUnchangedAfter(std::string_view key, Timestamp limit) const {
    return begun_ && limit >= begun_ && last_[SlotOf(key)] <= limit;
  }

 private:
  static constexpr std::size_t kSlots = 1 << 14;  // 128 KiB of a group that has transactions

  static std::size_t SlotOf(std::string_view key) {
    return std::hash<std::string_view>()(key) % kSlots;
  }

  Timestamp begun_;
  std::vector<Timestamp> last_;
};

}  // namespace flotilla::kv
