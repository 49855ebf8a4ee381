#include "shard/gossip/types.h"

namespace flotilla::gossip {
namespace {

template <class T>
bool SameFact(const std::shared_ptr<const T>& a, const std::shared_ptr<const T>& b) {
  return a == b || (a != nullptr && b != nullptr && *a == *b);
}

}  // namespace

const char* StateName(MemberState state) {
  switch (state) {
    case MemberState::kAlive:
      return "alive";
    case MemberState::kSuspect:
      return "suspect";
    case MemberState::kDead:
      return "dead";
    case MemberState::kLeft:
      return "left";
  }
  return "unknown";
}

bool SameMember(const Member& a, const Member& b) {
  return a.node == b.node && a.standing == b.standing && SameFact(a.profile, b.profile) &&
         SameFact(a.load, b.load);
}

}  // namespace flotilla::gossip
