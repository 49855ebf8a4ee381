// The bytes of gossip messages.
//
//   message   u8 format (1) | u8 kind | varint incarnation | u8 left | body | varint n | n rumours
//   kind      0 ping, 1 ping request, 2 ack, 3 nack, 4 sync request, 5 sync reply
//   body      varint number | for a ping request: varint target
//             sync: varint first | varint end | varint n | n members
//   rumour    u8 0 | varint node | standing     u8 1 | varint node | profile
//             u8 2 | varint node | load
//   member    varint node | standing | u8 has (1: profile, 2: load) | profile | load
//   standing  varint incarnation | u8 state
//   profile   varint version | address | varint n | n times label, value   (prefixed strings)
//   load      varint version | five varints, in the order of LoadReport
//
//   01 00 05 00 07 01 00 03 02 01     a ping, number 7, of incarnation 5; node 3 is suspected, at
//                                     its incarnation 2
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/status.h"
#include "shard/gossip/message.h"

namespace flotilla::gossip {

// No message is larger, whatever the options say; a larger one is refused unread.
inline constexpr std::size_t kMessageBytesMax = 64 << 10;
// What a message takes besides its members and rumours, at most; a rumour of one standing included.
inline constexpr std::size_t kEnvelopeBytesMax = 96;

// The message is well-formed, as those of GossipCore are.
std::string EncodeMessage(const Message& message);
// BAD_REQUEST when the bytes are no message: too long, too short, unknown kinds, values out of
// range, labels out of order, anything behind the end.
StatusOr<Message> DecodeMessage(std::string_view bytes);

std::size_t EncodedBytes(const Rumour& rumour);
std::size_t EncodedBytes(const Member& member);
std::size_t EncodedBytes(const Profile& profile);

}  // namespace flotilla::gossip
