#include "cmd/kvd/transact_session.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <map>

#include "google/rpc/error_details.pb.h"
#include "tests/cmd/kvd/fake_gateway.h"
#include "tests/cmd/kvd/fake_transactions.h"
#include "tests/cmd/kvd/still_clock.h"

namespace flotilla {
namespace {

using Journal = std::vector<std::string>;

class TransactSessionTest : public ::testing::Test {
 protected:
  TransactSessionTest() { Open({}); }

  void Open(const TransactSession::Options& options) {
    session_ = std::make_shared<TransactSession>(
        options, &transactions_, &gateway_, &clock_, [this](v1::TransactResponse message) {
          ++messages_;
          for (const v1::TxnResponse& one : message.responses()) {
            EXPECT_TRUE(answers_.emplace(one.id(), one).second) << one.id() << " twice";
          }
          if (message.responses().empty()) timestamp_ = message.timestamp();
        });
  }

  void Send(const std::string& text) {
    v1::TransactRequest batch;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &batch)) << text;
    session_->OnRequests(batch);
  }

  // The reason of an error; else the kind of the answer; "-": there is none yet.
  std::string Answer(std::uint64_t id) const {
    const auto found = answers_.find(id);
    if (found == answers_.end()) return "-";
    const v1::TxnResponse& answer = found->second;
    if (!answer.has_error()) {
      return answer.GetDescriptor()->FindFieldByNumber(answer.response_case())->name();
    }
    google::rpc::ErrorInfo info;
    if (answer.error().details_size() == 1) answer.error().details(0).UnpackTo(&info);
    return info.reason();
  }

  FakeGateway gateway_;
  FakeTransactions transactions_;
  StillClock clock_;
  std::map<std::uint64_t, v1::TxnResponse> answers_;
  std::uint64_t timestamp_ = 0;
  int messages_ = 0;
  std::shared_ptr<TransactSession> session_;
};

TEST_F(TransactSessionTest, OneMessageMayHoldAWholeTransaction) {
  Send(R"(requests { id: 1 begin {} }
          requests { id: 2 put { key: "a" value: "1" ttl { seconds: 3 } } }
          requests { id: 3 set_savepoint { name: "s" } }
          requests { id: 4 delete { key: "b" } }
          requests { id: 5 roll_back_to { name: "s" } }
          requests { id: 6 commit {} })");
  EXPECT_EQ(transactions_.TakeJournal(), (Journal{"1: put a for 3000", "1: savepoint s",
                                                  "1: delete b", "1: back to s", "1: commit"}));
  EXPECT_EQ(Answer(6), "-");
  FakeTransactions::Answer<Timestamp>(transactions_.commits, Timestamp(77));
  for (std::uint64_t id = 2; id < 6; ++id) EXPECT_EQ(Answer(id), "done") << id;
  EXPECT_EQ(answers_[1].begun().transaction_id(), 1u);
  EXPECT_EQ(answers_[1].begun().read_timestamp(), 1001u);
  EXPECT_EQ(answers_[6].committed().timestamp(), 77u);
  EXPECT_EQ(session_->open(), 0u);
}

TEST_F(TransactSessionTest, WhatHasOnlyBeenTakenInIsToldWithTheAnswerToWhatFollows) {
  Send(R"(requests { id: 1 begin {} } requests { id: 2 get { key: "a" } })");
  EXPECT_EQ(messages_, 0);
  FakeTransactions::Answer<FakeTransactions::Got>(transactions_.gets, FakeTransactions::Got(1));
  EXPECT_EQ(messages_, 1);
  EXPECT_EQ(Answer(1), "begun");
  EXPECT_EQ(Answer(2), "get");
  Send(R"(requests { id: 3 put { key: "a" } } requests { id: 4 put { key: "b" } })");
  EXPECT_EQ(messages_, 2) << "nothing follows";
  EXPECT_EQ(Answer(3), "done");
  EXPECT_EQ(Answer(4), "done");
  Send(R"(requests { id: 5 put { key: "a" } } requests { id: 6 commit {} })");
  EXPECT_EQ(messages_, 2);
  FakeTransactions::Answer<Timestamp>(transactions_.commits, Timestamp(77));
  EXPECT_EQ(messages_, 3);
  EXPECT_EQ(Answer(5), "done");
  EXPECT_EQ(Answer(6), "committed");
}

