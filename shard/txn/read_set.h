// ReadSet: the keys and ranges that a transaction has read, and that must be unchanged when it
// commits: since its reads' timestamp, or since it locked them.
//
// Encoded; not shared between threads.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "base/status.h"
#include "base/types.h"

namespace flotilla {

class ReadSet {
 public:
  struct Range {
    std::string end;  // exclusive
    Timestamp as_of;  // zero: that of the transaction's reads
    bool operator==(const Range&) const = default;
  };

  // BATCH_TOO_LARGE, and it stays as it was.
  Status AddKey(std::string key);
  // Found with this version under a lock; zero: it is not there.
  Status AddLocked(std::string key, Timestamp version);
  // The end exclusive. Where it overlaps others, the earliest of their times holds for all of it.
  Status AddRange(std::string start, std::string end, Timestamp as_of = {});

  bool empty() const { return keys_.empty() && ranges_.empty(); }
  std::size_t size() const { return keys_.size() + ranges_.size(); }
  // Each with the version that it must still have, or, without one, be unchanged.
  using Keys = std::map<std::string, std::optional<Timestamp>>;
  const Keys& keys() const { return keys_; }
  // By start; they do not overlap.
  const std::map<std::string, Range>& ranges() const { return ranges_; }

 private:
  bool Covers(const std::string& key) const;

  Keys keys_;
  std::map<std::string, Range> ranges_;
};

}  // namespace flotilla
