// Codec: messages between nodes to flotilla.internal.PeerBatch and back.
//
// What arrives is never trusted: anything that is not a message is a Status. Payloads of what was
// decoded view into the batch that they arrived in and keep it alive: nothing is copied.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "flotilla/internal/peer.pb.h"
#include "raft/transport/transport.h"

namespace flotilla::raft {

inline constexpr std::uint32_t kPeerProtocolVersion = 1;

// Adds one message; source and destination are the stream's.
void AddToBatch(const PeerMessage& message, internal::PeerBatch& batch);

// All messages of a batch, as sent from `from` to `to`. BAD_REQUEST when one is malformed.
StatusOr<std::vector<PeerMessage>> DecodeBatch(std::shared_ptr<const internal::PeerBatch> batch,
                                               NodeId from, NodeId to);

// The same as bytes, for worlds without gRPC.
std::string EncodeMessages(const std::vector<PeerMessage>& messages);
StatusOr<std::vector<PeerMessage>> DecodeMessages(std::string_view bytes, NodeId from, NodeId to);

// About how many bytes it takes on the wire.
std::size_t WireBytes(const PeerMessage& message);

}  // namespace flotilla::raft
