// Sender: turns what a core wants to say into messages on the transport.
//
// Place in the picture: part of raft/group.h. The core names ranges of its log; the sender fills
// them in, from the log's cache at once, or from the disk on the catch-up strand, so that a
// follower that was away costs the raft strand no I/O. Messages to one follower keep their order.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/executor.h"
#include "base/status.h"
#include "raft/core/message.h"
#include "raft/log/log.h"
#include "raft/transport/transport.h"

namespace flotilla::raft {

class Sender {
 public:
  // `post` runs a closure on the raft strand, where `on_fatal` learns that the log cannot be read.
  // `hold` keeps the group until what was posted to `catch_up` is done. All pointers outlive that.
  Sender(GroupId group, NodeId self, std::size_t append_bytes_max, Log* log, Transport* transport,
         Strand* catch_up, std::function<void(Closure)> post, std::function<void(Status)> on_fatal,
         std::function<std::shared_ptr<void>()> hold);

  // Adds to the batch that Flush() hands to the transport. Raft strand.
  void Add(std::vector<OutgoingMessage> messages);
  void Flush();

 private:
  struct Order {
    NodeId to;
    Term term;
    AppendRange append;
  };

  void AddAppend(const Order& order);
  void CatchUp(const Order& order);
  PeerMessage Wrap(NodeId to, Term term, MessageBody body) const;

  const GroupId group_;
  const NodeId self_;
  const std::size_t append_bytes_max_;
  Log* const log_;
  Transport* const transport_;
  Strand* const catch_up_;
  const std::function<void(Closure)> post_;
  const std::function<void(Status)> on_fatal_;
  const std::function<std::shared_ptr<void>()> hold_;

  std::vector<PeerMessage> batch_;
  // Followers with reads from the disk under way, and how many: later appends queue behind them.
  std::map<NodeId, int> catching_up_;
};

}  // namespace flotilla::raft
