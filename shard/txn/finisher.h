// Finisher: brings what commits have left behind to its end, many transactions at a time.
//
//   Add ──▶ due ──after a moment──▶ Decide, with the anchor's part ──▶ Resolve the others ──▶
//   Forget
//             ▲                        all of them in one call each; what fails goes on by itself
//   Hurry ────┘ somebody waits
//
// Place in the picture: the client has its answer already (shard/txn/coordinator.h). Nobody is in a
// hurry, unless somebody meets what is left: together these steps are a few entries of the groups'
// logs, and the commits of others need not wait behind them.
//
// On the strand of its scope, but for settling().
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/task.h"
#include "kv/txn/types.h"
#include "shard/txn/calls.h"

namespace flotilla {

class Finisher {
 public:
  struct Ending {
    kv::TxnId txn;
    std::string anchor = {};
    std::uint64_t valid_until_ms = 0;
    std::vector<kv::TxnPart> spans = {};
    Timestamp commit = {};  // zero: rolled back
    bool decided = false;   // the record says so already
    bool hurried = false;   // somebody may wait for it
  };

  // Both outlive it.
  Finisher(TxnCalls* calls, TaskScope* scope) : calls_(calls), scope_(scope) {}

  void Add(Ending ending);
  // Somebody waits for it.
  void Hurry(kv::TxnId txn);

  // Transactions of which something is left. Any thread.
  std::uint64_t settling() const { return settling_.load(); }

 private:
  // Where an ending's step goes, and what of it.
  struct Step {
    std::size_t ending = 0;
    std::string first = {};
    std::string last = {};
  };
  Task<> FlushLater();
  void Flush();
  Task<> FinishAll(std::vector<Ending> endings);
  // Those of which it did not become known leave `endings`, and go on by themselves.
  Task<std::vector<Step>> DecideAll(std::vector<Ending>* endings);
  // Whether all of each is resolved.
  Task<std::vector<bool>> ResolveAll(const std::vector<Ending>* endings, std::vector<Step> steps);
  Task<> ForgetAll(std::vector<Ending> endings);
  // One that did not get through with the others: again and again.
  Task<> Settle(Ending ending);

  TxnCalls* const calls_;
  TaskScope* const scope_;
  std::vector<Ending> due_;
  std::set<kv::TxnId> hurried_;  // before they came
  bool armed_ = false;
  std::atomic<std::uint64_t> settling_{0};
};

}  // namespace flotilla
