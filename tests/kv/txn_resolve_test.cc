// What a large transaction leaves is resolved step by step.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/kv/machine.h"

namespace flotilla::kv {
namespace {

TEST(TxnResolve, ManyLocksAreResolvedInSteps) {
  Machine machine;
  const TxnId txn = machine.Begin();
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < 2 * kTxnResolveMax + 500; ++i) {
    keys.push_back(Encoded("k" + std::to_string(10'000 + i)));
  }
  const std::string& anchor = keys.front();
  const auto step = [&](decltype(TxnCommand::step) one) {
    return machine.Step(kParent, {{.key = anchor, .txn = txn, .step = std::move(one)}}).front();
  };
  TxnPrepare prepare{.anchor = anchor, .valid_until_ms = 1'000'000'000'000};
  for (const std::string& key : keys) prepare.writes.push_back({.key = key, .value = "1"});
  prepare.parts = {{.first = anchor, .last = keys.back()}};
  const Timestamp commit = step(std::move(prepare)).timestamp;
  ASSERT_EQ(step(TxnDecide{.commit = commit, .valid_until_ms = 1}).timestamp, commit);
  std::uint64_t resolved = 0;
  int steps = 0;
  for (bool more = true; more; ++steps) {
    const WriteResult result = step(TxnResolve{.commit = commit, .last = keys.back()});
    resolved += result.affected;
    more = result.obstacle != nullptr;
  }
  EXPECT_EQ(resolved, keys.size());
  EXPECT_EQ(steps, 3);
  EXPECT_TRUE(machine.store().locks().empty());
}

}  // namespace
}  // namespace flotilla::kv
