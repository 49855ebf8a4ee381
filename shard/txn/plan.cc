#include "shard/txn/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "kv/key_codec.h"

namespace flotilla {
namespace {

// What one entry of a log takes.
constexpr std::size_t kPartBytesMax = 512 << 10;
constexpr std::size_t kPartItemsMax = 4'000;

constexpr std::uint64_t kCommitMs = 5'000;
constexpr std::uint64_t kCommitMsPerMiB = 500;

// A write, a key or a part of a range that was read, in the order of keys.
struct Item {
  std::string start;
  std::string end = {};  // of a range
  const WriteBuffer::Write* write = nullptr;
  std::optional<Timestamp> version = {};  // that a key was locked with
  Timestamp as_of = {};                   // of a range that was locked

  std::size_t bytes() const {
    return 32 + start.size() + end.size() + (write != nullptr ? write->value.size() : 0);
  }
};

Status Dropped(kv::KeyspaceId keyspace) {
  return Error(Reason::kKeyspaceNotFound,
               fmt::format("keyspace {} is not there any more: it was dropped", keyspace.value()));
}

// All items; ranges are cut where shards end.
StatusOr<std::vector<Item>> ItemsOf(const CommitRequest& request, const DirectoryImage& image) {
  std::vector<Item> items;
  for (const auto& [key, write] : request.writes) {
    items.push_back({.start = kv::EncodeKey(key.first, key.second), .write = &write});
  }
  std::sort(items.begin(), items.end(),
            [](const Item& a, const Item& b) { return a.start < b.start; });
  const std::size_t writes = items.size();
  const auto is_written = [&](const std::string& key) {
    const auto end = items.begin() + static_cast<std::ptrdiff_t>(writes);
    const auto found = std::lower_bound(
        items.begin(), end, key, [](const Item& item, const auto& k) { return item.start < k; });
    return found != end && found->start == key;
  };
  for (const auto& [key, version] : request.reads.keys()) {
    // That a written key is unchanged is checked with the write.
    if (version || !is_written(key)) items.push_back({.start = key, .version = version});
  }
  for (const auto& [start, range] : request.reads.ranges()) {
    const auto shards = image.Overlapping(start, range.end);
    if (shards.empty()) return Dropped(kv::KeyspaceOf(start));
    for (const ShardDescriptor* shard : shards) {
      items.push_back({.start = std::max(start, shard->start),
                       .end = std::min(range.end, shard->end),
                       .as_of = range.as_of});
    }
  }
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return std::tie(a.start, a.end) < std::tie(b.start, b.end);
  });
  return items;
}

class Parting {
 public:
  explicit Parting(const CommitRequest& request) : request_(request) {}

  // One after the other, in the order of keys.
  void Add(const Item& item, GroupId group) {
    if (parts_.empty() || group != group_ || bytes_ + item.bytes() > kPartBytesMax ||
        items_ >= kPartItemsMax) {
      kv::TxnPrepare& prepare = parts_.emplace_back();
      prepare.isolation = request_.isolation;
      prepare.part = static_cast<std::uint32_t>(parts_.size() - 1);
      prepare.valid_until_ms = request_.valid_until_ms;
      prepare.coordinator = request_.coordinator;
      prepare.as_of = request_.reads_at;
      spans_.push_back({.first = item.start, .last = item.start});
      group_ = group;
      bytes_ = 0;
      items_ = 0;
    }
    bytes_ += item.bytes();
    ++items_;
    kv::TxnPrepare& prepare = parts_.back();
    if (!item.end.empty()) {
      prepare.ranges.push_back({.start = item.start, .end = item.end, .as_of = item.as_of});
    } else if (item.write == nullptr) {
      prepare.checks.push_back({.key = item.start,
                                .exact = item.version.has_value(),
                                .version = item.version.value_or(Timestamp())});
    } else {
      prepare.writes.push_back({.deletes = item.write->deletes,
                                .key = item.start,
                                .value = item.write->value,
                                .ttl_ms = item.write->ttl_ms});
      const bool named = request_.anchor.empty() || request_.anchor == item.start;
      if (anchor_.empty() && named) {
        anchor_ = item.start;
        anchored_ = parts_.size() - 1;
      }
    }
    kv::TxnPart& span = spans_.back();
    span.last = std::max(span.last, item.end.empty() ? item.start : item.end);
  }

  StatusOr<CommitPlan> Finish() {
    if (parts_.size() > kv::kTxnPartsMax) {
      return Error(Reason::kBatchTooLarge,
                   fmt::format("the transaction has parts in too many groups ({}, the limit is "
                               "{}): read and write less in one",
                               parts_.size(), kv::kTxnPartsMax));
    }
    CommitPlan plan;
    if (anchor_.empty()) anchor_ = spans_.front().first;  // nothing is written
    plan.anchor = anchor_;
    plan.valid_until_ms = request_.valid_until_ms;
    const bool one_phase = parts_.size() == 1;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      kv::TxnPrepare& prepare = parts_[i];
      prepare.anchor = anchor_;
      prepare.one_phase = one_phase;
      if (!one_phase && i == anchored_) prepare.parts = spans_;
      if (i == anchored_) prepare.session = request_.session;
      plan.parts.push_back(
          {.span = spans_[i],
           .prepare = Bytes(kv::EncodeTxnCommand(
               {.key = spans_[i].first, .txn = request_.txn, .step = std::move(prepare)}))});
    }
    return plan;
  }

 private:
  const CommitRequest& request_;
  GroupId group_;
  std::size_t bytes_ = 0;
  std::size_t items_ = 0;
  std::string anchor_;
  std::size_t anchored_ = 0;
  std::vector<kv::TxnPrepare> parts_;
  std::vector<kv::TxnPart> spans_;
};

}  // namespace

std::uint64_t CommitWithinMs(std::size_t bytes) {
  return kCommitMs + kCommitMsPerMiB * (bytes >> 20);
}

StatusOr<CommitPlan> PlanCommit(const CommitRequest& request, const DirectoryImage& image) {
  ASSIGN_OR_RETURN(const std::vector<Item> items, ItemsOf(request, image));
  Parting parting(request);
  for (const Item& item : items) {
    const ShardDescriptor* shard = image.Locate(item.start);
    if (shard == nullptr && !image.shards().empty()) return Dropped(kv::KeyspaceOf(item.start));
    parting.Add(item, shard == nullptr ? kFirstDataGroup : shard->group);
  }
  return parting.Finish();
}

bool IsWhole(const kv::TxnPart& part, const DirectoryImage& image) {
  const ShardDescriptor* shard = image.Locate(part.first);
  return shard != nullptr && (shard->Contains(part.last) || shard->end == part.last);
}

}  // namespace flotilla
