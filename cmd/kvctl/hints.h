// Hints: what to do about an error, by its reason.
#pragma once

#include <string>

#include "base/status.h"

namespace flotilla::kvctl {

// Empty when the message says all there is to say.
std::string HintFor(const Status& status);

}  // namespace flotilla::kvctl
