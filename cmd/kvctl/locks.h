// Locks: what transactions have locked, as all nodes tell it.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "cmd/kvctl/session.h"

namespace flotilla::kvctl {

// Prints them. `transaction`: of this one; 0: of all.
Status ListLocks(Session& session, std::uint64_t transaction);

}  // namespace flotilla::kvctl
