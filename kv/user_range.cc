#include "kv/user_range.h"

#include "kv/key_codec.h"
#include "kv/slots.h"

namespace flotilla::kv {
namespace {

constexpr int kStepsMax = 8;

}  // namespace

UserRange::UserRange(KeyspaceId keyspace, std::string_view start, std::string_view end,
                     std::uint32_t first_slot, std::uint32_t past_last_slot)
    : prefix_(PrefixBytes(keyspace)) {
  if (!start.empty()) AppendEscaped(start_, start);
  if (!end.empty()) AppendEscaped(end_, end);
  if (IsHashed(keyspace)) {
    first_ = SlotBound(keyspace, first_slot);
    past_last_ = SlotBound(keyspace, past_last_slot);
  } else {
    first_ = RangeStart(keyspace, start);
    past_last_ = RangeEnd(keyspace, end);
  }
}

UserRange::Place UserRange::PlaceOf(std::string_view encoded) const {
  const std::string_view user = UserPart(encoded);
  if (user < start_) return Place::kBefore;
  return end_.empty() || user < end_ ? Place::kInside : Place::kAfter;
}

std::string UserRange::SlotStart(std::string_view encoded) const {
  return std::string(encoded.substr(0, prefix_));
}

std::string UserRange::SlotEnd(std::string_view encoded) const {
  std::string end = SlotStart(encoded);
  // What follows the highest slot of a keyspace is the next keyspace.
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (!end.empty()) ++end.back();
  return end.empty() || end > past_last_ ? past_last_ : end;
}

std::string UserRange::RunStart(std::string_view encoded) const {
  return SlotStart(encoded) + start_;
}

std::string UserRange::RunEnd(std::string_view encoded) const {
  return end_.empty() ? SlotEnd(encoded) : SlotStart(encoded) + end_;
}

void UserRange::SkipForward(rocksdb::Iterator& rows, std::string_view encoded, Place place) const {
  const std::string target = place == Place::kBefore ? RunStart(encoded) : SlotEnd(encoded);
  StepTo(rows, target);
}

void StepTo(rocksdb::Iterator& rows, const std::string& target) {
  for (int i = 0; i < kStepsMax; ++i) {
    if (!rows.Valid() || rows.key().compare(target) >= 0) return;
    rows.Next();
  }
  if (rows.Valid() && rows.key().compare(target) < 0) rows.Seek(target);
}

void StepBackBefore(rocksdb::Iterator& rows, const std::string& target) {
  for (int i = 0; i < kStepsMax; ++i) {
    if (!rows.Valid() || rows.key().compare(target) < 0) return;
    rows.Prev();
  }
  if (!rows.Valid() || rows.key().compare(target) < 0) return;
  rows.SeekForPrev(target);
  if (rows.Valid() && rows.key().compare(target) >= 0) rows.Prev();
}

}  // namespace flotilla::kv
