// Execution: a Transactions.Execute, without its wire: compares, then writes and reads, in one
// transaction, and begins anew after conflicts until the deadline.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/function.h"
#include "base/random.h"
#include "base/status.h"
#include "cmd/kvd/txn_codec.h"
#include "shard/transactions.h"

namespace flotilla {

class Execution : public std::enable_shared_from_this<Execution> {
 public:
  struct World {
    Transactions* transactions = nullptr;
    Strand* timers = nullptr;
    const Clock* clock = nullptr;
  };
  struct Result {
    bool succeeded = false;
    Timestamp timestamp = {};
    std::vector<kv::GetResult> results = {};
  };
  using Callback = UniqueFunction<void(StatusOr<Result>)>;

  // What `plan` has views into lives until `done` runs, on any thread.
  static void Start(const World& world, DecodedExecute plan, MonoTime deadline, Random random,
                    Callback done);

  Execution(const World& world, DecodedExecute plan, MonoTime deadline, Random random,
            Callback done);

 private:
  using Got = std::vector<kv::GetResult>;

  void Begin();
  // Reads what the comparisons from this one on need, as far as one read may have it.
  void Compare(std::size_t next);
  void Run(std::size_t next);
  void Commit();
  // Once more, if that may help and there is time; else this is the answer.
  void Failed(const Status& status);
  void End(StatusOr<Result> result);

  const World world_;
  const DecodedExecute plan_;
  const MonoTime deadline_;
  Random random_;
  Callback done_;

  std::shared_ptr<Transaction> txn_;
  Result result_;
  std::uint32_t attempts_ = 0;
};

}  // namespace flotilla
