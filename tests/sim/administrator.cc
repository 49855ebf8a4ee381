#include "tests/sim/administrator.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kv/key_codec.h"
#include "kv/slots.h"
#include "shard/directory/job_edits.h"

namespace flotilla::sim {
namespace {

constexpr std::uint32_t kAdminister = 52;
constexpr Duration kPatience = std::chrono::seconds(5);
constexpr Duration kChangesMindWithin = std::chrono::milliseconds(300);
// More cost more than they tell.
constexpr std::size_t kShardsMax = 18;
constexpr std::size_t kReplicasMin = 3;
constexpr std::size_t kReplicasMax = 5;
constexpr char kRanged[] = "ranged";
constexpr char kHashed[] = "hashed";
// Comes and goes.
constexpr char kSide[] = "side";

KeyspaceSpec SpecOf(std::string name) {
  KeyspaceSpec spec;
  spec.name = std::move(name);
  spec.retention = std::chrono::minutes(10);
  return spec;
}

}  // namespace

Administrator::Administrator(const Options& options, EventLoop* loop, SimCluster* cluster)
    : options_(options), loop_(loop), cluster_(cluster), random_(options.seed) {}

std::vector<KeyspaceSpec> Administrator::FirstKeyspaces() {
  KeyspaceSpec ranged = SpecOf(kRanged);
  ranged.split_keys = {"key3", "key6", "mark10", "mark20"};
  KeyspaceSpec hashed = SpecOf(kHashed);
  hashed.partitioning = Partitioning::kHash;
  hashed.shards = 3;
  return {ranged, hashed};
}

void Administrator::MakeKeyspaces() {
  for (const KeyspaceSpec& spec : FirstKeyspaces()) MakeKeyspace(spec);
}

void Administrator::MakeKeyspace(const KeyspaceSpec& spec) {
  Ask(CreateKeyspaceCall{.spec = spec}, [this, spec](const DirectoryAnswer& answer) {
    const Reason reason = ReasonOf(answer.status);
    if (answer.status.ok() || reason == Reason::kKeyspaceExists) return;
    loop_->At(loop_->now() + std::chrono::milliseconds(100), kNoProcess, kAdminister,
              [this, spec] { MakeKeyspace(spec); });
  });
}

std::shared_ptr<const DirectoryImage> Administrator::View() const {
  auto newest = std::make_shared<const DirectoryImage>();
  for (int node = 0; node < cluster_->size(); ++node) {
    if (!cluster_->running(node)) continue;
    std::shared_ptr<const DirectoryImage> image = cluster_->node(node)->DirectoryView();
    if (image->version() >= newest->version()) newest = std::move(image);
  }
  return newest;
}

bool Administrator::ready() const {
  const std::shared_ptr<const DirectoryImage> image = View();
  const std::vector<KeyspaceSpec> specs = FirstKeyspaces();
  const bool made = std::all_of(specs.begin(), specs.end(), [&](const KeyspaceSpec& spec) {
    return image->FindKeyspace(spec.name) != nullptr;
  });
  return made && std::all_of(image->shards().begin(), image->shards().end(), [&](const auto& one) {
           for (int node = 0; node < cluster_->size(); ++node) {
             if (cluster_->Leads(node, one.first)) return true;
           }
           return false;
         });
}

std::vector<kv::KeyspaceId> Administrator::keyspaces() const {
  std::vector<kv::KeyspaceId> ids = {kv::kDefaultKeyspace};
  const std::shared_ptr<const DirectoryImage> image = View();
  for (const KeyspaceSpec& spec : FirstKeyspaces()) {
    ids.push_back(image->FindKeyspace(spec.name)->id);
  }
  return ids;
}

bool Administrator::Settled() const {
  const std::shared_ptr<const DirectoryImage> image = View();
  return std::all_of(image->jobs().begin(), image->jobs().end(),
                     [](const auto& one) { return Ended(one.second); });
}

std::uint64_t Administrator::JobsDone() const {
  const std::shared_ptr<const DirectoryImage> image = View();
  return static_cast<std::uint64_t>(
      std::count_if(image->jobs().begin(), image->jobs().end(),
                    [](const auto& one) { return one.second.state == JobState::kDone; }));
}

std::string Administrator::Describe() const {
  std::string text;
  const std::shared_ptr<const DirectoryImage> image = View();
  for (const auto& [id, job] : image->jobs()) {
    if (Ended(job)) continue;
    text += fmt::format(
        "\n  job {} of kind {}, state {}: shard {}, other {}, from node {} to {}: {}", id.value(),
        static_cast<int>(job.kind), static_cast<int>(job.state), job.group.value(),
        job.other.value(), job.from.value(), job.to.value(), job.step);
  }
  return text;
}

// ---- acting -----------------------------------------------------------------------------------

void Administrator::Ask(DirectoryCall call) {
  Ask(std::move(call), [](const DirectoryAnswer&) {});
}

void Administrator::Ask(DirectoryCall call, std::function<void(const DirectoryAnswer&)> done) {
  std::vector<int> nodes;
  for (int node = 0; node < cluster_->size(); ++node) {
    if (cluster_->running(node) && !loop_->paused(SimCluster::IdOf(node))) nodes.push_back(node);
  }
  if (nodes.empty()) return;
  const int node = nodes[random_.Below(nodes.size())];
  cluster_->node(node)->ChangeDirectory(
      std::move(call), cluster_->process(node)->Now() + kPatience,
      [done = std::move(done)](const DirectoryAnswer& answer) { done(answer); });
}

void Administrator::Next() {
  const auto wait = static_cast<std::int64_t>(
      random_.Below(static_cast<std::uint64_t>(options_.between_max.count()) + 1));
  loop_->At(loop_->now() + Duration(wait), kNoProcess, kAdminister, [this] {
    if (ended_) return;
    Act();
    Next();
  });
}

void Administrator::Act() {
  const std::shared_ptr<const DirectoryImage> image = View();
  if (image->shards().empty()) return;
  const std::uint64_t dice = random_.Below(20);
  if (dice < 7) return Split(*image);
  if (dice < 12) return Move(*image);
  if (dice < 16) return Merge(*image);
  if (dice < 17) return Cancel(*image);
  if (dice < 19) return ChangeSideKeyspace(*image);
  Alter();
}

const ShardDescriptor& Administrator::AnyShard(const DirectoryImage& image) {
  const auto at = static_cast<std::ptrdiff_t>(random_.Below(image.shards().size()));
  return std::next(image.shards().begin(), at)->second;
}

std::string Administrator::AnyKey() {
  if (random_.Chance(0.5)) return "key" + std::to_string(random_.Below(8));
  if (random_.Chance(0.8)) return fmt::format("mark{:02}", random_.Below(30));
  return "other" + std::to_string(random_.Below(20));
}

void Administrator::Split(const DirectoryImage& image) {
  if (image.shards().size() >= kShardsMax) return Merge(image);
  SplitCall call;
  const ShardDescriptor* shard = &AnyShard(image);
  if (random_.Chance(0.6)) {
    const kv::KeyspaceId keyspace = shard->keyspace;
    call.key = kv::IsHashed(keyspace)
                   ? kv::SlotBound(keyspace, static_cast<std::uint32_t>(random_.Below(kv::kSlots)))
                   : kv::EncodeKey(keyspace, AnyKey());
    shard = image.Locate(call.key);
    if (shard == nullptr) return;
  }
  call.group = shard->group;
  const bool changes_mind = random_.Chance(0.15);
  Ask(std::move(call), [this, changes_mind](const DirectoryAnswer& answer) {
    if (!answer.status.ok() || !changes_mind) return;
    const auto wait = static_cast<std::int64_t>(
        random_.Below(static_cast<std::uint64_t>(Duration(kChangesMindWithin).count())));
    loop_->At(loop_->now() + Duration(wait), kNoProcess, kAdminister,
              [this, job = answer.job] { Ask(CancelJobCall{.job = job}); });
  });
}

void Administrator::Move(const DirectoryImage& image) {
  const ShardDescriptor& shard = AnyShard(image);
  std::vector<NodeId> here(shard.voters.begin(), shard.voters.end());
  std::vector<NodeId> elsewhere;
  for (const auto& [node, record] : image.nodes()) {
    if (!shard.voters.contains(node)) elsewhere.push_back(node);
  }
  if (elsewhere.empty() && here.size() <= kReplicasMin) return;
  MoveCall call{.group = shard.group, .from = {}, .to = {}};
  const bool only_adds = here.size() < kReplicasMax && random_.Chance(0.15) && !elsewhere.empty();
  const bool only_removes = elsewhere.empty() || here.size() > kReplicasMin;
  if (!only_adds) call.from = here[random_.Below(here.size())];
  if (only_adds || !only_removes) call.to = elsewhere[random_.Below(elsewhere.size())];
  Ask(call);
}

void Administrator::Merge(const DirectoryImage& image) {
  Ask(MergeCall{.left = AnyShard(image).group});
}

void Administrator::Cancel(const DirectoryImage& image) {
  for (const auto& [id, job] : image.jobs()) {
    if (!Ended(job) && random_.Chance(0.5)) return Ask(CancelJobCall{.job = id});
  }
}

void Administrator::ChangeSideKeyspace(const DirectoryImage& image) {
  if (image.FindKeyspace(kSide) != nullptr) return Ask(DropKeyspaceCall{.name = kSide});
  KeyspaceSpec spec = SpecOf(kSide);
  if (random_.Chance(0.5)) {
    spec.partitioning = Partitioning::kHash;
    spec.shards = 2;
  }
  Ask(CreateKeyspaceCall{.spec = std::move(spec)});
}

void Administrator::Alter() {
  AlterKeyspaceCall call;
  call.name = random_.Chance(0.5) ? kRanged : kHashed;
  call.retention = std::chrono::seconds(random_.Between(1, 600));
  Ask(std::move(call));
}

}  // namespace flotilla::sim
