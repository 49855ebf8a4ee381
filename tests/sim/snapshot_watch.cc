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

class SnapshotWatch::Sink final : public AnswerSink {
 public:
  Sink(std::weak_ptr<SnapshotWatch*> watch, int node, std::shared_ptr<Look> look)
      : watch_(std::move(watch)), node_(node), look_(std::move(look)) {}
  void OnAnswers(std::vector<GatewayAnswer> answers) override {
    if (const auto watch = watch_.lock()) (*watch)->OnAnswer(node_, look_, answers.front());
  }

 private:
  const std::weak_ptr<SnapshotWatch*> watch_;
  const int node_;
  const std::shared_ptr<Look> look_;
};

void SnapshotWatch::Next() {
  const auto between = static_cast<std::int64_t>(
      random_.Below(static_cast<std::uint64_t>(Duration(kBetweenMax).count()) + 1));
  loop_->At(loop_->now() + Duration(between), kNoProcess, kAct, [this] {
    if (ended_) return;
    Act();
    Next();
  });
}

int SnapshotWatch::AnyNode() {
  const int node = static_cast<int>(random_.Below(static_cast<std::uint64_t>(cluster_->size())));
  return cluster_->running(node) && !loop_->paused(SimCluster::IdOf(node)) ? node : -1;
}

void SnapshotWatch::Act() {
  if (snapshots_.empty() || random_.Chance(0.3)) {
    const int node = AnyNode();
    if (node < 0) return;
    cluster_->node(node)->TakeTimestamps(1, cluster_->process(node)->Now() + kWithin,
                                         [weak = std::weak_ptr(self_)](auto taken) {
                                           const auto watch = weak.lock();
                                           if (watch && taken.ok()) (*watch)->Begin(*taken);
                                         });
    return;
  }
  const std::size_t from =
      random_.Chance(0.9) && snapshots_.size() > kRecent ? snapshots_.size() - kRecent : 0;
  Read(from + random_.Below(snapshots_.size() - from));
}

void SnapshotWatch::Begin(Timestamp as_of) {
  snapshots_.push_back(
      {.keyspace = keyspaces_[random_.Below(keyspaces_.size())], .as_of = as_of, .rows = nullptr});
  Read(snapshots_.size() - 1);
}

void SnapshotWatch::Read(std::size_t snapshot) {
  const int node = AnyNode();
  if (node < 0) return;
  const auto keyspace = cluster_->node(node)->gateway().FindKeyspace(snapshots_[snapshot].keyspace);
  if (!keyspace) return;
  auto look = std::make_shared<Look>();
  look->snapshot = snapshot;
  look->gets = random_.Chance(0.5);
  look->scan = {.keyspace = *keyspace,
                .start = "key",
                .end = "key~",
                .reverse = random_.Chance(0.3),
                .as_of = snapshots_[snapshot].as_of,
                .limit = kRowsPerPage};
  Ask(node, look);
}

void SnapshotWatch::Ask(int node, const std::shared_ptr<Look>& look) {
  std::vector<GatewayRequest> requests(1);
  requests[0].deadline = cluster_->process(node)->Now() + kWithin;
  if (look->gets) {
    BatchGetCall call{.keyspace = look->scan.keyspace, .keys = {}, .as_of = look->scan.as_of};
    for (int key = 0; key < kKeys; ++key) call.keys.push_back("key" + std::to_string(key));
    requests[0].call = std::move(call);
  } else {
    requests[0].call = ScanCall{.request = look->scan};
  }
  cluster_->node(node)->gateway().Submit(std::move(requests),
                                         std::make_shared<Sink>(self_, node, look));
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
