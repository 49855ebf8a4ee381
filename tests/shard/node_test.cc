// Whole nodes at moments that go wrong in real systems: pauses, lost data, leaders that vanish.

#include <gtest/gtest.h>

#include "tests/shard/node_world.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

NodeOptions WithLeases() {
  NodeOptions options;
  options.leases = true;
  return options;
}

// A leader sleeps through the election of another, and is asked as soon as it wakes up.
TEST(Node, ALeaderThatWasPausedAcrossItsLeaseAnswersNothingStale) {
  NodeWorld world(WithLeases());
  const int old = world.AwaitLeader();
  ASSERT_TRUE(world.Put(old, "k", "old").status.ok());
  world.RunFor(milliseconds(200));
  EXPECT_EQ(world.Read(old, "k"), "old");
  world.loop().Pause(world.IdOf(old));
  const int now = world.AwaitLeader(old);
  ASSERT_TRUE(world.Put(now, "k", "new").status.ok());
  world.RunFor(seconds(1));
  // The request comes first, before anything that could tell the old leader.
  const NodeWorld::Answer read = world.Begin(old, NodeWorld::Get("k"));
  world.loop().Resume(world.IdOf(old), milliseconds(20));
  EXPECT_EQ(NodeWorld::ValueOf(world.Wait(read)), "new");
}

}  // namespace
}  // namespace flotilla
