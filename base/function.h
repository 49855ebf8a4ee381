// UniqueFunction: a move-only callable, for callbacks that own what they need.
#pragma once

#include <absl/functional/any_invocable.h>

namespace flotilla {

template <class Signature>
using UniqueFunction = absl::AnyInvocable<Signature>;

using Closure = UniqueFunction<void()>;

}  // namespace flotilla
