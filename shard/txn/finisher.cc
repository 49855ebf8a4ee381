#include "shard/txn/finisher.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/planted.h"
#include "shard/answers.h"

namespace flotilla {
namespace {

// For company; long enough for a few commits that follow each other, and nobody notices.
constexpr Duration kMoment = std::chrono::milliseconds(5);
// As many do not wait for more.
constexpr std::size_t kTogetherMax = 256;
constexpr std::size_t kHurriedMax = 1'000;
constexpr int kTriesMax = 8;
constexpr Duration kFirstPause = std::chrono::milliseconds(50);
constexpr Duration kPauseMax = std::chrono::seconds(2);

const kv::TxnPart* PartFrom(const std::vector<kv::TxnPart>& spans, const std::string& key) {
  const auto found = std::find_if(spans.begin(), spans.end(),
                                  [&](const kv::TxnPart& span) { return span.first == key; });
  return found == spans.end() ? nullptr : &*found;
}

}  // namespace

void Finisher::Add(Ending ending) {
  ++settling_;
  const bool hurried = hurried_.erase(ending.txn) > 0 || ending.hurried;
  due_.push_back(std::move(ending));
  if (hurried || due_.size() >= kTogetherMax) {
    Flush();
  } else if (!armed_) {
    armed_ = true;
    scope_->Spawn(FlushLater());
  }
}

void Finisher::Hurry(kv::TxnId txn) {
  const auto is_it = [&](const Ending& one) { return one.txn == txn; };
  if (std::any_of(due_.begin(), due_.end(), is_it)) {
    Flush();
    return;
  }
  // Perhaps it is being prepared.
  if (hurried_.size() >= kHurriedMax) hurried_.erase(hurried_.begin());
  hurried_.insert(txn);
}

Task<> Finisher::FlushLater() {
  // Also when the node stops: others would have to find out.
  co_await SleepFor(kMoment);
  armed_ = false;
  Flush();
}

void Finisher::Flush() {
  if (!due_.empty()) scope_->Spawn(FinishAll(std::exchange(due_, {})));
}

Task<> Finisher::FinishAll(std::vector<Ending> endings) {
  std::vector<Step> steps = co_await DecideAll(&endings);
  const std::vector<bool> resolved = co_await ResolveAll(&endings, std::move(steps));
  std::vector<Ending> finished;
  for (std::size_t i = 0; i < endings.size(); ++i) {
    if (resolved[i]) {
      finished.push_back(std::move(endings[i]));
    } else {
      scope_->Spawn(Settle(std::move(endings[i])));
    }
  }
  if (!finished.empty()) co_await ForgetAll(std::move(finished));
}

Task<std::vector<Finisher::Step>> Finisher::DecideAll(std::vector<Ending>* endings) {
  std::vector<std::size_t> open;
  std::vector<Bytes> commands;
  for (std::size_t i = 0; i < endings->size(); ++i) {
    const Ending& one = (*endings)[i];
    if (one.decided) continue;
    kv::TxnDecide decide{.commit = one.commit, .valid_until_ms = one.valid_until_ms};
    if (const kv::TxnPart* part = PartFrom(one.spans, one.anchor)) decide.last = part->last;
    open.push_back(i);
    commands.emplace_back(
        kv::EncodeTxnCommand({.key = one.anchor, .txn = one.txn, .step = decide}));
  }
  std::vector<Step> steps;
  std::vector<bool> lost(endings->size(), false);
  std::vector<GatewayAnswer> answers;
  if (!commands.empty()) answers = co_await calls_->Steps(std::move(commands));
  std::vector<std::string> resolved_to(endings->size());
  std::vector<bool> resolves(endings->size(), false);
  for (std::size_t i = 0; i < open.size(); ++i) {
    Ending& one = (*endings)[open[i]];
    const Status& status = answers[i].status;
    if (status.ok()) {
      const auto& result = std::get<kv::WriteResult>(answers[i].result);
      one.commit = result.timestamp;
      resolves[open[i]] = true;
      if (result.obstacle) resolved_to[open[i]] = result.obstacle->key;
    } else if (ReasonOf(status) == Reason::kTxnAborted || TxnCalls::IsDropped(status)) {
      // Rolled back; or the record went with its keyspace: what was answered holds for the others.
      if (!TxnCalls::IsDropped(status)) one.commit = Timestamp();
    } else {
      lost[open[i]] = true;
      continue;
    }
    one.decided = true;
  }
  std::vector<Ending> known;
  for (std::size_t i = 0; i < endings->size(); ++i) {
    Ending& one = (*endings)[i];
    if (lost[i]) {
      scope_->Spawn(Settle(std::move(one)));
      continue;
    }
    const kv::TxnPart* anchors = resolves[i] ? PartFrom(one.spans, one.anchor) : nullptr;
    for (const kv::TxnPart& span : one.spans) {
      if (&span != anchors) {
        steps.push_back({.ending = known.size(), .first = span.first, .last = span.last});
      } else if (!resolved_to[i].empty()) {
        steps.push_back({.ending = known.size(), .first = resolved_to[i], .last = span.last});
      }
    }
    known.push_back(std::move(one));
  }
  *endings = std::move(known);
  co_return steps;
}

Task<std::vector<bool>> Finisher::ResolveAll(const std::vector<Ending>* endings,
                                             std::vector<Step> steps) {
  std::vector<bool> resolved(endings->size(), true);
  while (!steps.empty()) {
    std::vector<Bytes> commands;
    for (const Step& step : steps) {
      const Ending& one = (*endings)[step.ending];
      const kv::TxnResolve resolve{.commit = one.commit, .last = step.last};
      commands.emplace_back(
          kv::EncodeTxnCommand({.key = step.first, .txn = one.txn, .step = resolve}));
    }
    const std::vector<GatewayAnswer> answers = co_await calls_->Steps(std::move(commands));
    std::vector<Step> rest;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      if (TxnCalls::IsDropped(answers[i].status)) continue;
      if (!answers[i].status.ok()) {
        resolved[steps[i].ending] = false;
        continue;
      }
      const auto& result = std::get<kv::WriteResult>(answers[i].result);
      if (!result.obstacle || result.obstacle->key > steps[i].last) continue;
      rest.push_back(std::move(steps[i]));
      rest.back().first = result.obstacle->key;
    }
    steps = std::move(rest);
  }
  co_return resolved;
}

