#include "raft/log/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "base/turn.h"
#include "tests/raft/log/log_harness.h"

namespace flotilla::raft {
namespace {

class LogTest : public ::testing::Test, public LogHarness {
 protected:
  void SetUp() override { ExpectOk(Open()); }

  void Reopen() {
    Stop();
    ExpectOk(Open());
  }
  const RecoveredGroup& Recovered(std::uint64_t group) {
    return recovery.groups.at(GroupId(group));
  }
  // What Read() gives, in pieces of the size that it likes, must be exactly these entries.
  void ExpectEntries(std::uint64_t group, const std::vector<Entry>& expected) {
    std::vector<Entry> read;
    while (read.size() < expected.size()) {
      auto part = log->Read(GroupId(group),
                            {expected[read.size()].index, expected.back().index.Next()}, 1000);
      ASSERT_TRUE(part.ok()) << MessageOf(part.status());
      ASSERT_FALSE(part->empty());
      read.insert(read.end(), part->begin(), part->end());
    }
    EXPECT_EQ(read, expected);
  }
};

TEST_F(LogTest, AnEmptyLogHasNothing) {
  EXPECT_TRUE(recovery.groups.empty());
  EXPECT_EQ(ReasonOf(log->Read(GroupId(1), {Index(1), Index(2)}, 100).status()), Reason::kNotReady);
  EXPECT_FALSE(log->ReadCached(GroupId(1), {Index(1), Index(2)}, 100).has_value());
  Reopen();
  EXPECT_TRUE(recovery.groups.empty());
}

TEST_F(LogTest, WritesComeBackAfterAStop) {
  LogWrite write = MakeWrite(1, 1, 20, 3);
  const std::vector<Entry> entries = write.entries;
  write.hard_state = MakeHardState(3, 2, 0);
  ExpectOk(Write(std::move(write)));
  ExpectOk(Write(MakeWrite(7, MakeHardState(9, 1, 0))));
  ExpectEntries(1, entries);
  Reopen();
  EXPECT_EQ(recovery.torn_bytes, 0u);
  ASSERT_EQ(recovery.groups.size(), 2u);
  EXPECT_EQ(Recovered(7).hard_state, MakeHardState(9, 1, 0));
  EXPECT_EQ(Recovered(1).hard_state, MakeHardState(3, 2, 0));
  EXPECT_EQ(Recovered(1).start_index, Index(0));
  ASSERT_EQ(Recovered(1).entries.size(), 20u);
  EXPECT_EQ(Recovered(1).entries[4].term, Term(3));
  EXPECT_EQ(Recovered(1).entries[4].bytes, 100u);
  ExpectEntries(1, entries);
  ExpectOk(Write(MakeWrite(1, 21, 22, 4)));
  Reopen();
  EXPECT_EQ(Recovered(1).entries.size(), 22u);
}

TEST_F(LogTest, ReadsSeeAnAppendBeforeItIsDurable) {
  bool done = false;
  ExpectOk(log->Append(MakeWrite(1, 1, 3, 1), [&](Status) { done = true; }));
  EXPECT_FALSE(done);
  const auto cached = log->ReadCached(GroupId(1), {Index(2), Index(9)}, 1 << 20);
  ASSERT_TRUE(cached.has_value());
  EXPECT_EQ(cached->size(), 2u);
  EXPECT_EQ((*cached)[0].index, Index(2));
  RunAll();
  EXPECT_TRUE(done);
}

TEST_F(LogTest, ReadsAreBoundedButNeverEmpty) {
  ExpectOk(Write(MakeWrite(1, 1, 10, 1, 100)));
  EXPECT_EQ(log->ReadCached(GroupId(1), {Index(1), Index(11)}, 1)->size(), 1u);
  EXPECT_EQ(log->ReadCached(GroupId(1), {Index(1), Index(11)}, 350)->size(), 3u);
  EXPECT_EQ(log->Read(GroupId(1), {Index(1), Index(11)}, 350)->size(), 3u);
}

TEST_F(LogTest, EntriesAreReplacedFromTheFirstOnWritten) {
  ExpectOk(Write(MakeWrite(1, 1, 10, 1)));
  ExpectOk(Write(MakeWrite(1, 4, 5, 2)));
  EXPECT_EQ(ReasonOf(log->Read(GroupId(1), {Index(6), Index(7)}, 1).status()), Reason::kNotReady);
  std::vector<Entry> expected = MakeWrite(1, 1, 3, 1).entries;
  for (Entry& entry : MakeWrite(1, 4, 5, 2).entries) expected.push_back(entry);
  ExpectEntries(1, expected);
  Reopen();
  EXPECT_EQ(Recovered(1).entries.size(), 5u);
  EXPECT_EQ(Recovered(1).entries[3].term, Term(2));
  ExpectEntries(1, expected);
}

TEST_F(LogTest, AnOverwriteOfWhatIsStillPending) {
  ExpectOk(log->Append(MakeWrite(1, 1, 3, 1), {}));
  ExpectOk(log->Append(MakeWrite(1, 2, 2, 2), {}));
  RunAll();
  std::vector<Entry> expected = MakeWrite(1, 1, 1, 1).entries;
  expected.push_back(MakeWrite(1, 2, 2, 2).entries.front());
  ExpectEntries(1, expected);
  Reopen();
  ExpectEntries(1, expected);
}

TEST_F(LogTest, OneSyncForAllThatHasGathered) {
  ExpectOk(Write(MakeWrite(1, 1, 1, 1)));
  const std::uint64_t before = log->Stats().syncs;
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    ExpectOk(log->Append(MakeWrite(2 + i % 3, 1 + i / 3, 1 + i / 3, 1),
                         [&order, i](Status) { order.push_back(i); }));
  }
  RunAll();
  EXPECT_EQ(log->Stats().syncs, before + 1);
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_F(LogTest, WritesOfOneTurnShareASync) {
  ExpectOk(Write(MakeWrite(1, 1, 1, 1)));
  const std::uint64_t before = log->Stats().syncs;
  {
    const GatheringTurn turn;
    for (std::uint64_t group = 2; group <= 4; ++group) {
      ExpectOk(log->Append(MakeWrite(group, 1, 1, 1), nullptr));
      RunAll();
    }
    EXPECT_EQ(log->Stats().syncs, before);
  }
  RunAll();
  EXPECT_EQ(log->Stats().syncs, before + 1);
}

TEST_F(LogTest, TheStrandIsNeverFlooded) {
  // Each write is followed by the next of its group, as under load.
  std::size_t longest = 0;
  std::function<void(std::uint64_t, std::uint64_t)> submit = [&](std::uint64_t group,
                                                                 std::uint64_t index) {
    ExpectOk(log->Append(MakeWrite(group, index, index, 1), [&, group, index](Status) {
      longest = std::max(longest, queue->closures.size());
      if (index < 200) submit(group, index + 1);
    }));
  };
  for (std::uint64_t group = 1; group <= 5; ++group) submit(group, 1);
  RunAll();
  EXPECT_LE(longest, 2u);
}

TEST_F(LogTest, WhatHasLeftTheCacheIsReadFromDisk) {
  std::vector<Entry> all;
  for (int i = 0; i < 20; ++i) {
    LogWrite write = MakeWrite(1, 1 + 10 * i, 10 + 10 * i, 1, 500);
    all.insert(all.end(), write.entries.begin(), write.entries.end());
    ExpectOk(Write(std::move(write)));
  }
  EXPECT_LE(log->Stats().cached_bytes, options.cache_bytes);
  EXPECT_FALSE(log->ReadCached(GroupId(1), {Index(1), Index(2)}, 1).has_value());
  EXPECT_TRUE(log->ReadCached(GroupId(1), {Index(200), Index(201)}, 1).has_value());
  ExpectEntries(1, all);
}

TEST_F(LogTest, AReleasedPrefixIsGone) {
  ExpectOk(Write(MakeWrite(1, 1, 10, 1)));
  log->Release(GroupId(1), Index(4), Term(1));
  EXPECT_EQ(ReasonOf(log->Read(GroupId(1), {Index(4), Index(6)}, 1).status()), Reason::kNotReady);
  EXPECT_TRUE(log->Read(GroupId(1), {Index(5), Index(6)}, 1).ok());
  Reopen();
  EXPECT_EQ(Recovered(1).start_index, Index(4));
  EXPECT_EQ(Recovered(1).start_term, Term(1));
  EXPECT_EQ(Recovered(1).entries.size(), 6u);
  log->Release(GroupId(1), Index(10), Term(1));
  ExpectOk(Write(MakeWrite(1, 11, 11, 2)));
  Reopen();
  EXPECT_EQ(Recovered(1).start_index, Index(10));
  EXPECT_EQ(Recovered(1).entries.size(), 1u);
}

TEST_F(LogTest, AResetReplacesEverything) {
  ExpectOk(Write(MakeWrite(1, 1, 10, 1)));
  LogWrite reset = MakeWrite(1, 101, 102, 5);
  reset.reset_to = std::pair(Index(100), Term(4));
  reset.hard_state = MakeHardState(5, 0, 100);
  ExpectOk(Write(std::move(reset)));
  Reopen();
  EXPECT_EQ(Recovered(1).start_index, Index(100));
  EXPECT_EQ(Recovered(1).start_term, Term(4));
  EXPECT_EQ(Recovered(1).entries.size(), 2u);
  // Also to a smaller index.
  reset = LogWrite();
  reset.group = GroupId(1);
  reset.reset_to = std::pair(Index(50), Term(6));
  ExpectOk(Write(std::move(reset)));
  Reopen();
  EXPECT_EQ(Recovered(1).start_index, Index(50));
  EXPECT_TRUE(Recovered(1).entries.empty());
  EXPECT_EQ(Recovered(1).hard_state, MakeHardState(5, 0, 100));
}

TEST_F(LogTest, AForgottenGroupKeepsItsVoteForEver) {
  LogWrite write = MakeWrite(1, 1, 10, 6);
  write.hard_state = MakeHardState(6, 2, 9);
  ExpectOk(Write(std::move(write)));
  EXPECT_EQ(log->hard_state(GroupId(1)), MakeHardState(6, 2, 9));
  EXPECT_EQ(log->hard_state(GroupId(7)), HardState());
  EXPECT_EQ(log->end(GroupId(1)), (LogEnd{Term(6), Index(10)}));
  EXPECT_EQ(log->end(GroupId(7)), LogEnd());
  ExpectOk(Write(Forgetting(GroupId(1), log->hard_state(GroupId(1)), log->end(GroupId(1)))));
  // Through many segments, which come and go.
  for (std::uint64_t i = 1; i <= 4000; ++i) {
    ExpectOk(Write(MakeWrite(2, i, i, 1, 1000)));
    if (i % 20 == 0) log->Release(GroupId(2), Index(i - 10), Term(1));
  }
  EXPECT_LT(log->Stats().held_bytes, 2'000'000u);
  Reopen();
  EXPECT_TRUE(Recovered(1).only_hard_state());
  HardState left = MakeHardState(6, 2, 0);
  left.forgotten = {Term(6), Index(10)};
  EXPECT_EQ(Recovered(1).hard_state, left);
  EXPECT_EQ(log->hard_state(GroupId(1)), left);
  EXPECT_FALSE(Recovered(2).only_hard_state());
  // It comes back.
  ExpectOk(Write(MakeWrite(1, 1, 3, 7)));
  Reopen();
  EXPECT_EQ(Recovered(1).entries.size(), 3u);
  EXPECT_EQ(Recovered(1).hard_state, left);
  // What it forgets now is less than before.
  EXPECT_EQ(Forgetting(GroupId(1), left, {Term(6), Index(3)}).hard_state->forgotten,
            left.forgotten);
}

TEST_F(LogTest, ARemovedGroupIsGoneAndMayComeBack) {
  ExpectOk(Write(MakeWrite(1, 1, 10, 1)));
  ExpectOk(Write(MakeWrite(2, 1, 1, 1)));
  log->Remove(GroupId(1));
  Reopen();
  EXPECT_FALSE(recovery.groups.contains(GroupId(1)));
  log->Remove(GroupId(2));
  ExpectOk(Write(MakeWrite(2, 1, 3, 7)));
  Reopen();
  EXPECT_EQ(Recovered(2).entries.size(), 3u);
  EXPECT_EQ(Recovered(2).entries[0].term, Term(7));
}

TEST_F(LogTest, ACommitIndexCostsNoWriteOfItsOwn) {
  LogWrite write = MakeWrite(1, 1, 10, 1);
  write.hard_state = MakeHardState(1, 1, 0);
  ExpectOk(Write(std::move(write)));
  const std::uint64_t calls = files.calls();
  for (std::uint64_t commit = 1; commit <= 10; ++commit) {
    LogWrite lazy = MakeWrite(1, MakeHardState(1, 1, commit));
    lazy.sync = false;
    ExpectOk(Write(std::move(lazy)));
  }
  EXPECT_EQ(files.calls(), calls);
  const std::uint64_t appended = log->Stats().appended_bytes;
  ExpectOk(Write(MakeWrite(2, 1, 1, 1)));
  EXPECT_EQ(log->Stats().appended_bytes - appended, 512u);
  Kill();
  ExpectOk(Open());
  EXPECT_EQ(Recovered(1).hard_state, MakeHardState(1, 1, 10));
}

TEST_F(LogTest, AnUnsyncedWriteSurvivesTheProcess) {
  ExpectOk(Write(MakeWrite(1, 1, 1, 1)));
  const std::uint64_t syncs = log->Stats().syncs;
  LogWrite write = MakeWrite(1, 2, 2, 1);
  write.sync = false;
  ExpectOk(Write(std::move(write)));
  EXPECT_EQ(log->Stats().syncs, syncs);
  Kill();
  ExpectOk(Open());
  EXPECT_EQ(Recovered(1).entries.size(), 2u);
}

TEST_F(LogTest, AnEntryLargerThanASegment) {
  LogWrite write = MakeWrite(1, 1, 3, 1);
  write.entries.push_back(MakeEntry(4, 1, std::string(300 << 10, 'x')));
  const std::vector<Entry> entries = write.entries;
  ExpectOk(Write(std::move(write)));
  ExpectOk(Write(MakeWrite(1, 5, 6, 1)));
  ExpectEntries(1, entries);
  Reopen();
  EXPECT_EQ(Recovered(1).entries.size(), 6u);
  ExpectEntries(1, entries);
  // Its segment is deleted, not kept as a spare.
  log->Release(GroupId(1), Index(6), Term(1));
  for (int i = 0; i < 10; ++i) ExpectOk(Write(MakeWrite(2, 1 + 100 * i, 100 + 100 * i, 1)));
  EXPECT_LT(files.used_bytes(), 600u << 10);
}

TEST_F(LogTest, ConfigurationsComeBackDecoded) {
  Configuration configuration;
  configuration.voters = {NodeId(1), NodeId(2)};
  configuration.context = "addresses";
  LogWrite write = MakeWrite(1, 1, 1, 1);
  write.entries.push_back(
      {Term(1), Index(2), EntryKind::kConfiguration, Bytes(EncodeConfiguration(configuration))});
  write.entries.push_back(
      {Term(1), Index(3), EntryKind::kConfiguration, Bytes(EncodeConfiguration(configuration))});
  ExpectOk(Write(std::move(write)));
  ExpectOk(Write(MakeWrite(1, 3, 3, 2)));  // overwrites the second
  Reopen();
  ASSERT_EQ(Recovered(1).configurations.size(), 1u);
  EXPECT_EQ(Recovered(1).configurations[0], std::pair(Index(2), configuration));
}

TEST_F(LogTest, AfterAStopEverythingIsRefused) {
  bool done = false;
  ExpectOk(log->Append(MakeWrite(1, 1, 1, 1), [&](Status status) { done = status.ok(); }));
  log->Stop([] {});
  RunAll();
  EXPECT_TRUE(done);
  EXPECT_EQ(ReasonOf(log->Append(MakeWrite(1, 2, 2, 1), {})), Reason::kNodeStopping);
}

TEST_F(LogTest, TooMuchPendingIsRefused) {
  Stop();
  options.pending_bytes_max = 2000;
  ExpectOk(Open());
  ExpectOk(log->Append(MakeWrite(1, 1, 10, 1), {}));
  EXPECT_EQ(ReasonOf(log->Append(MakeWrite(1, 11, 20, 1), {})), Reason::kOverloaded);
  EXPECT_EQ(ReasonOf(log->CheckRoom(1500)), Reason::kOverloaded);
  RunAll();
  ExpectOk(Write(MakeWrite(1, 11, 20, 1)));
}

// --- Failing disks ------------------------------------------------------------------------------

TEST_F(LogTest, AFailedSyncIsFinal) {
  ExpectOk(Write(MakeWrite(1, 1, 1, 1)));
  files.AddFault({.operation = sim::DiskOperation::kSync, .path_contains = ".log"});
  std::vector<Status> results;
  for (int i = 2; i < 5; ++i) {
    ExpectOk(log->Append(MakeWrite(1, i, i, 1), [&](Status s) { results.push_back(s); }));
  }
  RunAll();
  ASSERT_EQ(results.size(), 3u);
  for (const Status& status : results) EXPECT_FALSE(status.ok());
  ASSERT_TRUE(fatal.has_value());
  const std::uint64_t calls = files.calls();
  EXPECT_FALSE(log->Append(MakeWrite(1, 2, 2, 1), {}).ok());
  EXPECT_FALSE(log->Append(MakeWrite(2, 1, 1, 1), {}).ok());
  RunAll();
  EXPECT_EQ(files.calls(), calls) << "nothing may be written or synced after a failed sync";
}

TEST_F(LogTest, AnOperationThatHangsShowsInTheStats) {
  ExpectOk(Write(MakeWrite(1, 1, 1, 1)));
  EXPECT_EQ(log->Stats().io_under_way, Duration(0));
  for (const auto hanging : {sim::DiskOperation::kWrite, sim::DiskOperation::kSync}) {
    Duration shown{0};
    files.SetCallHook([&](const sim::DiskCall& call) {
      if (call.operation != hanging) return rocksdb::IOStatus::OK();
      for (int i = 0; i < 1000; ++i) clock.Now();  // a millisecond
      shown = std::max(shown, log->Stats().io_under_way);
      return rocksdb::IOStatus::OK();
    });
    ExpectOk(Write(MakeWrite(1, 2, 2, 1)));
    EXPECT_GT(shown, Duration(0));
    EXPECT_EQ(log->Stats().io_under_way, Duration(0));
  }
}

TEST_F(LogTest, AFailedWriteIsFinal) {
  ExpectOk(Write(MakeWrite(1, 1, 1, 1)));
  files.AddFault({.operation = sim::DiskOperation::kWrite, .path_contains = ".log"});
  EXPECT_FALSE(Write(MakeWrite(1, 2, 2, 1)).ok());
  EXPECT_TRUE(fatal.has_value());
  EXPECT_FALSE(Write(MakeWrite(1, 2, 2, 1)).ok());
}

TEST_F(LogTest, AFailedDirectorySyncIsFinal) {
  files.AddFault({.operation = sim::DiskOperation::kSyncDirectory, .path_contains = "/node/log"});
  EXPECT_FALSE(Write(MakeWrite(1, 1, 1, 1)).ok());
  EXPECT_TRUE(fatal.has_value());
}

TEST_F(LogTest, AFullDiskRefusesAndRecovers) {
  ExpectOk(Write(MakeWrite(1, 1, 1, 1)));
  files.SetCapacity(files.used_bytes());
  std::uint64_t last = 1;
  Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) {
    status = Write(MakeWrite(1, last + 1, last + 50, 1));
    if (status.ok()) last += 50;
  }
  EXPECT_EQ(ReasonOf(status), Reason::kDiskFull) << MessageOf(status);
  EXPECT_FALSE(fatal.has_value());
  EXPECT_EQ(ReasonOf(log->CheckRoom(8000)), Reason::kDiskFull);
  // Votes get through, and reads go on.
  ExpectOk(Write(MakeWrite(2, MakeHardState(2, 2, 0))));
  ExpectEntries(1, MakeWrite(1, 1, last, 1).entries);
  // A release makes room without any more space.
  log->Release(GroupId(1), Index(last), Term(1));
  RunAll(true);
  ExpectOk(Write(MakeWrite(1, last + 1, last + 50, 1)));
  last += 50;
  // And so does space.
  for (int i = 0; i < 100; ++i) {
    status = Write(MakeWrite(1, last + 1, last + 50, 1));
    if (!status.ok()) break;
    last += 50;
  }
  EXPECT_EQ(ReasonOf(status), Reason::kDiskFull);
  files.SetCapacity(UINT64_MAX);
  RunAll(true);
  for (int i = 0; i < 30; ++i) {
    ExpectOk(Write(MakeWrite(1, last + 1, last + 50, 1)));
    last += 50;
  }
  Reopen();
  EXPECT_EQ(Recovered(1).start_index + Recovered(1).entries.size(), Index(last));
}

TEST_F(LogTest, WritesAcceptedBeforeTheDiskWasFoundFullWaitForSpace) {
  ExpectOk(Write(MakeWrite(1, 1, 1, 1)));
  files.SetCapacity(files.used_bytes());
  int done = 0;
  for (int i = 0; i < 100; ++i) {
    ExpectOk(log->Append(MakeWrite(1, 2 + 50 * i, 51 + 50 * i, 1), [&](Status status) {
      ExpectOk(status);
      ++done;
    }));
  }
  RunAll(true);
  EXPECT_GT(done, 5);
  EXPECT_LT(done, 100);
  EXPECT_FALSE(fatal.has_value());
  files.SetCapacity(UINT64_MAX);
  RunAll(true);
  EXPECT_EQ(done, 100);
  Reopen();
  EXPECT_EQ(Recovered(1).entries.size(), 5001u);
}

TEST_F(LogTest, FileDescriptorsRunOut) {
  ExpectOk(Write(MakeWrite(1, 1, 1, 1)));
  files.AddFault({.operation = sim::DiskOperation::kOpen,
                  .times = 1000,
                  .error = rocksdb::IOStatus::IOError("too many open files")});
  files.AddFault({.operation = sim::DiskOperation::kCreate,
                  .times = 1000,
                  .error = rocksdb::IOStatus::IOError("too many open files")});
  std::uint64_t last = 1;
  Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) {
    status = log->Append(MakeWrite(1, last + 1, last + 50, 1), {});
    if (status.ok()) last += 50;
    RunAll();
  }
  EXPECT_EQ(ReasonOf(status), Reason::kDiskFull);
  EXPECT_FALSE(fatal.has_value());
  files.ClearFaults();
  RunAll(true);
  ExpectOk(Write(MakeWrite(1, last + 1, last + 50, 1)));
  Reopen();
  EXPECT_EQ(Recovered(1).entries.size(), last + 50);
}

