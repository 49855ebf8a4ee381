#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "tests/shard/placement/ring_study.h"

namespace flotilla {
namespace {

TEST(RingPicture, ShowsWhatTheRingDoesToday) {
  std::ifstream file("shard/placement/ring.svg");
  ASSERT_TRUE(file.is_open()) << "draw it: build/bin/ring_picture > shard/placement/ring.svg";
  std::ostringstream kept;
  kept << file.rdbuf();
  EXPECT_TRUE(kept.str() == DrawRing())
      << "draw it again: build/bin/ring_picture > shard/placement/ring.svg";
}

// What the picture is there to show, for every cluster in it.
TEST(RingPicture, AJoinerTakesOneNthEvenlyFromAllOthersAndNothingElseMoves) {
  for (std::uint64_t before = 3; before < 50; ++before) {
    const Join join = StudyJoin(before);
    EXPECT_EQ(join.moved_elsewhere, 0u) << before;
    const double share = static_cast<double>(join.moved_to_joiner) / join.replicas;
    const double even = 1.0 / static_cast<double>(before + 1);
    EXPECT_NEAR(share / even, 1, 0.15) << before;
    ASSERT_EQ(join.given_by.size(), before);
    // The joiner's arcs, whose lengths vary, and the shards on them fall to the others by chance.
    const double from_each = static_cast<double>(join.moved_to_joiner) / before;
    const double arcs_from_each = 1.0 * kVirtualNodes * kStudyReplicas / before;
    const double bound = 4 * std::sqrt(2 / arcs_from_each + 1 / from_each);
    for (const auto& [node, given] : join.given_by) {
      EXPECT_NEAR(given / from_each, 1, bound) << "node " << node.value() << " of " << before;
    }
    EXPECT_LT(join.fullest, 1.2) << before;
    EXPECT_GT(join.emptiest, 0.8) << before;
  }
}

}  // namespace
}  // namespace flotilla
