#include "tests/sim/ownership_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kv/command.h"
#include "kv/key_codec.h"

namespace flotilla::sim {
namespace {

using Keys = std::vector<std::string>;  // encoded

// Those of a request that one group answers for as a whole.
Keys KeysOf(const GatewayCall& call) {
  Keys keys;
  if (const auto* get = std::get_if<GetCall>(&call)) {
    if (get->consistency == kv::Consistency::kLinearizable) {
      keys.push_back(kv::EncodeKey(get->keyspace, get->key));
    }
  } else if (const auto* write = std::get_if<WriteCall>(&call)) {
    kv::CommandView command;
    if (!kv::DecodeCommand(write->command.view(), command).ok()) return keys;
    // A repetition may be answered from memory by a group that has only some of them by now.
    if (command.session.client && command.ops.size() > 1) return keys;
    for (const kv::WriteOp& op : command.ops) {
      if (op.kind == kv::WriteKind::kDeleteRange) continue;
      keys.push_back(kv::EncodeKey(command.keyspace, op.key));
    }
  }
  return keys;
}

bool IsAnswer(const Status& status) {
  return status.ok() || ReasonOf(status) == Reason::kConditionFailed;
}

}  // namespace

int FirstMisserved(const std::vector<GroupId>& owners, const std::vector<Served>& served) {
  using At = std::pair<MonoTime, std::size_t>;
  std::vector<At> asked;
  std::vector<At> answered;
  for (std::size_t i = 0; i < served.size(); ++i) {
    asked.emplace_back(served[i].asked, i);
    answered.emplace_back(served[i].answered, i);
  }
  std::sort(asked.begin(), asked.end());
  std::sort(answered.begin(), answered.end());
  // Each as early as may be: whatever is asked after it was answered has that or a later owner.
  std::vector<std::size_t> place(served.size());
  std::size_t least = 0;
  auto before = answered.begin();
  for (const auto& [time, one] : asked) {
    for (; before->first < time; ++before) least = std::max(least, place[before->second]);
    place[one] = least;
    while (place[one] < owners.size() && owners[place[one]] != served[one].group) ++place[one];
    if (place[one] == owners.size()) return static_cast<int>(one);
  }
  return -1;
}

// ---- what is answered -------------------------------------------------------------------------

class OwnershipWatch::Records {
 public:
  explicit Records(EventLoop* loop) : loop_(loop) {}

  MonoTime now() const { return loop_->now(); }
  void Note(const Keys& keys, MonoTime asked, GroupId group) {
    for (const std::string& key : keys) {
      by_key_[key].push_back({.group = group, .asked = asked, .answered = now()});
    }
    ++answers_;
  }
  const std::map<std::string, std::vector<Served>>& by_key() const { return by_key_; }
  std::uint64_t answers() const { return answers_; }

 private:
  EventLoop* const loop_;
  std::map<std::string, std::vector<Served>> by_key_;
  std::uint64_t answers_ = 0;
};

class OwnershipWatch::Sink final : public AnswerSink {
 public:
  Sink(std::shared_ptr<Records> records, const std::vector<GatewayRequest>& requests,
       std::shared_ptr<AnswerSink> sink)
      : records_(std::move(records)), sink_(std::move(sink)), asked_(records_->now()) {
    for (const GatewayRequest& request : requests) keys_[request.id] = KeysOf(request.call);
  }

  void OnAnswers(std::vector<GatewayAnswer> answers) override {
    for (const GatewayAnswer& answer : answers) {
      // Of a write that several groups served, others watch.
      if (IsAnswer(answer.status) && answer.origin.group) {
        records_->Note(keys_[answer.id], asked_, answer.origin.group);
      }
    }
    sink_->OnAnswers(std::move(answers));
  }

 private:
  const std::shared_ptr<Records> records_;
  const std::shared_ptr<AnswerSink> sink_;
  const MonoTime asked_;
  std::map<std::uint64_t, Keys> keys_;
};

class OwnershipWatch::WatchedGateway final : public Gateway {
 public:
  WatchedGateway(std::shared_ptr<Records> records, Gateway* gateway)
      : records_(std::move(records)), gateway_(gateway) {}

  void Submit(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink) override {
    auto watched = std::make_shared<Sink>(records_, requests, std::move(sink));
    gateway_->Submit(std::move(requests), std::move(watched));
  }
  std::optional<kv::KeyspaceId> FindKeyspace(std::string_view name) const override {
    return gateway_->FindKeyspace(name);
  }
  void RefreshKeyspaces(MonoTime deadline, UniqueFunction<void(Status)> done) override {
    gateway_->RefreshKeyspaces(deadline, std::move(done));
  }
  Timestamp Newest() const override { return gateway_->Newest(); }

 private:
  const std::shared_ptr<Records> records_;
  Gateway* const gateway_;
};

OwnershipWatch::OwnershipWatch(EventLoop* loop) : records_(std::make_shared<Records>(loop)) {}

OwnershipWatch::~OwnershipWatch() = default;

std::unique_ptr<Gateway> OwnershipWatch::Before(Gateway* gateway) {
  return std::make_unique<WatchedGateway>(records_, gateway);
}

std::uint64_t OwnershipWatch::answers() const { return records_->answers(); }

// ---- who owns what ----------------------------------------------------------------------------

void OwnershipWatch::Note(const DirectoryImage& image) {
  if (!noted_.insert(image.version()).second) return;
  for (const auto& [group, shard] : image.shards()) {
    owned_.insert({.epoch = shard.epoch, .group = group, .start = shard.start, .end = shard.end});
  }
}

std::vector<GroupId> OwnershipWatch::OwnersOf(const std::string& encoded_key) const {
  std::vector<GroupId> owners;
  for (const Owned& one : owned_) {
    if (encoded_key < one.start || encoded_key >= one.end) continue;
    if (owners.empty() || owners.back() != one.group) owners.push_back(one.group);
  }
  return owners;
}

std::string OwnershipWatch::Check() const {
  for (const auto& [key, served] : records_->by_key()) {
    const std::vector<GroupId> owners = OwnersOf(key);
    const int wrong = FirstMisserved(owners, served);
    if (wrong < 0) continue;
    kv::KeyspaceId keyspace;
    std::string user_key;
    kv::DecodeKey(key, keyspace, user_key);
    const Served& one = served[static_cast<std::size_t>(wrong)];
    std::string list;
    for (const GroupId owner : owners) list += fmt::format(" {}", owner.value());
    const auto seconds = [](MonoTime time) {
      return std::chrono::duration<double>(time.time_since_epoch()).count();
    };
    return fmt::format(
        "group {} served {} of keyspace {}, asked at {:.6f} s and answered at {:.6f} s, when "
        "another had done so that came after it; its owners, in order:{}",
        one.group.value(), user_key, keyspace.value(), seconds(one.asked), seconds(one.answered),
        list);
  }
  return {};
}

}  // namespace flotilla::sim
