// What the collector takes, and what it must leave.

#include <gtest/gtest.h>

#include "base/timestamp.h"
#include "tests/kv/machine.h"

namespace flotilla::kv {
namespace {

constexpr std::uint64_t kMinuteMs = 60'000;

// With memtables that hold all that a test writes between two flushes, unless it wants many.
StoreOptions KeepFor(std::uint64_t retention_ms, std::size_t memtable_bytes = 1 << 20) {
  StoreOptions options;
  options.retention_ms = retention_ms;
  options.memtable_bytes = memtable_bytes;
  return options;
}

std::string KeyOf(int key) { return "key" + std::to_string(1000 + key); }

// With values that cannot be compressed.
void Overwrite(Machine& machine, int keys, int rounds, std::size_t bytes = 100) {
  Random random(static_cast<std::uint64_t>(keys * rounds));
  std::string value(bytes, ' ');
  for (int round = 0; round < rounds; ++round) {
    for (int key = 0; key < keys; ++key) {
      for (char& byte : value) byte = static_cast<char>(random.Below(256));
      machine.Write(Put(KeyOf(key), value));
    }
  }
}

void Flush(Machine& machine) {
  machine.store().Flush([](const StatusOr<raft::Index>& flushed) { EXPECT_TRUE(flushed.ok()); });
}

// So much later, and on disk.
void Pass(Machine& machine, std::uint64_t ms) {
  machine.Write(kParent, std::vector<CommandView>{{}}, ms);
  Flush(machine);
}

// Slices that it took.
std::uint64_t Vacuum(Machine& machine, bool thorough = false) {
  VacuumPass pass;
  pass.thorough = thorough;
  for (StatusOr<bool> more = true; more.ok() && *more;) {
    more = machine.store().CollectSlice(pass);
    EXPECT_TRUE(more.ok()) << more.status();
  }
  machine.store().MeasureSizes();
  return pass.slices;
}

TEST(Vacuum, DropsWhatWasSupersededAndGivesTheSpaceBack) {
  Machine machine(KeepFor(0));
  Overwrite(machine, 20, 100);
  Pass(machine, 10);
  machine.store().MeasureSizes();
  const auto before = machine.All(kParent);
  const std::uint64_t bytes = machine.store().Versions().file_bytes;
  EXPECT_GT(machine.store().Versions().due, 0u);
  EXPECT_GT(Vacuum(machine), 0u);
  const VersionStats after = machine.store().Versions();
  EXPECT_EQ(after.versions, 20u);
  EXPECT_EQ(after.dead, 0u);
  EXPECT_LT(after.file_bytes, bytes / 4);
  EXPECT_EQ(machine.All(kParent), before);
  EXPECT_EQ(Vacuum(machine, /*thorough=*/true), 0u);
}

TEST(Vacuum, CountsWhatIsKeptAndWhatMayGo) {
  Machine machine(KeepFor(kMinuteMs));
  Overwrite(machine, 10, 10);
  Pass(machine, 1);
  machine.store().MeasureSizes();
  EXPECT_EQ(machine.store().Versions().dead, 90u);
  EXPECT_EQ(machine.store().Versions().due, 0u);
  EXPECT_EQ(Vacuum(machine, /*thorough=*/true), 0u);
  Pass(machine, 2 * kMinuteMs);
  Vacuum(machine, /*thorough=*/true);
  EXPECT_EQ(machine.store().Versions().dead, 0u);
}

TEST(Vacuum, CountsBlobs) {
  Machine machine(KeepFor(kKeepAll));
  for (int i = 0; i < 3; ++i) machine.Write(Put("large", std::string(100'000, 'x')));
  Flush(machine);
  machine.store().MeasureSizes();
  EXPECT_EQ(machine.store().Versions().dead, 2u);
  EXPECT_GT(machine.store().Versions().dead_bytes, 200'000u);
}

TEST(Vacuum, AReaderKeepsWhatItReads) {
  Machine machine(KeepFor(0));
  machine.readers().hold_ms_max = 10 * kMinuteMs;
  const Timestamp began = machine.Write(Put("a", "old")).timestamp;
  machine.readers().oldest = began.value();
  Overwrite(machine, 20, 50);
  machine.Write(Put("a", "new"));
  Pass(machine, kMinuteMs);
  Vacuum(machine, /*thorough=*/true);
  EXPECT_EQ(machine.store().Get(kDefaultKeyspace, "a", began)->value, "old");
  // But not for ever.
  Pass(machine, 10 * kMinuteMs);
  const Status refused = machine.store().Get(kDefaultKeyspace, "a", began).status();
  EXPECT_EQ(ReasonOf(refused), Reason::kTimestampTooOld) << refused;
  Vacuum(machine, /*thorough=*/true);
  EXPECT_EQ(machine.store().Versions().dead, 0u);
}

TEST(Vacuum, NothingGoesBeforeReadersAreHeardOf) {
  Machine machine(KeepFor(0));
  machine.readers().unheard_ms = kMinuteMs;
  const Timestamp then = machine.Write(Put("a", "1")).timestamp;
  machine.Write(Put("a", "2"));
  Pass(machine, kMinuteMs / 2);
  EXPECT_EQ(machine.store().Get(kDefaultKeyspace, "a", then)->value, "1");
  machine.readers().oldest = 0;  // not known
  machine.readers().hold_ms_max = kMinuteMs * 2;
  Pass(machine, kMinuteMs);
  EXPECT_EQ(machine.store().Get(kDefaultKeyspace, "a", then)->value, "1");
  machine.readers().oldest = UINT64_MAX;
  Pass(machine, 1);
  EXPECT_FALSE(machine.store().Get(kDefaultKeyspace, "a", then).ok());
}

// Large enough for level 0 to be compacted into another level than the last.
TEST(Vacuum, ADeletionStaysWhileOlderVersionsLieBeneath) {
  Machine machine(KeepFor(0, 16 << 10));
  Overwrite(machine, 200, 8, 500);
  Pass(machine, 1);
  Vacuum(machine, /*thorough=*/true);
  Overwrite(machine, 900, 1, 500);
  Pass(machine, 1);
  Vacuum(machine, /*thorough=*/true);
  machine.Write(Delete(KeyOf(7)));
  // Older than any transaction that could ask whether the key has changed.
  Pass(machine, 20 * kMinuteMs);
  VacuumPass pass;
  pass.thorough = true;
  for (StatusOr<bool> more = true; *more;) {
    more = machine.store().CollectSlice(pass);
    ASSERT_TRUE(more.ok());
  }
  EXPECT_GT(pass.slices, 1u);
  machine.Kill();
  EXPECT_EQ(machine.Get(kParent, KeyOf(7)), std::nullopt);
  machine.store().MeasureSizes();
  EXPECT_EQ(machine.store().Versions().versions, 899u);
}

TEST(Vacuum, APowerCutAtAnyCallOfASliceLosesNothing) {
  bool whole = false;
  for (std::uint64_t call = 1; !whole; call += 3) {
    Machine machine(KeepFor(0));
    Overwrite(machine, 10, 30);
    Pass(machine, 10);
    const auto before = machine.All(kParent);
    machine.CutAt(call);
    VacuumPass pass;
    pass.thorough = true;
    StatusOr<bool> more = true;
    while (more.ok() && *more) more = machine.store().CollectSlice(pass);
    whole = more.ok();
    machine.PowerCut(call);
    ASSERT_TRUE(machine.Replay(kParent).ok());
    ASSERT_EQ(machine.All(kParent), before) << "cut at call " << call;
  }
}

}  // namespace
}  // namespace flotilla::kv