// --- Space --------------------------------------------------------------------------------------

TEST_F(LogTest, ReleasedSegmentsAreRecycled) {
  std::uint64_t last = 0;
  for (int i = 0; i < 400; ++i) {
    ExpectOk(Write(MakeWrite(1, last + 1, last + 50, 1)));
    last += 50;
    log->Release(GroupId(1), Index(last - 20), Term(1));
  }
  EXPECT_LE(log->Stats().segments, 3u);
  EXPECT_LE(files.used_bytes(), 8 * options.segment_bytes);
  EXPECT_EQ(log->Stats().rewritten_bytes, 0u);
  Reopen();
  EXPECT_EQ(Recovered(1).start_index, Index(last - 20));
  EXPECT_EQ(Recovered(1).entries.size(), 20u);
}

TEST_F(LogTest, QuietGroupsDoNotHoldTheLogUp) {
  Stop();
  options.live_bytes_soft_max = 256 << 10;
  ExpectOk(Open());
  // Thirty groups that vote once, write a little, release a part, and fall silent.
  for (std::uint64_t group = 10; group < 40; ++group) {
    LogWrite write = MakeWrite(group, 1, 5, 3);
    write.hard_state = MakeHardState(3, group, 0);
    ExpectOk(Write(std::move(write)));
    log->Release(GroupId(group), Index(2), Term(3));
  }
  std::uint64_t last = 0;
  for (int i = 0; i < 400; ++i) {
    ExpectOk(Write(MakeWrite(1, last + 1, last + 50, 1)));
    last += 50;
    log->Release(GroupId(1), Index(last), Term(1));
  }
  EXPECT_LE(log->Stats().segments, 6u);
  EXPECT_GT(log->Stats().rewritten_bytes, 0u);
  EXPECT_LT(log->Stats().rewritten_bytes, log->Stats().appended_bytes / 4);
  for (std::uint64_t group = 10; group < 40; ++group) {
    ExpectEntries(group, MakeWrite(group, 3, 5, 3).entries);
  }
  Reopen();
  for (std::uint64_t group = 10; group < 40; ++group) {
    EXPECT_EQ(Recovered(group).hard_state, MakeHardState(3, group, 0));
    EXPECT_EQ(Recovered(group).start_index, Index(2));
    EXPECT_EQ(Recovered(group).start_term, Term(3));
    EXPECT_EQ(Recovered(group).entries.size(), 3u);
    ExpectEntries(group, MakeWrite(group, 3, 5, 3).entries);
  }
}

