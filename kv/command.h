// Command: one atomic write, encoded once and carried so from the gateway to the log.
//
// Format (version 1), all integers varints unless said otherwise:
//   u8 version=1 | u8 flags | keyspace | client fixed64, sequence, acknowledged_below (if flags&1)
//   | since fixed64 (if flags&2) | op count | ops
//   op: u8 kind | u8 condition | prefixed key | by kind: prefixed value, ttl_ms / - / prefixed end
//       | by condition: version fixed64 / prefixed value
// A log entry's payload (kCommand) is a batch of commands:
//   u8 version=1 | first timestamp fixed64 | repeated prefixed command
// Command i of the batch has the timestamp first + i.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "base/types.h"
#include "kv/request.h"

namespace flotilla::kv {

// A decoded command; views into the encoded bytes.
struct CommandView {
  KeyspaceId keyspace = kDefaultKeyspace;
  Session session = {};
  std::vector<WriteOp> ops = {};
};

// Checks limits and shape: KEY_TOO_LARGE, VALUE_TOO_LARGE, BATCH_TOO_LARGE, BAD_RANGE, BAD_REQUEST.
Status ValidateCommand(const CommandView& command);

// Where an encoded command belongs: its keyspace and the key of its first operation. False when it
// is none; not all of it is looked at.
bool PeekCommand(std::string_view encoded, KeyspaceId& keyspace, std::string_view& first_key);

// Appends the encoded form; the command must be valid.
void AppendCommand(std::string& out, const CommandView& command);
std::string EncodeCommand(const CommandView& command);

// BAD_REQUEST when the bytes are not a command. Clears and fills `command`, reusing its memory.
Status DecodeCommand(std::string_view bytes, CommandView& command);

// Builds an entry's payload.
class CommandBatchWriter {
 public:
  explicit CommandBatchWriter(Timestamp first);
  void Add(std::string_view encoded_command);
  std::size_t count() const { return count_; }
  std::size_t bytes() const { return payload_.size(); }
  Bytes Finish() &&;

 private:
  std::string payload_;
  std::size_t count_ = 0;
};

// Reads an entry's payload command by command.
class CommandBatchReader {
 public:
  // DATA_DAMAGED when the payload is not a batch.
  static StatusOr<CommandBatchReader> Open(std::string_view payload);
  // False at the end.
  bool Next(std::string_view& encoded_command, Timestamp& timestamp);
  // Not OK when the bytes ran out in the middle.
  Status status() const;
  Timestamp first() const { return first_; }

 private:
  CommandBatchReader() = default;
  std::string_view rest_;
  Timestamp first_;
  std::uint64_t next_ = 0;
  bool damaged_ = false;
};

}  // namespace flotilla::kv
