// Control commands: changes of a group itself, as entries of its log.
//
// An entry of kind kControl holds one. It is a barrier: what came before it is in the database when
// it is carried out, and nothing else is in its batch. Each names the epoch that its proposer saw
// and has no effect when the group has another by then, so that a repeated one does no harm; each
// that takes effect raises the epoch: by one, and above that of a group that is absorbed. So does
// each change of the group's configuration but its first.
//
//   u8 version=0x81 (no batch of commands begins so) | u8 kind | expected epoch | by kind:
//     set range: prefixed start, prefixed end / split: child group, prefixed split key /
//     freeze, unfreeze: - / absorb: right group, prefixed range (kv/shard_range.h), index
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/bytes.h"
#include "base/status.h"
#include "base/types.h"
#include "kv/shard_range.h"
#include "raft/state_machine.h"

namespace flotilla::kv {

// The group holds [start, end) from here on; what it has outside of it is removed. Bounds are
// encoded keys or beginnings of such (of a keyspace, of a slot); an empty end is no end.
struct SetRange {
  std::string start = {};
  std::string end = {};
  bool operator==(const SetRange&) const = default;
};
// Everything from the split key on goes to a new group, which starts at epoch, configuration and
// time of this one, with all its sessions, at index 1 of term 1.
struct Split {
  GroupId child;
  std::string split_key;  // as the bounds above; strictly inside the range
  bool operator==(const Split&) const = default;
};
// No key is written or read, no time passes and no session ends, until it is unfrozen.
struct Freeze {
  bool operator==(const Freeze&) const = default;
};
struct Unfreeze {
  bool operator==(const Unfreeze&) const = default;
};

// The group on the right becomes part of this one: keys, sessions and time. It has to be frozen,
// and to have the same members; who proposes this has seen that each of them has flushed the
// freeze, and sees to it that neither changes before the outcome is known. A member that finds it
// otherwise stops.
struct Absorb {
  GroupId right;
  ShardRange held;        // what it holds, frozen: its freeze's result
  raft::Index frozen_at;  // its freeze's index
  bool operator==(const Absorb&) const = default;
};

struct ControlCommand {
  Epoch expected_epoch{0};
  std::variant<SetRange, Split, Freeze, Unfreeze, Absorb> change;
  bool operator==(const ControlCommand&) const = default;
};

std::string EncodeControl(const ControlCommand& command);
// DATA_DAMAGED when the bytes are not a control command.
StatusOr<ControlCommand> DecodeControl(std::string_view bytes);

enum class ControlOutcome : std::uint8_t {
  kApplied = 1,
  // The others had no effect.
  kEpochDiffers = 2,
  kUnfit = 3,      // an empty range, a split key that is not inside, the group itself, no neighbour
  kFrozen = 4,     // only unfreezing is possible
  kNotFrozen = 5,  // what there would be to unfreeze
  kMembersChanging = 6,  // splits and absorptions wait until the configuration is a simple one
};

struct ControlResult {
  ControlOutcome outcome = ControlOutcome::kApplied;
  ShardRange range;   // after it
  raft::Index index;  // where it stands in the log
};

// What the command makes of a range. `simple_configuration`: of the group, at this point of its
// log.
ControlResult Evaluate(const ControlCommand& command, GroupId group, const ShardRange& range,
                       bool simple_configuration);
// Of a split that takes effect: what the child gets.
ShardRange ChildRange(const Split& split, const ShardRange& before);

// Who waits for a control command of this node's.
class ControlProposal : public raft::Proposal {
 public:
  // On the apply strand.
  virtual void Complete(const ControlResult& result) = 0;
};

}  // namespace flotilla::kv
