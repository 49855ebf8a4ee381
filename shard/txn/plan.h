// CommitPlan: what a commit asks of which groups: the steps of kv/txn, parted by the directory.
//
// Pure: from what a transaction wrote and read, and an image of the directory, to its parts. Each
// part is one prepare, in one log entry of one group; a large share of a group makes several.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "kv/txn/command.h"
#include "shard/directory/image.h"
#include "shard/txn/read_set.h"
#include "shard/txn/write_buffer.h"

namespace flotilla {

struct CommitPlan {
  struct Part {
    kv::TxnPart span;
    Bytes prepare;  // encoded
  };
  std::string anchor;
  std::uint64_t valid_until_ms = 0;
  std::vector<Part> parts;
  bool one_phase() const { return parts.size() == 1; }
};

struct CommitRequest {
  kv::TxnId txn;
  kv::Isolation isolation = kv::Isolation::kSerializable;
  std::uint64_t valid_until_ms = 0;
  NodeId coordinator;  // filled in by it
  // It has locks on the way, which others may wait for until it is resolved.
  bool holds_locks = false;
  Timestamp reads_at;  // what is not under locks was read as of then
  // Not both empty.
  WriteBuffer::Writes writes;
  ReadSet reads;
  // Encoded, and one of those that are written; empty: the first of them.
  std::string anchor = {};
  kv::TxnSession session = {};
};

// From its beginning on a commit has so long until others may end it, and more when there is much
// of it. In milliseconds.
std::uint64_t CommitWithinMs(std::size_t bytes);

// KEYSPACE_NOT_FOUND: it was dropped. BATCH_TOO_LARGE: too many parts.
StatusOr<CommitPlan> PlanCommit(const CommitRequest& request, const DirectoryImage& image);

// Whether one group holds all of the part, by this image.
bool IsWhole(const kv::TxnPart& part, const DirectoryImage& image);

}  // namespace flotilla
