#include "tests/sim/marker_watch.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "kv/command.h"

namespace flotilla::sim {
namespace {

constexpr std::uint32_t kMark = 51;
constexpr Duration kBetweenMax = std::chrono::milliseconds(400);
constexpr Duration kWithin = std::chrono::seconds(2);
constexpr Duration kPause = std::chrono::milliseconds(20);
// Of a pass that gets no answers, one after the other.
constexpr int kAttempts = 40;
constexpr std::uint64_t kPageMax = 12;
constexpr char kFirst[] = "mark";
constexpr char kPastLast[] = "marl";

}  // namespace

// One look at all of a keyspace's markers.
struct MarkerWatch::Pass {
  kv::KeyspaceId keyspace;
  bool counts = false;
  kv::ScanRequest scan;
  std::vector<std::string> seen;  // by a scan
  kv::AggregateRequest aggregate;
  kv::AggregatePage total;
  int attempts = 0;  // in a row
};

std::string MarkerWatch::KeyOf(int marker) { return fmt::format("mark{:02}", marker); }

MarkerWatch::MarkerWatch(EventLoop* loop, SimCluster* cluster, std::uint64_t seed)
    : loop_(loop),
      roamer_({.seed = seed, .event = kMark, .between_max = kBetweenMax, .within = kWithin}, loop,
              cluster) {}

bool MarkerWatch::Ask(GatewayCall call, UniqueFunction<void(GatewayAnswer)> done) {
  const std::optional<int> node = roamer_.AnyNode();
  if (node) roamer_.Ask(*node, std::move(call), std::move(done));
  return node.has_value();
}

void MarkerWatch::Mark(kv::KeyspaceId keyspace) {
  keyspaces_.push_back(keyspace);
  for (int marker = 0; marker < kMarkers; ++marker) {
    ++unwritten_;
    Write(keyspace, marker);
  }
}

void MarkerWatch::Write(kv::KeyspaceId keyspace, int marker) {
  const auto again = [this, keyspace, marker] {
    roamer_.After(kPause, [this, keyspace, marker] { Write(keyspace, marker); });
  };
  const std::string key = KeyOf(marker);
  const std::string value = std::to_string(marker + 1);
  kv::CommandView command{.keyspace = keyspace, .session = {}, .ops = {}};
  command.ops.push_back({.key = key, .value = value});
  const bool asked = Ask(WriteCall{.command = Bytes(kv::EncodeCommand(command))},
                         [this, again](const GatewayAnswer& answer) {
                           if (answer.status.ok()) {
                             --unwritten_;
                           } else {
                             again();
                           }
                         });
  if (!asked) again();
}

void MarkerWatch::Begin() {
  auto pass = std::make_shared<Pass>();
  Random& random = roamer_.random();
  pass->keyspace = keyspaces_[random.Below(keyspaces_.size())];
  pass->counts = random.Chance(0.25);
  pass->scan = {.keyspace = pass->keyspace, .start = kFirst, .end = kPastLast};
  pass->scan.reverse = random.Chance(0.5);
  pass->aggregate = {.keyspace = pass->keyspace, .start = kFirst, .end = kPastLast};
  pass->aggregate.sum = true;
  AskPage(pass);
}

void MarkerWatch::AskPage(const std::shared_ptr<Pass>& pass) {
  if (roamer_.ended() || pass->attempts++ > kAttempts) return;
  pass->scan.limit = static_cast<std::uint32_t>(roamer_.random().Between(1, kPageMax));
  GatewayCall call;
  if (pass->counts) {
    call = AggregateCall{.request = pass->aggregate};
  } else {
    call = ScanCall{.request = pass->scan};
  }
  const auto again = [this, pass] { roamer_.After(kPause, [this, pass] { AskPage(pass); }); };
  const bool asked = Ask(std::move(call), [this, pass, again](GatewayAnswer answer) {
    if (answer.status.ok()) {
      TakePage(pass, std::move(answer));
    } else {
      again();
    }
  });
  if (!asked) again();
}

void MarkerWatch::TakePage(const std::shared_ptr<Pass>& pass, GatewayAnswer answer) {
  pass->attempts = 0;
  bool more = false;
  if (pass->counts) {
    const auto& page = std::get<kv::AggregatePage>(answer.result);
    kv::AddPage(page, pass->total).IgnoreError();
    more = page.more;
    pass->aggregate.resume = page.resume;
  } else {
    const auto& page = std::get<kv::ScanPage>(answer.result);
    for (const kv::ScanRow& row : page.rows) pass->seen.push_back(row.key);
    more = page.more;
    (pass->scan.reverse ? pass->scan.end : pass->scan.start) = page.resume_key;
  }
  loop_->Trace(pass->seen.size());
  if (!more) return Check(*pass);
  // Not from within the answer: nodes may fall meanwhile.
  roamer_.After(kPause, [this, pass] { AskPage(pass); });
}

void MarkerWatch::Check(const Pass& pass) {
  ++passes_;
  if (pass.counts) {
    constexpr std::int64_t kSum = kMarkers * (kMarkers + 1) / 2;
    if (pass.total.keys != kMarkers || pass.total.sum != kSum) {
      Fail(pass, fmt::format("counted {} keys with a sum of {}, not {} with {}", pass.total.keys,
                             pass.total.sum, kMarkers, kSum));
    }
    return;
  }
  for (int i = 0; i < kMarkers; ++i) {
    const std::string wanted = KeyOf(pass.scan.reverse ? kMarkers - 1 - i : i);
    const auto at = static_cast<std::size_t>(i);
    if (at < pass.seen.size() && pass.seen[at] == wanted) continue;
    const std::string found = at < pass.seen.size() ? pass.seen[at] : "the end";
    return Fail(pass, fmt::format("found {} where {} should be", found, wanted));
  }
  if (pass.seen.size() > kMarkers) Fail(pass, "found a row after the last one");
}

void MarkerWatch::Fail(const Pass& pass, const std::string& what) {
  if (!failure_.empty()) return;
  const char* kind = pass.scan.reverse ? "reverse scan" : "scan";
  if (pass.counts) kind = "count";
  failure_ = fmt::format("a {} of keyspace {} {}", kind, pass.keyspace.value(), what);
}

}  // namespace flotilla::sim
