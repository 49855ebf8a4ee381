// Who asks for timestamps, which takes part in the proof that the asked one leads.
#pragma once

#include "base/types.h"
#include "raft/core/types.h"

namespace flotilla {

// The newest term of the directory's group in which the asker's replica was when it asked. If that
// is the leader's own, the asker had voted for nobody else by then: it counts as if the leader had
// asked it for a heartbeat's echo after its request had come (Raft's thesis, 6.4). None: it says
// nothing.
struct OracleAsker {
  NodeId node;
  raft::Term term;
};

}  // namespace flotilla
