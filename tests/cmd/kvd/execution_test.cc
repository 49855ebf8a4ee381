#include "cmd/kvd/execution.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "tests/cmd/kvd/fake_gateway.h"
#include "tests/cmd/kvd/fake_transactions.h"

namespace flotilla {
namespace {

using Journal = std::vector<std::string>;
using Got = FakeTransactions::Got;

class HandClock final : public Clock {
 public:
  MonoTime Now() const override { return now; }
  std::chrono::microseconds WallNow() const override { return {}; }
  MonoTime now{std::chrono::seconds(100)};
};

// Timers run when the test says so.
class HandStrand final : public Strand {
 public:
  void Post(Closure closure) override { timers.push_back(std::move(closure)); }
  TimerId After(Duration, Closure closure) override {
    timers.push_back(std::move(closure));
    return timers.size();
  }
  bool Cancel(TimerId) override { return false; }
  bool IsCurrent() const override { return true; }
  bool Stopped() const override { return false; }
  std::vector<Closure> timers;
};

class ExecutionTest : public ::testing::Test {
 protected:
  Status Start(const std::string& text) {
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request_)) << text;
    KeyspaceNames names(&gateway_);
    ASSIGN_OR_RETURN(DecodedExecute plan, Decode(request_, names));
    Execution::Start({.transactions = &transactions_, .timers = &strand_, .clock = &clock_},
                     std::move(plan), clock_.now + std::chrono::seconds(1), Random(1),
                     [this](StatusOr<Execution::Result> result) { result_ = std::move(result); });
    return absl::OkStatus();
  }
  void Give(Got got) { FakeTransactions::Answer<Got>(transactions_.gets, std::move(got)); }
  void Commit(StatusOr<Timestamp> end) {
    FakeTransactions::Answer<Timestamp>(transactions_.commits, std::move(end));
  }

  FakeGateway gateway_;
  FakeTransactions transactions_;
  HandClock clock_;
  HandStrand strand_;
  v1::ExecuteRequest request_;
  std::optional<StatusOr<Execution::Result>> result_;
};

constexpr char kSwap[] = R"(
    compare { key: "a" condition { value: "1" } }
    compare { key: "b" condition { absent: true } }
    success { put { key: "a" value: "2" } } success { get { key: "a" } }
    success { delete { key: "b" } }
    failure { get { key: "a" } } failure { get { key: "b" } })";

TEST_F(ExecutionTest, WhenAllHoldsTheOneSideIsRun) {
  ASSERT_TRUE(Start(kSwap).ok());
  Give({{.found = true, .value = "1"}, {}});
  Give({{.found = true, .value = "2"}});
  Commit(Timestamp(9));
  ASSERT_TRUE(result_ && result_->ok());
  EXPECT_TRUE((*result_)->succeeded);
  EXPECT_EQ((*result_)->timestamp, Timestamp(9));
  EXPECT_EQ((*result_)->results.front().value, "2");
  EXPECT_EQ(transactions_.TakeJournal(),
            (Journal{"1: get 1 a b", "1: put a", "1: get 1 a", "1: delete b", "1: commit"}));
}

TEST_F(ExecutionTest, WhenOneDoesNotTheOtherSideIsRun) {
  ASSERT_TRUE(Start(kSwap).ok());
  Give({{.found = true, .value = "1"}, {.found = true}});
  Give({{.found = true, .value = "1"}, {.found = true, .value = "there"}});
  Commit(Timestamp(9));
  ASSERT_TRUE(result_ && result_->ok());
  EXPECT_FALSE((*result_)->succeeded);
  EXPECT_EQ((*result_)->results.size(), 2u);
  EXPECT_EQ(transactions_.TakeJournal(), (Journal{"1: get 1 a b", "1: get 1 a b", "1: commit"}));
}

TEST_F(ExecutionTest, AConflictIsTriedAgainUntilTheDeadline) {
  ASSERT_TRUE(Start(R"(success { put { key: "a" } })").ok());
  Commit(Error(Reason::kTxnConflict, "a key has changed"));
  EXPECT_FALSE(result_);
  ASSERT_EQ(strand_.timers.size(), 1u);
  std::exchange(strand_.timers, {}).front()();
  EXPECT_EQ(transactions_.begun.size(), 2u);
  clock_.now += std::chrono::seconds(1);
  Commit(Error(Reason::kTxnConflict, "a key has changed"));
  ASSERT_TRUE(result_);
  EXPECT_EQ(ReasonOf(result_->status()), Reason::kTxnConflict);
}

TEST_F(ExecutionTest, AnUnknownOutcomeIsNeverTriedAgain) {
  ASSERT_TRUE(Start(R"(success { put { key: "a" } })").ok());
  Commit(Error(Reason::kOutcomeUnknown, "perhaps"));
  ASSERT_TRUE(result_);
  EXPECT_EQ(ReasonOf(result_->status()), Reason::kOutcomeUnknown);
  EXPECT_TRUE(strand_.timers.empty());
}

TEST_F(ExecutionTest, MistakesAreRefused) {
  for (const char* mistake :
       {R"(compare { key: "a" })", R"(compare { condition { absent: true } })", R"(success {})",
        R"(success { put {} })", R"(failure { get {} })"}) {
    EXPECT_EQ(ReasonOf(Start(mistake)), Reason::kBadRequest) << mistake;
  }
  EXPECT_EQ(ReasonOf(Start(R"(success { get { key: "a" keyspace: "none" } })")),
            Reason::kKeyspaceNotFound);
  v1::ExecuteRequest many;
  for (int i = 0; i <= 1000; ++i) many.add_success()->mutable_get()->set_key("k");
  KeyspaceNames names(&gateway_);
  EXPECT_EQ(ReasonOf(Decode(many, names).status()), Reason::kBatchTooLarge);
}

}  // namespace
}  // namespace flotilla
