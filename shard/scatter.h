// Scatter: serves one request whose keys lie in several shards. It parts the request by the
// directory, asks for the parts at the same time, and puts the answers together.
//
// A part that a group turns away, because shards have changed meanwhile, is parted anew by a newer
// copy of the directory; what has been answered stays.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/executor.h"
#include "shard/directory/directory.h"
#include "shard/gateway.h"

namespace flotilla {

class Scatter : public AnswerSink, public std::enable_shared_from_this<Scatter> {
 public:
  struct World {
    const Directory* directory = nullptr;
    Strand* strand = nullptr;  // runs what is tried again
    // Takes parts; WRONG_SHARD comes back as an answer.
    std::function<void(std::vector<GatewayRequest>, std::shared_ptr<AnswerSink>)> submit;
  };
  using Done = UniqueFunction<void(GatewayAnswer)>;

  // `request` is a BatchGetCall; `done` runs once, on any thread.
  static void Start(const World& world, const GatewayRequest& request, Done done);

  void OnAnswers(std::vector<GatewayAnswer> answers) override;

 private:
  Scatter(const World& world, const GatewayRequest& request, Done done);

  using Numbers = std::vector<std::size_t>;  // of keys in the request
  // Asks for these keys.
  void Ask(const Numbers& keys);
  std::vector<Numbers> PartByShard(const Numbers& keys) const;
  // With the lock held.
  void Take(GatewayAnswer& answer, Numbers& again);

  const World world_;
  const MonoTime deadline_;
  const BatchGetCall call_;

  std::mutex mutex_;
  Done done_;                   // null once it has run
  std::vector<Numbers> parts_;  // by the id of what was asked
  std::size_t open_ = 0;
  GatewayAnswer answer_;
  std::vector<kv::GetResult> results_;
};

}  // namespace flotilla
