// Who reads as of a time, as far as this node has heard: what the collectors of all nodes leave for
// them.
//
// Each node tells all others of its oldest reader, once a second while it has one. What is not
// heard in time costs a transaction that reads longer than versions are kept, and never a wrong
// answer (kv::ReaderHorizon).
//
// On the control strand.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "base/types.h"
#include "kv/txn/types.h"

namespace flotilla {

struct OldestReader {
  Timestamp reads_at;
  kv::TxnId txn;
  NodeId node;  // that coordinates it

  bool operator==(const OldestReader&) const = default;
};

//   varint read timestamp | varint transaction     both 0: the node has none
std::string EncodeReader(const std::optional<OldestReader>& reader);
StatusOr<std::optional<OldestReader>> DecodeReader(std::string_view bytes, NodeId node);

class ReaderWatch {
 public:
  // `now` is when it begins to listen.
  explicit ReaderWatch(MonoTime now) : listens_since_(now), looked_at_(now) {}

  // What a node says of itself; nothing: it has none.
  void Note(NodeId node, const std::optional<OldestReader>& reader, MonoTime now);
  // About once a second. Who has not done so for long was paused, and listens anew.
  void Look(MonoTime now);

  // All that there are have been heard, if they could be.
  bool knows(MonoTime now) const;
  std::optional<OldestReader> Oldest() const;

 private:
  struct Heard {
    OldestReader reader;
    MonoTime at;
  };

  MonoTime listens_since_;
  MonoTime looked_at_;
  std::map<NodeId, Heard> heard_;
};

}  // namespace flotilla