TEST_F(TransactSessionTest, ABeginningThatTakesItsTimeIsToldWhenItHasCome) {
  transactions_.at_once = false;
  Send(R"(requests { id: 1 begin {} })");
  EXPECT_EQ(messages_, 0);
  transactions_.AnswerBegin();
  EXPECT_EQ(Answer(1), "begun");
}

TEST_F(TransactSessionTest, NothingOvertakesWhatHasNotBegun) {
  transactions_.at_once = false;
  Send(R"(requests { id: 1 begin { isolation: ISOLATION_READ_COMMITTED timeout { seconds: 5 } } }
          requests { id: 2 get { key: "a" } }
          requests { id: 3 put { key: "a" } })");
  EXPECT_TRUE(transactions_.journal.empty());
  EXPECT_EQ(transactions_.begun.front().isolation, kv::Isolation::kReadCommitted);
  EXPECT_EQ(transactions_.begun.front().timeout, Duration(std::chrono::seconds(5)));
  transactions_.AnswerBegin();
  EXPECT_EQ(transactions_.TakeJournal(), (Journal{"1: get 1 a"}));
  FakeTransactions::Answer<FakeTransactions::Got>(
      transactions_.gets, FakeTransactions::Got{{.found = true, .value = "v"}});
  EXPECT_EQ(answers_[2].get().value(), "v");
  EXPECT_EQ(transactions_.TakeJournal(), (Journal{"1: put a"}));
  EXPECT_EQ(Answer(3), "done");
}

TEST_F(TransactSessionTest, ReadsOfOneMomentRunTogetherAndWhatChangesWaitsForThem) {
  Send(R"(requests { id: 1 begin {} }
          requests { id: 2 get { key: "a" } }
          requests { id: 3 batch_get { keys: "b" keys: "c" } }
          requests { id: 4 scan { prefix: "p" limit: 5 } }
          requests { id: 5 put { key: "a" } }
          requests { id: 6 get { key: "a" } })");
  EXPECT_EQ(transactions_.TakeJournal(), (Journal{"1: get 1 a", "1: get 1 b c", "1: scan p..q"}));
  FakeTransactions::Answer<kv::ScanPage>(
      transactions_.scans, kv::ScanPage{.rows = {{.key = "p1"}}, .more = true, .resume_key = "p2"});
  EXPECT_EQ(answers_[4].scan().rows(0).key(), "p1");
  EXPECT_FALSE(answers_[4].scan().continuation_token().empty());
  FakeTransactions::Answer<FakeTransactions::Got>(transactions_.gets, FakeTransactions::Got(1));
  EXPECT_TRUE(transactions_.journal.empty()) << "one is still under way";
  FakeTransactions::Answer<FakeTransactions::Got>(transactions_.gets, FakeTransactions::Got(2));
  EXPECT_EQ(answers_[3].batch_get().results_size(), 2);
  EXPECT_EQ(transactions_.TakeJournal(), (Journal{"1: put a", "1: get 1 a"}));
  Send(R"(requests { id: 7 scan { prefix: "x" continuation_token: "forged" } })");
  EXPECT_EQ(Answer(7), "BAD_TOKEN");
}

TEST_F(TransactSessionTest, AtTheLowerLevelsReadsRunOneByOne) {
  Send(R"(requests { id: 1 begin { isolation: ISOLATION_READ_COMMITTED } }
          requests { id: 2 get { key: "a" } }
          requests { id: 3 get { key: "b" } })");
  EXPECT_EQ(transactions_.TakeJournal(), (Journal{"1: get 1 a"}));
}

TEST_F(TransactSessionTest, TransactionsOfOneStreamAreIndependent) {
  Send(R"(requests { id: 1 transaction: 7 begin {} }
          requests { id: 2 transaction: 8 begin {} }
          requests { id: 3 transaction: 7 get { key: "a" } }
          requests { id: 4 transaction: 7 commit {} }
          requests { id: 5 transaction: 8 put { key: "b" } }
          requests { id: 6 transaction: 8 commit {} })");
  EXPECT_EQ(transactions_.TakeJournal(), (Journal{"1: get 1 a", "2: put b", "2: commit"}));
  EXPECT_EQ(session_->open(), 2u);
}

