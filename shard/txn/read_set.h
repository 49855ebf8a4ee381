// ReadSet: the keys and ranges that a serializable transaction has read, which must be unchanged
// when it commits. Encoded; not shared between threads.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>

#include "base/status.h"

namespace flotilla {

class ReadSet {
 public:
  // BATCH_TOO_LARGE, and it stays as it was.
  Status AddKey(std::string key);
  // The end exclusive.
  Status AddRange(std::string start, std::string end);

  bool empty() const { return keys_.empty() && ranges_.empty(); }
  std::size_t size() const { return keys_.size() + ranges_.size(); }
  const std::set<std::string>& keys() const { return keys_; }
  // By start; they do not touch.
  const std::map<std::string, std::string>& ranges() const { return ranges_; }

 private:
  bool Covers(const std::string& key) const;

  std::set<std::string> keys_;
  std::map<std::string, std::string> ranges_;
};

}  // namespace flotilla
