#include "shard/scatter.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "base/planted.h"
#include "kv/key_codec.h"
#include "kv/page_builder.h"
#include "kv/slots.h"

namespace flotilla {
namespace {

// Before a part that was turned away is parted again: the directory needs a moment.
constexpr Duration kPause = std::chrono::milliseconds(10);

class ScatteredGets final : public Scatter {
 public:
  ScatteredGets(const World& world, const GatewayRequest& request, Done done)
      : Scatter(world, request.deadline, std::move(done)),
        call_(std::get<BatchGetCall>(request.call)),
        parts_(1),
        results_(call_.keys.size()) {
    parts_[0].resize(call_.keys.size());
    std::iota(parts_[0].begin(), parts_[0].end(), std::size_t{0});
  }

 private:
  using Numbers = std::vector<std::size_t>;  // of keys in the request

  void Divide(Part part, const DirectoryImage& image) override {
    std::map<GroupId, Numbers> by_shard;
    for (const std::size_t key : parts_[part]) {
      const ShardDescriptor* shard = image.Locate(kv::EncodeKey(call_.keyspace, call_.keys[key]));
      by_shard[shard == nullptr ? GroupId() : shard->group].push_back(key);
    }
    for (auto& [group, keys] : by_shard) {
      BatchGetCall call{.keyspace = call_.keyspace,
                        .consistency = call_.consistency,
                        .keys = {},
                        .as_of = call_.as_of,
                        .lock = call_.lock,
                        .reader = call_.reader};
      for (const std::size_t key : keys) call.keys.push_back(call_.keys[key]);
      parts_.push_back(std::move(keys));
      Add(std::move(call));
    }
  }

  void Take(Part part, GatewayAnswer& answer) override {
    auto& found = std::get<std::vector<kv::GetResult>>(answer.result);
    const Numbers& keys = parts_[part];
    for (std::size_t i = 0; i < keys.size(); ++i) results_[keys[i]] = std::move(found[i]);
  }

  void Finish(GatewayAnswer& answer) override { answer.result = std::move(results_); }

  const BatchGetCall call_;
  std::vector<Numbers> parts_;
  std::vector<kv::GetResult> results_;
};

// Each part is asked for a little more than its share of the page, since keys are spread evenly by
// their hashes; the page ends where the first of them does.
class ScatteredScan final : public Scatter {
 public:
  ScatteredScan(const World& world, const GatewayRequest& request, Done done)
      : Scatter(world, request.deadline, std::move(done)),
        call_(std::get<ScanCall>(request.call)),
        limit_(static_cast<std::uint32_t>(kv::LimitOf(call_.request))),
        parts_(1, {call_.request.first_slot, call_.request.past_last_slot}) {}

 private:
  struct Slots {
    std::uint32_t first;
    std::uint32_t past_last;
  };

  void Divide(Part part, const DirectoryImage& image) override {
    const Slots whole = parts_[part];
    const kv::KeyspaceId keyspace = call_.request.keyspace;
    const auto shards = image.Overlapping(kv::SlotBound(keyspace, whole.first),
                                          kv::SlotBound(keyspace, whole.past_last));
    if (shards.empty()) {
      parts_.push_back(whole);
      Add(call_);  // whose error says why
    }
    const auto share = static_cast<std::uint32_t>(limit_ / std::max<std::size_t>(shards.size(), 1));
    for (const ShardDescriptor* shard : shards) {
      const auto first = kv::SlotOfEncoded(shard->start);
      const auto end = kv::SlotOfEncoded(shard->end);
      Slots slots = whole;
      if (first) slots.first = std::max<std::uint32_t>(slots.first, first->value());
      if (end && shard->end < kv::KeyspaceEnd(keyspace)) {
        slots.past_last = std::min<std::uint32_t>(slots.past_last, end->value());
      }
      ScanCall call = call_;
      call.request.first_slot = slots.first;
      call.request.past_last_slot = slots.past_last;
      call.request.limit = std::min<std::uint32_t>(limit_, share + share / 2 + kSpareRows);
      parts_.push_back(slots);
      Add(std::move(call));
    }
  }

  bool Before(const std::string& a, const std::string& b) const {
    return call_.request.reverse ? a > b : a < b;
  }

  void Take(Part, GatewayAnswer& answer) override {
    auto& page = std::get<kv::ScanPage>(answer.result);
    std::move(page.rows.begin(), page.rows.end(), std::back_inserter(page_.rows));
    std::move(page.locked.begin(), page.locked.end(), std::back_inserter(page_.locked));
    if (!page.more) return;
    if (!page_.more || Before(page.resume_key, page_.resume_key))
      page_.resume_key = page.resume_key;
    page_.more = true;
  }

  void Finish(GatewayAnswer& answer) override {
    const bool reverse = call_.request.reverse;
    std::vector<kv::ScanRow>& rows = page_.rows;
    std::sort(rows.begin(), rows.end(),
              [&](const kv::ScanRow& a, const kv::ScanRow& b) { return Before(a.key, b.key); });
    // What lies behind the end of a part may not be all that there is.
    if (page_.more && !Planted(Plant::kPartsUntrimmed)) {
      std::erase_if(rows, [&](const kv::ScanRow& row) {
        return reverse ? row.key < page_.resume_key : row.key >= page_.resume_key;
      });
    }
    if (rows.size() > limit_) {
      page_.more = true;
      page_.resume_key = rows[reverse ? limit_ - 1 : limit_].key;
      rows.resize(limit_);
    }
    answer.result = std::move(page_);
  }

  static constexpr std::uint32_t kSpareRows = 16;

  const ScanCall call_;
  const std::uint32_t limit_;
  std::vector<Slots> parts_;
  kv::ScanPage page_;
};

}  // namespace

void Scatter::Start(const World& world, const GatewayRequest& request, Done done) {
  std::shared_ptr<Scatter> scatter;
  if (std::holds_alternative<BatchGetCall>(request.call)) {
    scatter = std::make_shared<ScatteredGets>(world, request, std::move(done));
  } else {
    scatter = std::make_shared<ScatteredScan>(world, request, std::move(done));
  }
  scatter->Ask({0});
}

void Scatter::Ask(const std::vector<Part>& parts) {
  std::vector<GatewayRequest> requests;
  {
    const std::shared_ptr<const DirectoryImage> image = world_.directory->image();
    std::lock_guard lock(mutex_);
    for (const Part part : parts) Divide(part, *image);
    requests.swap(to_ask_);
    open_ += requests.size();
  }
  world_.submit(std::move(requests), shared_from_this());
}

void Scatter::OnAnswers(std::vector<GatewayAnswer> answers) {
  std::vector<Part> again;
  Done done;
  {
    std::lock_guard lock(mutex_);
    for (GatewayAnswer& answer : answers) {
      --open_;
      const auto part = static_cast<Part>(answer.id);
      if (ReasonOf(answer.status) == Reason::kWrongShard) {
        again.push_back(part);
        continue;
      }
      const Timestamp newest = std::max(answer_.origin.timestamp, answer.origin.timestamp);
      answer_.origin = answer.origin;
      answer_.origin.timestamp = newest;
      if (answer.status.ok()) {
        Take(part, answer);
      } else {
        answer_.status = answer.status;
      }
    }
    if (!done_) return;
    const bool failed = !answer_.status.ok();
    if (!failed && !again.empty()) {
      ++open_;  // nothing ends before they are asked for
    } else if (failed || open_ == 0) {
      done = std::exchange(done_, nullptr);
      if (!failed) Finish(answer_);
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

}  // namespace flotilla