TEST_F(TransactSessionTest, AFailedWriteKeepsTheCommitFromHappening) {
  transactions_.next_write = Error(Reason::kBatchTooLarge, "too much");
  Send(R"(requests { id: 1 begin {} }
          requests { id: 2 put { key: "a" } }
          requests { id: 3 put { key: "b" } }
          requests { id: 4 get { key: "b" } }
          requests { id: 5 commit {} })");
  for (std::uint64_t id = 2; id <= 5; ++id) EXPECT_EQ(Answer(id), "BATCH_TOO_LARGE") << id;
  EXPECT_EQ(transactions_.TakeJournal(), (Journal{"1: put a", "1: rollback"}));
  EXPECT_EQ(session_->open(), 0u);
}

TEST_F(TransactSessionTest, RollingBackToASavepointMendsAFailedTransaction) {
  Send(R"(requests { id: 1 begin {} }
          requests { id: 2 set_savepoint { name: "s" } }
          requests { id: 3 put {} }
          requests { id: 4 set_savepoint { name: "t" } }
          requests { id: 5 roll_back_to { name: "s" } }
          requests { id: 6 put { key: "b" } }
          requests { id: 7 set_savepoint {} })");
  EXPECT_EQ(Answer(3), "BAD_REQUEST");
  EXPECT_EQ(Answer(4), "BAD_REQUEST");
  EXPECT_EQ(Answer(6), "done");
  EXPECT_EQ(Answer(7), "BAD_REQUEST") << "a savepoint without a name";
  EXPECT_EQ(transactions_.TakeJournal(), (Journal{"1: savepoint s", "1: back to s", "1: put b"}));
}

TEST_F(TransactSessionTest, ANumberIsFreeAgainAfterTheEnd) {
  Send(R"(requests { id: 1 begin {} }
          requests { id: 2 commit {} }
          requests { id: 3 begin {} }
          requests { id: 4 begin {} }
          requests { id: 5 commit {} }
          requests { id: 6 roll_back {} })");
  FakeTransactions::Answer<Timestamp>(transactions_.commits,
                                      Error(Reason::kTxnConflict, "a key has changed"));
  EXPECT_EQ(Answer(2), "TXN_CONFLICT");
  EXPECT_EQ(Answer(3), "begun");
  EXPECT_EQ(Answer(4), "BAD_REQUEST") << "the number is in use";
  EXPECT_EQ(Answer(5), "BAD_REQUEST") << "what was meant for another transaction is not done";
  EXPECT_EQ(Answer(6), "done");
  Send(R"(requests { id: 7 get { key: "a" } } requests { id: 8 commit {} }
          requests { id: 9 roll_back {} })");
  EXPECT_EQ(Answer(7), "TXN_NOT_FOUND");
  EXPECT_EQ(Answer(8), "TXN_NOT_FOUND");
  EXPECT_EQ(Answer(9), "done");
  EXPECT_EQ(session_->open(), 0u);
}

TEST_F(TransactSessionTest, WhatFollowsABeginThatFailedFailsLikeIt) {
  transactions_.at_once = false;
  Send(R"(requests { id: 1 begin {} } requests { id: 2 put { key: "a" } }
          requests { id: 3 commit {} })");
  transactions_.AnswerBegin(Error(Reason::kNoQuorum, "no oracle"));
  for (std::uint64_t id = 1; id <= 3; ++id) EXPECT_EQ(Answer(id), "NO_QUORUM") << id;
  EXPECT_EQ(session_->open(), 0u);
}

