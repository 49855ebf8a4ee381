// A cluster of a thousand nodes: what gossip promises of its speed and its cost, measured.

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "shard/gossip/gossip_core.h"
#include "tests/shard/gossip/measure.h"

namespace flotilla::gossip {
namespace {

// Of all measurements, which take a while.
const std::vector<Measurement>& All() {
  static const std::vector<Measurement> all = MeasureAll();
  return all;
}

TEST(GossipSpreading, ARumourReachesEveryoneInLogarithmicTime) {
  for (const Measurement& one : All()) {
    const double log = std::log2(one.nodes);
    EXPECT_LE(one.spread_mean, 0.75 * log) << one.nodes;
    EXPECT_LE(one.spread_max, log) << one.nodes;
  }
  for (std::size_t i = 1; i < All().size(); ++i) {
    const double more = All()[i].spread_mean - All()[i - 1].spread_mean;
    EXPECT_GT(more, 0.2) << "a doubling to " << All()[i].nodes << " costs a constant";
    EXPECT_LT(more, 1.2) << "a doubling to " << All()[i].nodes << " costs no more than a constant";
  }
}

TEST(GossipSpreading, ACrashIsNoticedAtOnceAndKnownInLogarithmicTime) {
  const GossipCoreOptions options;
  for (const Measurement& one : All()) {
    const double log = std::log2(one.nodes);
    // In the mean somebody probes it after e/(e-1) rounds, and takes one more to be sure.
    EXPECT_LE(one.first_suspects, 4) << one.nodes;
    EXPECT_LE(one.all_suspect, one.first_suspects + log) << one.nodes;
    const double patience = static_cast<double>(options.suspicion_factor) * (log + 1);
    EXPECT_GE(one.all_bury, patience - static_cast<double>(options.suspicion_factor)) << one.nodes;
    EXPECT_LE(one.all_bury, one.first_suspects + patience + log) << one.nodes;
  }
}

TEST(GossipSpreading, ANodesCostDoesNotGrowWithTheCluster) {
  for (const Measurement& one : All()) {
    // A ping and an answer, and a page and an answer every ten rounds.
    EXPECT_NEAR(one.messages_mean, 2.2, 0.05) << one.nodes;
    // Whom many happen to probe at once.
    EXPECT_LE(one.messages_max, 2 + 2 * std::log2(one.nodes)) << one.nodes;
    EXPECT_LE(one.bytes_mean, 1024) << one.nodes;
  }
}

// `gossip_picture shard/gossip/spreading.svg` draws it anew.
TEST(GossipSpreading, ThePictureShowsWhatWasMeasured) {
  std::ifstream file("shard/gossip/spreading.svg");
  ASSERT_TRUE(file.good());
  const std::string picture{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(picture, ToSvg(All()));
}

}  // namespace
}  // namespace flotilla::gossip
