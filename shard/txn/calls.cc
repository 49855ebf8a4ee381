#include "shard/txn/calls.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "shard/one_answer.h"

namespace flotilla {
namespace {

// Of a step that is repeated when it fails.
constexpr Duration kStepWithin = std::chrono::seconds(2);
// Before a part that was turned away is looked at again: the directory needs a moment.
constexpr Duration kPause = std::chrono::milliseconds(10);

// Gathers the answers to requests 0, 1, ... until all are there.
class AllAnswers final : public AnswerSink {
 public:
  using Done = Completion<std::vector<GatewayAnswer>>;
  AllAnswers(std::size_t count, Done done)
      : answers_(count), open_(count), done_(std::move(done)) {}

  void OnAnswers(std::vector<GatewayAnswer> answers) override {
    {
      std::lock_guard lock(mutex_);
      for (GatewayAnswer& answer : answers) {
        const std::size_t place = answer.id;
        answers_[place] = std::move(answer);
        --open_;
      }
      if (open_ > 0) return;
    }
    done_(std::move(answers_));
  }

 private:
  std::mutex mutex_;
  std::vector<GatewayAnswer> answers_;
  std::size_t open_;
  Done done_;
};

StatusOr<Timestamp> TimestampOf(const GatewayAnswer& answer) {
  if (!answer.status.ok()) return answer.status;
  return std::get<kv::WriteResult>(answer.result).timestamp;
}

}  // namespace

MonoTime TxnCalls::Soon() const { return world_.clock->Now() + kStepWithin; }

Task<GatewayAnswer> TxnCalls::Ask(GatewayCall call, MonoTime deadline) {
  GatewayAnswer answer = co_await AwaitCallback<GatewayAnswer>([&](Completion<GatewayAnswer> done) {
    std::vector<GatewayRequest> requests(1);
    requests[0].deadline = deadline;
    requests[0].call = std::move(call);
    world_.gateway->Submit(std::move(requests), std::make_shared<OneAnswer>(std::move(done)));
  });
  co_return answer;
}

Task<GatewayAnswer> TxnCalls::Step(kv::TxnId txn, std::string key,
                                   decltype(kv::TxnCommand::step) step, MonoTime deadline) {
  GatewayCall call = WriteCall{
      .command = Bytes(kv::EncodeTxnCommand({.key = key, .txn = txn, .step = std::move(step)}))};
  GatewayAnswer answer = co_await Ask(std::move(call), deadline);
  co_return answer;
}

Task<std::vector<GatewayAnswer>> TxnCalls::Steps(std::vector<Bytes> commands) {
  std::vector<GatewayAnswer> answers;
  if (commands.empty()) co_return answers;
  answers = co_await AwaitCallback<std::vector<GatewayAnswer>>(
      [&](Completion<std::vector<GatewayAnswer>> done) {
        const std::size_t count = commands.size();
        std::vector<GatewayRequest> requests(count);
        for (std::size_t i = 0; i < count; ++i) {
          requests[i].id = i;
          requests[i].deadline = Soon();
          requests[i].call = WriteCall{.command = std::move(commands[i])};
        }
        world_.gateway->Submit(std::move(requests),
                               std::make_shared<AllAnswers>(count, std::move(done)));
      });
  co_return answers;
}

Task<std::vector<GatewayAnswer>> TxnCalls::Prepare(std::vector<CommitPlan::Part> parts,
                                                   MonoTime deadline) {
  std::vector<GatewayAnswer> answers(parts.size());
  std::vector<std::size_t> open(parts.size());
  for (std::size_t i = 0; i < open.size(); ++i) open[i] = i;
  while (!open.empty()) {
    std::vector<GatewayAnswer> got = co_await AwaitCallback<std::vector<GatewayAnswer>>(
        [&](Completion<std::vector<GatewayAnswer>> done) {
          std::vector<GatewayRequest> requests(open.size());
          for (std::size_t i = 0; i < open.size(); ++i) {
            requests[i].id = i;
            requests[i].deadline = deadline;
            requests[i].call = WriteCall{.command = parts[open[i]].prepare};
          }
          const std::size_t count = requests.size();
          world_.submit_once(std::move(requests),
                             std::make_shared<AllAnswers>(count, std::move(done)));
        });
    std::vector<std::size_t> again;
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (ReasonOf(got[i].status) == Reason::kWrongShard) again.push_back(open[i]);
      answers[open[i]] = std::move(got[i]);
    }
    open = std::move(again);
    if (open.empty()) break;
    const bool go_on = co_await SleepFor(kPause);
    const std::shared_ptr<const DirectoryImage> image = world_.directory->image();
    const bool whole = std::all_of(open.begin(), open.end(), [&](std::size_t part) {
      return IsWhole(parts[part].span, *image);
    });
    if (go_on && whole && world_.clock->Now() < deadline) continue;
    for (const std::size_t part : open) {
      answers[part].status = Error(Reason::kTxnConflict,
                                   "a shard that the transaction uses was split or merged while "
                                   "it was committed: begin it anew");
    }
    break;
  }
  co_return answers;
}

Task<StatusOr<Timestamp>> TxnCalls::Fence(kv::TxnId txn, kv::TxnPart part, std::uint32_t number,
                                          std::uint64_t valid_until_ms) {
  kv::TxnFence fence{.part = number, .valid_until_ms = valid_until_ms};
  const MonoTime deadline = Soon();
  const GatewayAnswer answer = co_await Step(txn, std::move(part.first), fence, deadline);
  co_return TimestampOf(answer);
}

Task<StatusOr<Timestamp>> TxnCalls::Decide(kv::TxnId txn, std::string anchor, kv::TxnDecide decide,
                                           MonoTime deadline) {
  const GatewayAnswer answer = co_await Step(txn, std::move(anchor), decide, deadline);
  co_return TimestampOf(answer);
}

Task<StatusOr<std::optional<kv::TxnRecord>>> TxnCalls::Record(kv::TxnId txn, std::string anchor) {
  GatewayCall call = TxnRecordCall{.anchor = std::move(anchor), .txn = txn};
  const MonoTime deadline = Soon();
  GatewayAnswer answer = co_await Ask(std::move(call), deadline);
  if (!answer.status.ok()) co_return answer.status;
  co_return std::get<TxnRecordResult>(std::move(answer.result)).record;
}

Task<Status> TxnCalls::Resolve(kv::TxnId txn, kv::TxnPart span, Timestamp commit) {
  std::string key = std::move(span.first);
  while (key <= span.last) {
    kv::TxnResolve resolve{.commit = commit, .last = span.last};
    const MonoTime deadline = Soon();
    const GatewayAnswer answer = co_await Step(txn, key, resolve, deadline);
    if (IsDropped(answer.status)) break;
    if (!answer.status.ok()) co_return answer.status;
    const auto& result = std::get<kv::WriteResult>(answer.result);
    if (!result.obstacle) break;
    key = result.obstacle->key;
  }
  co_return absl::OkStatus();
}

Task<Status> TxnCalls::Finish(kv::TxnId txn, std::string anchor, std::vector<kv::TxnPart> spans,
                              Timestamp commit) {
  for (kv::TxnPart& span : spans) {
    const Status resolved = co_await Resolve(txn, std::move(span), commit);
    if (!resolved.ok()) co_return resolved;
  }
  const MonoTime deadline = Soon();
  const GatewayAnswer answer = co_await Step(txn, std::move(anchor), kv::TxnForget{}, deadline);
  if (IsDropped(answer.status)) co_return absl::OkStatus();
  co_return answer.status;
}

}  // namespace flotilla
