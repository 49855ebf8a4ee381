// CallOnStrand: asks a node by its address, before or beside membership; see formation_codec.h for
// the bodies.
#pragma once

#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/executor.h"
#include "base/function.h"
#include "base/status.h"
#include "raft/peer_calls.h"
#include "raft/transport/transport.h"

namespace flotilla {

// `then` gets the answer, or why there is none, on `strand`, which outlives the call. Any thread.
inline void CallOnStrand(raft::Transport* transport, Strand* strand, const std::string& address,
                         raft::PeerMethod method, std::string body, Duration timeout,
                         UniqueFunction<void(StatusOr<Bytes>)> then) {
  transport->CallAddress(
      address, static_cast<std::uint32_t>(method), Bytes(std::move(body)), timeout,
      [strand, then = std::move(then)](StatusOr<Bytes> answer) mutable {
        strand->Post([then = std::move(then), answer = std::move(answer)]() mutable {
          then(std::move(answer));
        });
      });
}

}  // namespace flotilla