TEST_F(LogTest, ALaggingGroupIsAskedToRelease) {
  ExpectOk(Write(MakeWrite(9, 1, 300, 1)));
  EXPECT_TRUE(log->Pressure().empty());
  std::uint64_t last = 0;
  for (int i = 0; i < 200 && log->Pressure().empty(); ++i) {
    ExpectOk(Write(MakeWrite(1, last + 1, last + 50, 1)));
    last += 50;
  }
  const std::vector<GroupId> groups = log->Pressure();
  ASSERT_FALSE(groups.empty());
  EXPECT_EQ(groups.back(), GroupId(9));
  // The other group lets go of everything: what the lagging one holds is copied, and the log fits.
  log->Release(GroupId(1), Index(last), Term(1));
  for (int i = 0; i < 50; ++i) {
    ExpectOk(Write(MakeWrite(1, last + 1, last + 50, 1)));
    last += 50;
    log->Release(GroupId(1), Index(last), Term(1));
  }
  EXPECT_LE(log->Stats().held_bytes, options.live_bytes_soft_max);
  EXPECT_TRUE(log->Pressure().empty());
  ExpectEntries(9, MakeWrite(9, 1, 300, 1).entries);
}

TEST_F(LogTest, ManyRestartsDoNotPileUpSegments) {
  for (std::uint64_t i = 1; i <= 60; ++i) {
    ExpectOk(Write(MakeWrite(1, i, i, 1)));
    Reopen();
    ASSERT_EQ(Recovered(1).entries.size(), i);
  }
  EXPECT_LE(log->Stats().segments, 4u);
}

TEST_F(LogTest, AReleaseAloneFreesSegments) {
  std::uint64_t last = 0;
  for (int i = 0; i < 100; ++i) {
    ExpectOk(Write(MakeWrite(1, last + 1, last + 50, 1)));
    last += 50;
  }
  EXPECT_GT(log->Stats().segments, 5u);
  log->Release(GroupId(1), Index(last), Term(1));
  RunAll();
  EXPECT_EQ(log->Stats().segments, 1u);
}

}  // namespace
}  // namespace flotilla::raft
