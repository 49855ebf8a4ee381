#include "kv/control.h"

#include <algorithm>
#include <utility>

#include "base/coding.h"
#include "base/planted.h"
#include "kv/key_codec.h"

namespace flotilla::kv {
namespace {

constexpr std::uint8_t kVersion = 0x81;

enum class Kind : std::uint8_t {
  kSetRange = 1,
  kSplit = 2,
  kFreeze = 3,
  kUnfreeze = 4,
  kAbsorb = 5,
};

// Appends kind, epoch and fields.
class Encoder {
 public:
  Encoder(std::string& out, Epoch epoch) : out_(out), epoch_(epoch) {}

  void operator()(const SetRange& change) {
    Head(Kind::kSetRange);
    AppendPrefixed(out_, change.start);
    AppendPrefixed(out_, change.end);
  }
  void operator()(const Split& change) {
    Head(Kind::kSplit);
    AppendVarint(out_, change.child.value());
    AppendPrefixed(out_, change.split_key);
  }
  void operator()(const Freeze&) { Head(Kind::kFreeze); }
  void operator()(const Unfreeze&) { Head(Kind::kUnfreeze); }
  void operator()(const Absorb& change) {
    Head(Kind::kAbsorb);
    AppendVarint(out_, change.right.value());
    AppendPrefixed(out_, EncodeShardRange(change.held));
    AppendVarint(out_, change.frozen_at.value());
  }

 private:
  void Head(Kind kind) {
    out_.push_back(static_cast<char>(kind));
    AppendVarint(out_, epoch_.value());
  }

  std::string& out_;
  const Epoch epoch_;
};

bool ReadChange(Reader& reader, std::uint8_t kind, ControlCommand& command) {
  std::string_view first;
  std::string_view second;
  switch (static_cast<Kind>(kind)) {
    case Kind::kSetRange:
      if (!reader.Prefixed(first) || !reader.Prefixed(second)) return false;
      command.change = SetRange{.start = std::string(first), .end = std::string(second)};
      return true;
    case Kind::kSplit: {
      std::uint64_t child = 0;
      if (!reader.Varint(child) || !reader.Prefixed(first)) return false;
      command.change = Split{.child = GroupId(child), .split_key = std::string(first)};
      return true;
    }
    case Kind::kFreeze:
      command.change = Freeze{};
      return true;
    case Kind::kUnfreeze:
      command.change = Unfreeze{};
      return true;
    case Kind::kAbsorb: {
      std::uint64_t right = 0;
      std::uint64_t index = 0;
      Absorb absorb;
      if (!reader.Varint(right) || !reader.Prefixed(first) || !reader.Varint(index) ||
          !DecodeShardRange(first, absorb.held)) {
        return false;
      }
      absorb.right = GroupId(right);
      absorb.frozen_at = raft::Index(index);
      command.change = std::move(absorb);
      return true;
    }
  }
  return false;
}

bool IsRange(std::string_view start, std::string_view end) {
  return (end.empty() || start < end) && IsBoundary(start) && IsBoundary(end);
}

// Changes the range, but for the epoch; says why not.
class Evaluation {
 public:
  Evaluation(GroupId group, bool simple_configuration, ShardRange& range)
      : group_(group), simple_configuration_(simple_configuration), range_(range) {}

  ControlOutcome operator()(const SetRange& change) {
    if (range_.frozen) return ControlOutcome::kFrozen;
    if (!IsRange(change.start, change.end)) return ControlOutcome::kUnfit;
    range_.start = change.start;
    range_.end = change.end;
    return ControlOutcome::kApplied;
  }
  ControlOutcome operator()(const Split& change) {
    if (range_.frozen) return ControlOutcome::kFrozen;
    const bool inside = change.split_key > range_.start && range_.Contains(change.split_key);
    if (!inside || !IsBoundary(change.split_key) || !change.child || change.child == group_) {
      return ControlOutcome::kUnfit;
    }
    if (!simple_configuration_ && !Planted(Plant::kSplitAmidChange)) {
      return ControlOutcome::kMembersChanging;
    }
    range_.end = change.split_key;
    return ControlOutcome::kApplied;
  }
  ControlOutcome operator()(const Freeze&) {
    if (range_.frozen) return ControlOutcome::kFrozen;
    range_.frozen = true;
    return ControlOutcome::kApplied;
  }
  ControlOutcome operator()(const Unfreeze&) {
    if (!range_.frozen) return ControlOutcome::kNotFrozen;
    range_.frozen = false;
    return ControlOutcome::kApplied;
  }
  ControlOutcome operator()(const Absorb& change) {
    if (range_.frozen) return ControlOutcome::kFrozen;
    const ShardRange& held = change.held;
    const bool neighbour = !range_.end.empty() && held.start == range_.end &&
                           (held.end.empty() || held.start < held.end);
    if (!neighbour || !held.frozen || !change.right || change.right == group_) {
      return ControlOutcome::kUnfit;
    }
    if (!simple_configuration_) return ControlOutcome::kMembersChanging;
    range_.end = held.end;
    range_.epoch = std::max(range_.epoch, held.epoch);
    return ControlOutcome::kApplied;
  }

 private:
  const GroupId group_;
  const bool simple_configuration_;
  ShardRange& range_;
};

}  // namespace

std::string EncodeControl(const ControlCommand& command) {
  std::string out(1, static_cast<char>(kVersion));
  std::visit(Encoder(out, command.expected_epoch), command.change);
  return out;
}

StatusOr<ControlCommand> DecodeControl(std::string_view bytes) {
  Reader reader(bytes);
  std::uint8_t version = 0;
  std::uint8_t kind = 0;
  std::uint64_t epoch = 0;
  ControlCommand command;
  if (!reader.Byte(version) || version != kVersion || !reader.Byte(kind) || !reader.Varint(epoch) ||
      !ReadChange(reader, kind, command) || !reader.empty()) {
    return Error(Reason::kDataDamaged, "a log entry is not a control command of this version");
  }
  command.expected_epoch = Epoch(epoch);
  return command;
}

ControlResult Evaluate(const ControlCommand& command, GroupId group, const ShardRange& range,
                       bool simple_configuration) {
  ControlResult result{.outcome = ControlOutcome::kEpochDiffers, .range = range, .index = {}};
  if (command.expected_epoch != range.epoch && !Planted(Plant::kEpochUnchecked)) return result;
  result.outcome =
      std::visit(Evaluation(group, simple_configuration, result.range), command.change);
  if (result.outcome == ControlOutcome::kApplied) result.range.epoch = result.range.epoch.Next();
  return result;
}

ShardRange ChildRange(const Split& split, const ShardRange& before) {
  return {.start = split.split_key, .end = before.end, .epoch = before.epoch.Next()};
}

}  // namespace flotilla::kv
