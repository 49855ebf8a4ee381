// Many seeds of RandomCluster. FLOTILLA_SEEDS=FIRST..LAST runs others than the default ones, and
// FLOTILLA_SEEDS=N..N one that failed.

#include "tests/raft/core/random_cluster.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace flotilla::raft {
namespace {

// A CHECK that fails says what was seen; this says how to see it again.
unsigned long current_seed = 0;
void NameTheSeed(int) {
  std::fprintf(stderr, "replay: FLOTILLA_SEEDS=%lu..%lu\n", current_seed, current_seed);
}

constexpr int kSteps = 20000;

TEST(RaftRandom, SafeUnderFaultsAndLiveAfterThem) {
  std::uint64_t first = 1;
  std::uint64_t last = 150;
  if (const char* seeds = std::getenv("FLOTILLA_SEEDS")) {
    ASSERT_EQ(std::sscanf(seeds, "%lu..%lu", &first, &last), 2) << "FLOTILLA_SEEDS=FIRST..LAST";
  }
  std::signal(SIGABRT, NameTheSeed);
  RandomCluster::Counts sum;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    current_seed = seed;
    RandomCluster random(seed);
    random.Run(kSteps);
    const std::string why = random.Recover();
    ASSERT_EQ(why, "") << "seed " << seed;
    const RandomCluster::Counts counts = random.Count();
    sum.commits += counts.commits;
    sum.elections += counts.elections;
    sum.membership_changes += counts.membership_changes;
    sum.transfers += counts.transfers;
    sum.installs += counts.installs;
    sum.reads_confirmed += counts.reads_confirmed;
    sum.crashes += counts.crashes;
  }
  std::fprintf(stderr,
               "commits %d, elections %d, membership changes %d, transfers %d, snapshots "
               "installed %d, reads %d, crashes %d\n",
               sum.commits, sum.elections, sum.membership_changes, sum.transfers, sum.installs,
               sum.reads_confirmed, sum.crashes);
  if (last - first < 100) return;
  // A test in which nothing happens proves nothing.
  EXPECT_GT(sum.commits, 1000);
  EXPECT_GT(sum.elections, 200);
  EXPECT_GT(sum.membership_changes, 50);
  EXPECT_GT(sum.transfers, 50);
  EXPECT_GT(sum.installs, 20);
  EXPECT_GT(sum.reads_confirmed, 500);
}

}  // namespace
}  // namespace flotilla::raft
