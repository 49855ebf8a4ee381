// FollowedRows: what a batch of writes changes in the keyspace that a store's listener follows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kv/request.h"

namespace rocksdb {
class Iterator;
}

namespace flotilla::kv {

class FollowedRows {
 public:
  explicit FollowedRows(KeyspaceId keyspace);

  // The newest version of a key first; of other keyspaces, too. The stored value has two parts.
  void Note(std::string_view encoded_key, std::string_view header, std::string_view value);
  // What was noted since the last time.
  std::vector<RowChange> Take();

  // All that the keyspace has.
  StatusOr<std::vector<RowChange>> ReadAll(rocksdb::Iterator& rows) const;

 private:
  const std::string start_;
  const std::string end_;
  std::vector<RowChange> changes_;
  std::string last_;  // encoded
};

}  // namespace flotilla::kv
