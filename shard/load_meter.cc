#include "shard/load_meter.h"

#include <algorithm>
#include <chrono>

#include "kv/command.h"
#include "kv/key_codec.h"
#include "kv/txn/command.h"

namespace flotilla {
namespace {

constexpr std::size_t kSampleMax = 256;
constexpr std::size_t kSampleMin = 64;
// Of so many requests one is looked at.
constexpr std::uint64_t kEvery = 64;
constexpr double kNewest = 0.3;  // its weight in what is smoothed
constexpr double kNothing = 0.01;

std::string KeyOf(const GatewayRequest& request) {
  if (const auto* get = std::get_if<GetCall>(&request.call)) {
    return kv::EncodeKey(get->keyspace, get->key);
  }
  if (const auto* write = std::get_if<WriteCall>(&request.call)) {
    kv::KeyspaceId keyspace;
    std::string_view key;
    if (kv::PeekTxnCommand(write->command.view(), key)) return std::string(key);
    if (kv::PeekCommand(write->command.view(), keyspace, key)) {
      return kv::EncodeKey(keyspace, key);
    }
  }
  return {};
}

}  // namespace

void LoadMeter::Count(const std::vector<Ticket>& tickets) {
  std::uint64_t writes = 0;
  for (const Ticket& ticket : tickets) writes += ticket.is_write();
  const std::uint64_t before =
      writes_.fetch_add(writes) + reads_.fetch_add(tickets.size() - writes);
  if (before / kEvery == (before + tickets.size()) / kEvery) return;
  std::string key = KeyOf(tickets[before % tickets.size()].request());
  if (key.empty()) return;
  std::lock_guard lock(mutex_);
  if (sample_.size() < kSampleMax) {
    sample_.push_back(std::move(key));
  } else {
    sample_[next_++ % kSampleMax] = std::move(key);
  }
}

LoadMeter::Load LoadMeter::Take(Duration since_last) {
  const double seconds = std::chrono::duration<double>(since_last).count();
  const auto smooth = [seconds](double& rate, std::uint64_t count) {
    rate += kNewest * (static_cast<double>(count) / seconds - rate);
    if (count == 0 && rate < kNothing) rate = 0;
    return rate;
  };
  Load load;
  load.reads_per_s = smooth(reads_per_s_, reads_.exchange(0));
  load.writes_per_s = smooth(writes_per_s_, writes_.exchange(0));
  if (load.reads_per_s + load.writes_per_s == 0) return load;
  std::vector<std::string> sample;
  {
    std::lock_guard lock(mutex_);
    sample = sample_;
  }
  if (sample.size() < kSampleMin) return load;
  std::sort(sample.begin(), sample.end());
  const std::string& middle = sample[sample.size() / 2];
  const auto below = static_cast<std::size_t>(
      std::lower_bound(sample.begin(), sample.end(), middle) - sample.begin());
  if (below >= sample.size() / 4) load.median = middle;
  return load;
}

}  // namespace flotilla