// What is not known to be forgotten will be looked at when its time is up.
Task<> Finisher::ForgetAll(std::vector<Ending> endings) {
  const std::shared_ptr<const DirectoryImage> image = calls_->world().directory->image();
  std::map<GroupId, std::vector<const Ending*>> by_group;
  for (const Ending& one : endings) {
    const ShardDescriptor* shard = image->Locate(one.anchor);
    by_group[shard == nullptr ? kFirstDataGroup : shard->group].push_back(&one);
  }
  std::vector<Bytes> commands;
  for (const auto& [group, all] : by_group) {
    kv::TxnForget forget;
    for (auto one = all.begin() + 1; one != all.end(); ++one) {
      forget.others.emplace_back((*one)->anchor, (*one)->txn);
    }
    commands.emplace_back(kv::EncodeTxnCommand(
        {.key = all.front()->anchor, .txn = all.front()->txn, .step = std::move(forget)}));
  }
  co_await calls_->Steps(std::move(commands));
  settling_ -= endings.size();
}

Task<> Finisher::Settle(Ending ending) {
  Duration pause = kFirstPause;
  for (int i = 0; i < kTriesMax; ++i) {
    if (!ending.decided) {
      const MonoTime within = calls_->world().clock->Now() + std::chrono::seconds(2);
      std::string anchor = ending.anchor;
      const kv::TxnDecide decide{.commit = ending.commit, .valid_until_ms = ending.valid_until_ms};
      const StatusOr<Timestamp> end =
          co_await calls_->Decide(ending.txn, std::move(anchor), decide, within);
      ending.decided = TxnCalls::IsKnown(end);
      if (ending.decided) ending.commit = end.ok() ? *end : Timestamp();
      // The record went with its keyspace; what was answered holds for the others.
      ending.decided |= TxnCalls::IsDropped(end.status());
    }
    if (ending.decided) {
      std::string anchor = ending.anchor;
      std::vector<kv::TxnPart> spans = ending.spans;
      const Status finished =
          co_await calls_->Finish(ending.txn, std::move(anchor), std::move(spans), ending.commit);
      if (finished.ok()) break;
    }
    // Whoever meets what is left settles it as well.
    const bool go_on = co_await SleepFor(pause);
    if (!go_on) break;
    pause = std::min(2 * pause, kPauseMax);
  }
  --settling_;
}

}  // namespace flotilla