TEST_F(TransactSessionTest, ABrokenStreamRollsBackWhatIsOpenButNoCommit) {
  Send(R"(requests { id: 1 transaction: 1 begin {} }
          requests { id: 2 transaction: 2 begin {} }
          requests { id: 3 transaction: 2 commit {} }
          requests { id: 4 transaction: 3 begin {} }
          requests { id: 5 transaction: 3 get { key: "a" } }
          requests { id: 6 transaction: 3 commit {} })");
  transactions_.at_once = false;
  Send(R"(requests { id: 7 transaction: 4 begin {} } requests { id: 8 transaction: 4 commit {} })");
  transactions_.TakeJournal();
  session_->Close();
  Journal journal = transactions_.TakeJournal();
  std::sort(journal.begin(), journal.end());
  EXPECT_EQ(journal, (Journal{"1: rollback", "3: rollback"}));
  FakeTransactions::Answer<FakeTransactions::Got>(transactions_.gets, FakeTransactions::Got(1));
  FakeTransactions::Answer<Timestamp>(transactions_.commits, Timestamp(5));
  transactions_.AnswerBegin();
  EXPECT_EQ(transactions_.TakeJournal(), (Journal{"4: rollback"})) << "the late one, too";
  EXPECT_EQ(Answer(3), "-");
}

TEST_F(TransactSessionTest, KeyspacesAreThoseOfTheRequestElseOfTheTransaction) {
  gateway_.AddKeyspace("blue", 5);
  Send(R"(requests { id: 1 begin { keyspace: "blue" } }
          requests { id: 2 get { key: "a" } }
          requests { id: 3 get { key: "a" keyspace: "default" } }
          requests { id: 4 get { key: "a" keyspace: "red" } })");
  EXPECT_EQ(transactions_.TakeJournal(), (Journal{"1: get 5 a", "1: get 1 a"}));
  FakeGateway::Refresh refresh = gateway_.TakeRefresh();
  gateway_.AddKeyspace("red", 6);
  refresh.done(absl::OkStatus());
  EXPECT_EQ(transactions_.TakeJournal(), (Journal{"1: get 6 a"}));
  Send(R"(requests { id: 5 transaction: 9 begin { keyspace: "none" } })");
  gateway_.TakeRefresh().done(absl::OkStatus());
  EXPECT_EQ(Answer(5), "KEYSPACE_NOT_FOUND");
}

TEST_F(TransactSessionTest, OptionsAreChecked) {
  Send(R"(requests { id: 1 transaction: 1 begin { isolation: 99 } }
          requests { id: 2 transaction: 2 begin { timeout { seconds: 700 } } }
          requests { id: 3 transaction: 3 begin { timeout {} } }
          requests { id: 4 transaction: 4 begin { read_only: true read_timestamp: 9 } }
          requests { id: 5 })");
  for (std::uint64_t id = 1; id <= 3; ++id) EXPECT_EQ(Answer(id), "BAD_REQUEST") << id;
  EXPECT_EQ(Answer(4), "begun");
  EXPECT_EQ(transactions_.begun.back().read_timestamp, Timestamp(9));
  EXPECT_TRUE(transactions_.begun.back().read_only);
  EXPECT_EQ(Answer(5), "UNIMPLEMENTED");
}

TEST_F(TransactSessionTest, BeyondTheBoundsNothingIsDoneInPart) {
  Open({.transactions_max = 2, .requests_max = 3});
  transactions_.at_once = false;
  Send(R"(requests { id: 1 transaction: 1 begin {} }
          requests { id: 2 transaction: 1 put { key: "a" } }
          requests { id: 3 transaction: 1 put { key: "b" } }
          requests { id: 4 transaction: 1 put { key: "c" } }
          requests { id: 5 transaction: 1 commit {} })");
  EXPECT_EQ(Answer(4), "OVERLOADED");
  EXPECT_EQ(Answer(5), "OVERLOADED");
  transactions_.AnswerBegin();
  EXPECT_EQ(Answer(3), "done");
  Send(R"(requests { id: 6 transaction: 1 commit {} })");
  EXPECT_EQ(Answer(6), "OVERLOADED") << "without what was refused it is not the same";
  EXPECT_EQ(transactions_.TakeJournal(), (Journal{"1: put a", "1: put b", "1: rollback"}));
  Send(R"(requests { id: 7 transaction: 1 begin {} } requests { id: 8 transaction: 2 begin {} }
          requests { id: 9 transaction: 3 begin {} })");
  EXPECT_EQ(Answer(9), "OVERLOADED");
}

TEST_F(TransactSessionTest, AnEmptyMessageIsAnsweredAtOnce) {
  gateway_.newest = Timestamp(42);
  Send("");
  EXPECT_EQ(timestamp_, 42u);
}

}  // namespace
}  // namespace flotilla
