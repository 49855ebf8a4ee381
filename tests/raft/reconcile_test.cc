// Log and state machine at start-up: which pairs of them may go on, and as what.

#include <gtest/gtest.h>

#include "raft/core/configuration_tracker.h"
#include "raft/group.h"

namespace flotilla::raft {
namespace {

// A state machine that has applied up to a mark.
class Applied final : public StateMachine {
 public:
  Applied(std::uint64_t index, std::uint64_t term) {
    mark_.index = Index(index);
    mark_.term = Term(term);
  }
  explicit Applied(SnapshotMark mark) : mark_(std::move(mark)) {}
  Status Apply(std::vector<AppliedEntry>&) override { return absl::OkStatus(); }
  Index applied() const override { return mark_.index; }
  Index durable() const override { return mark_.index; }
  SnapshotMark mark() const override { return mark_; }
  void Flush(UniqueFunction<void(StatusOr<Index>)> done) override { done(mark_.index); }
  StatusOr<SnapshotInfo> TakeSnapshot() override { return SnapshotInfo(); }
  void DropSnapshot(const SnapshotInfo&) override {}
  Status InstallSnapshot(const std::string&, const SnapshotMark&) override {
    return absl::OkStatus();
  }

 private:
  SnapshotMark mark_;
};

// A log of entries start+1 .. start+terms.size().
RecoveredGroup Logged(std::uint64_t start, std::uint64_t start_term,
                      const std::vector<std::uint64_t>& terms, const HardState& hard_state) {
  RecoveredGroup logged;
  logged.start_index = Index(start);
  logged.start_term = Term(start_term);
  for (const std::uint64_t term : terms) logged.entries.push_back({.term = Term(term), .bytes = 1});
  logged.hard_state = hard_state;
  return logged;
}

HardState Hard(std::uint64_t term, std::uint64_t vote, std::uint64_t commit) {
  return {.term = Term(term), .vote = NodeId(vote), .commit = Index(commit)};
}

StatusOr<RestoredState> Try(const RecoveredGroup& logged, const StateMachine& machine,
                            bool& reset_log) {
  return Reconcile(GroupId(2), logged, machine, reset_log);
}

TEST(Reconcile, TheLogGoesOnFromTheState) {
  bool reset_log = true;
  const auto restored = Try(Logged(5, 1, {1, 2, 2, 3}, Hard(4, 9, 6)), Applied(7, 2), reset_log);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_FALSE(reset_log);
  EXPECT_EQ(restored->snapshot.index, Index(5));
  EXPECT_EQ(restored->log.size(), 4u);
  EXPECT_EQ(restored->applied, Index(7));
  EXPECT_EQ(restored->hard_state, Hard(4, 9, 7)) << "what is applied was committed";
}

TEST(Reconcile, ACommitIndexAheadOfItsEntriesIsDamage) {
  bool reset_log = false;
  const auto restored = Try(Logged(0, 0, {1, 1, 1}, Hard(1, 0, 4)), Applied(2, 1), reset_log);
  EXPECT_EQ(ReasonOf(restored.status()), Reason::kDataDamaged);
  EXPECT_TRUE(Try(Logged(0, 0, {1, 1, 1}, Hard(1, 0, 3)), Applied(2, 1), reset_log).ok());
}

TEST(Reconcile, AGapBetweenStateAndLogIsDamage) {
  bool reset_log = false;
  const auto restored = Try(Logged(8, 2, {2, 2}, Hard(2, 0, 0)), Applied(7, 2), reset_log);
  EXPECT_EQ(ReasonOf(restored.status()), Reason::kDataDamaged);
  EXPECT_TRUE(Try(Logged(7, 2, {2, 2}, Hard(2, 0, 7)), Applied(7, 2), reset_log).ok());
}

// A learner that joined within the log must not be taken for one that always was a member: it would
// be fed what came before it joined.
TEST(Reconcile, TheLogsStartHasNotTheConfigurationOfTheState) {
  bool reset_log = false;
  Configuration before;
  before.voters = {NodeId(2), NodeId(4)};
  Configuration after = before;
  after.learners = {NodeId(1)};
  RecoveredGroup logged = Logged(5, 1, {1, 1, 1, 1}, Hard(1, 0, 8));
  SnapshotMark mark{.index = Index(8), .term = Term(1), .configuration = after};
  const auto joined_at = [&] {
    const auto restored = Try(logged, Applied(mark), reset_log);
    EXPECT_TRUE(restored.ok());
    return ConfigurationTracker(restored->snapshot.index, restored->snapshot.configuration,
                                restored->configurations)
        .JoinedAt(NodeId(1));
  };
  EXPECT_EQ(joined_at(), Index()) << "before the log";
  logged.configurations = {{Index(7), after}};
  EXPECT_EQ(joined_at(), Index(7));
  logged.configurations = {{Index(6), before}, {Index(8), after}};
  EXPECT_EQ(joined_at(), Index(8));
  mark = {.index = Index(7), .term = Term(1), .configuration = after};
  logged.configurations = {{Index(9), before}};
  const auto restored = Try(logged, Applied(mark), reset_log);
  EXPECT_EQ(restored->snapshot.configuration, after) << "nothing of the log is applied";
}

// The state is that of the snapshot, the log still that from before: it ends too early, or has
// other entries there, which the snapshot has shown to be lost.
TEST(Reconcile, AnInstallThatWasCutShortResetsTheLog) {
  for (const auto& terms : {std::vector<std::uint64_t>{1, 1}, {1, 1, 1, 1, 1, 1}}) {
    bool reset_log = false;
    const auto restored = Try(Logged(0, 0, terms, Hard(3, 9, 1)), Applied(5, 2), reset_log);
    ASSERT_TRUE(restored.ok()) << restored.status();
    EXPECT_TRUE(reset_log);
    EXPECT_EQ(restored->snapshot.index, Index(5));
    EXPECT_EQ(restored->snapshot.term, Term(2));
    EXPECT_TRUE(restored->log.empty());
    EXPECT_EQ(restored->hard_state, Hard(3, 9, 5)) << "the vote is kept";
  }
}

TEST(Reconcile, AStateOfANewerTermBringsItsTerm) {
  bool reset_log = false;
  const auto restored = Try(Logged(0, 0, {1}, Hard(1, 9, 1)), Applied(5, 2), reset_log);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->hard_state, Hard(2, 0, 5));
}

}  // namespace
}  // namespace flotilla::raft
