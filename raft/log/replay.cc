#include "raft/log/replay.h"

#include <fmt/format.h>

#include <algorithm>

namespace flotilla::raft::log {
namespace {

void TruncateFrom(ReplayedGroup& group, Index index) {
  group.configurations.erase(group.configurations.lower_bound(index), group.configurations.end());
  if (index <= group.first) {
    group.items.Clear();
  } else if (index <= group.last()) {
    group.items.PopBack(group.last() - index + 1);
  }
}

void StartAfter(ReplayedGroup& group, Index index, Term term) {
  group.start = index;
  group.start_term = term;
  group.configurations.erase(group.configurations.begin(), group.configurations.upper_bound(index));
  if (index >= group.last()) {
    group.items.Clear();
  } else if (index >= group.first) {
    group.items.PopFront(index - group.first + 1);
    group.first = index.Next();
  }
  if (group.items.empty()) group.first = index.Next();
}

}  // namespace

// Gaps take memory until copies fill them: beyond what the log can hold it is not believed.
bool Replay::PutEntry(ReplayedGroup& group, const Record& record, std::uint32_t generation,
                      std::uint32_t offset) const {
  const Index index = record.index;
  if (group.items.empty()) group.first = index;
  if (index < group.first) {
    if (group.first - index > entries_max_) return false;
    group.items.PushFront(group.first - index);
    group.first = index;
  }
  if (index > group.last()) {
    if (index - group.last() > entries_max_) return false;
    while (group.last() < index) group.items.PushBack(IndexItem());
  }
  IndexItem& item = group.items[index - group.first];
  item.term = record.term;
  item.generation = generation;
  item.offset = offset;
  item.bytes = record.payload_bytes;
  item.kind = record.entry_kind;
  return true;
}

bool Replay::ApplyEntry(ReplayedGroup& group, const Record& record, std::uint32_t generation,
                        std::uint32_t offset, std::string& what) const {
  if (!record.index || !record.term) {
    what = "an entry has no index or no term";
    return false;
  }
  if (record.kind == RecordKind::kEntry) TruncateFrom(group, record.index);
  // Released before it was written itself.
  if (record.index <= group.start) return true;
  if (!PutEntry(group, record, generation, offset)) {
    what = fmt::format("entry {} is too far from the group's other entries", record.index.value());
    return false;
  }
  group.configurations.erase(record.index);
  if (record.entry_kind != EntryKind::kConfiguration) return true;
  if (!DecodeConfiguration(record.payload, group.configurations[record.index])) {
    what = fmt::format("entry {} is not a configuration", record.index.value());
    return false;
  }
  return true;
}

bool Replay::Apply(const Record& record, std::uint32_t generation, std::uint32_t offset,
                   std::string& what) {
  if (!record.group) {
    what = "a record has no group";
    return false;
  }
  if (record.kind == RecordKind::kRemove) {
    groups_.erase(record.group);
    return true;
  }
  ReplayedGroup& group = groups_[record.group];
  switch (record.kind) {
    case RecordKind::kHardState:
    case RecordKind::kForgottenHardState:
      group.hard_state = record.hard_state;
      group.hard_state_generation = generation;
      return true;
    case RecordKind::kEntry:
    case RecordKind::kRewrittenEntry:
      return ApplyEntry(group, record, generation, offset, what);
    case RecordKind::kReset:
      TruncateFrom(group, Index());
      StartAfter(group, record.index, record.term);
      group.start_generation = generation;
      return true;
    case RecordKind::kStart:
      StartAfter(group, record.index, record.term);
      group.start_generation = generation;
      return true;
    case RecordKind::kRemove:
      break;
  }
  return true;
}

std::optional<Replay::Gap> Replay::FindGap() const {
  for (const auto& [id, group] : groups_) {
    if (group.items.empty()) continue;
    if (group.first != group.start.Next()) return Gap{id, group.start.Next()};
    for (std::size_t i = 0; i < group.items.size(); ++i) {
      if (group.items[i].generation == 0) return Gap{id, group.first + i};
    }
  }
  return std::nullopt;
}

}  // namespace flotilla::raft::log
