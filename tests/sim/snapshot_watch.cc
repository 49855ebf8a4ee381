#include "tests/sim/snapshot_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace flotilla::sim {
namespace {

constexpr std::uint32_t kAct = 52;
constexpr Duration kBetweenMax = std::chrono::milliseconds(60);
constexpr Duration kWithin = std::chrono::seconds(5);
// Those that are read once more are mostly among the last.
constexpr std::size_t kRecent = 6;
constexpr int kKeys = 8;
constexpr std::uint32_t kRowsPerPage = 3;

}  // namespace

SnapshotWatch::SnapshotWatch(EventLoop* loop, SimCluster* cluster,
                             std::vector<std::string> keyspaces, std::uint64_t seed)
    : loop_(loop),
      cluster_(cluster),
      keyspaces_(std::move(keyspaces)),
      roamer_({.seed = seed, .event = kAct, .between_max = kBetweenMax, .within = kWithin}, loop,
              cluster) {}

void SnapshotWatch::Act() {
  Random& random = roamer_.random();
  if (snapshots_.empty() || random.Chance(0.3)) {
    const std::optional<int> node = roamer_.AnyNode();
    if (!node) return;
    roamer_.TakeTimestamps(*node, 1, [this](const StatusOr<Timestamp>& taken) {
      if (taken.ok()) Begin(*taken);
    });
    return;
  }
  const std::size_t from =
      random.Chance(0.9) && snapshots_.size() > kRecent ? snapshots_.size() - kRecent : 0;
  Read(from + random.Below(snapshots_.size() - from));
}

void SnapshotWatch::Begin(Timestamp as_of) {
  snapshots_.push_back({.keyspace = keyspaces_[roamer_.random().Below(keyspaces_.size())],
                        .as_of = as_of,
                        .rows = nullptr});
  Read(snapshots_.size() - 1);
}

void SnapshotWatch::Read(std::size_t snapshot) {
  const std::optional<int> node = roamer_.AnyNode();
  if (!node) return;
  const auto keyspace =
      cluster_->node(*node)->gateway().FindKeyspace(snapshots_[snapshot].keyspace);
  if (!keyspace) return;
  auto look = std::make_shared<Look>();
  look->snapshot = snapshot;
  look->gets = roamer_.random().Chance(0.5);
  look->scan = {.keyspace = *keyspace,
                .start = "key",
                .end = "key~",
                .reverse = roamer_.random().Chance(0.3),
                .as_of = snapshots_[snapshot].as_of,
                .limit = kRowsPerPage};
  Ask(*node, look);
}

void SnapshotWatch::Ask(int node, const std::shared_ptr<Look>& look) {
  GatewayCall what = ScanCall{.request = look->scan};
  if (look->gets) {
    BatchGetCall call{.keyspace = look->scan.keyspace, .keys = {}, .as_of = look->scan.as_of};
    for (int key = 0; key < kKeys; ++key) call.keys.push_back("key" + std::to_string(key));
    what = std::move(call);
  }
  roamer_.Ask(node, std::move(what),
              [this, node, look](GatewayAnswer answer) { OnAnswer(node, look, answer); });
}

void SnapshotWatch::OnAnswer(int node, const std::shared_ptr<Look>& look, GatewayAnswer& answer) {
  loop_->Trace(static_cast<std::uint64_t>(ReasonOf(answer.status)));
  if (!answer.status.ok()) return;
  if (look->gets) {
    auto& found = std::get<std::vector<kv::GetResult>>(answer.result);
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (!found[i].found) continue;
      look->rows["key" + std::to_string(i)] = {found[i].version, std::move(found[i].value)};
    }
    Judge(*look);
    return;
  }
  auto& page = std::get<kv::ScanPage>(answer.result);
  for (kv::ScanRow& row : page.rows) look->rows[row.key] = {row.version, std::move(row.value)};
  if (!page.more) {
    Judge(*look);
    return;
  }
  (look->scan.reverse ? look->scan.end : look->scan.start) = page.resume_key;
  if (cluster_->running(node)) Ask(node, look);
}

void SnapshotWatch::Judge(const Look& look) {
  ++whole_;
  Snapshot& snapshot = snapshots_[look.snapshot];
  compared_ += snapshot.rows != nullptr ? 1 : 0;
  if (failure_.empty()) failure_ = Contradiction(snapshot, look.rows);
  if (!snapshot.rows) snapshot.rows = std::make_shared<const Rows>(look.rows);
}

std::string SnapshotWatch::Contradiction(const Snapshot& snapshot, const Rows& rows) const {
  const auto describe = [&](const std::string& key) {
    return fmt::format("as of timestamp {}, '{}' in keyspace '{}'", snapshot.as_of.value(), key,
                       snapshot.keyspace);
  };
  for (const auto& [key, row] : rows) {
    if (row.first > snapshot.as_of) {
      return fmt::format("{} has version {}", describe(key), row.first.value());
    }
    const auto known = puts_.find({snapshot.keyspace, key});
    if (known == puts_.end()) continue;
    const auto newer = known->second.upper_bound(row.first);
    if (newer != known->second.end() && *newer <= snapshot.as_of) {
      return fmt::format("{} has version {}, and a write at {} was acknowledged", describe(key),
                         row.first.value(), newer->value());
    }
  }
  if (!snapshot.rows || *snapshot.rows == rows) return "";
  const auto differs = [&](const Rows& these, const Rows& those) {
    for (const auto& [key, row] : these) {
      const auto other = those.find(key);
      if (other != those.end() && other->second == row) continue;
      return fmt::format("{} has version {} in one read, and {} in another", describe(key),
                         row.first.value(), other == those.end() ? 0 : other->second.first.value());
    }
    return std::string();
  };
  const std::string first = differs(rows, *snapshot.rows);
  return first.empty() ? differs(*snapshot.rows, rows) : first;
}

}  // namespace flotilla::sim
