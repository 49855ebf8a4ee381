#include "shard/scatter.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "kv/key_codec.h"

namespace flotilla {
namespace {

// Before a part that was turned away is parted again: the directory needs a moment.
constexpr Duration kPause = std::chrono::milliseconds(10);

}  // namespace

Scatter::Scatter(const World& world, const GatewayRequest& request, Done done)
    : world_(world),
      deadline_(request.deadline),
      call_(std::get<BatchGetCall>(request.call)),
      done_(std::move(done)),
      results_(call_.keys.size()) {}

void Scatter::Start(const World& world, const GatewayRequest& request, Done done) {
  const std::shared_ptr<Scatter> scatter(new Scatter(world, request, std::move(done)));
  Numbers all(scatter->call_.keys.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  scatter->Ask(all);
}

std::vector<Scatter::Numbers> Scatter::PartByShard(const Numbers& keys) const {
  const std::shared_ptr<const DirectoryImage> image = world_.directory->image();
  std::map<GroupId, Numbers> by_shard;
  for (const std::size_t key : keys) {
    const ShardDescriptor* shard = image->Locate(kv::EncodeKey(call_.keyspace, call_.keys[key]));
    by_shard[shard == nullptr ? GroupId() : shard->group].push_back(key);
  }
  std::vector<Numbers> parts;
  for (auto& [group, part] : by_shard) parts.push_back(std::move(part));
  return parts;
}

void Scatter::Ask(const Numbers& keys) {
  std::vector<GatewayRequest> requests;
  {
    std::lock_guard lock(mutex_);
    for (Numbers& part : PartByShard(keys)) {
      GatewayRequest& request = requests.emplace_back();
      request.id = parts_.size();
      request.deadline = deadline_;
      BatchGetCall call{.keyspace = call_.keyspace, .consistency = call_.consistency, .keys = {}};
      for (const std::size_t key : part) call.keys.push_back(call_.keys[key]);
      request.call = std::move(call);
      parts_.push_back(std::move(part));
    }
    open_ += requests.size();
  }
  world_.submit(std::move(requests), shared_from_this());
}

void Scatter::OnAnswers(std::vector<GatewayAnswer> answers) {
  Numbers again;
  Done done;
  {
    std::lock_guard lock(mutex_);
    for (GatewayAnswer& answer : answers) Take(answer, again);
    if (!done_) return;
    const bool failed = !answer_.status.ok();
    if (!failed && !again.empty()) {
      ++open_;  // nothing ends before they are asked for
    } else if (failed || open_ == 0) {
      done = std::exchange(done_, nullptr);
      if (!failed) answer_.result = std::move(results_);
    } else {
      return;
    }
  }
  if (done) {
    done(std::move(answer_));
    return;
  }
  world_.strand->After(kPause, [self = shared_from_this(), again = std::move(again)] {
    {
      std::lock_guard lock(self->mutex_);
      --self->open_;
    }
    self->Ask(again);
  });
}

void Scatter::Take(GatewayAnswer& answer, Numbers& again) {
  --open_;
  const Numbers& part = parts_[answer.id];
  if (ReasonOf(answer.status) == Reason::kWrongShard) {
    again.insert(again.end(), part.begin(), part.end());
    return;
  }
  answer_.origin = answer.origin;
  if (!answer.status.ok()) {
    answer_.status = answer.status;
    return;
  }
  auto& found = std::get<std::vector<kv::GetResult>>(answer.result);
  for (std::size_t i = 0; i < part.size(); ++i) results_[part[i]] = std::move(found[i]);
}

}  // namespace flotilla
