// Transaction, over a network that the test plays.
#include "client/transaction.h"

#include <gtest/gtest.h>

#include "client/errors.h"
#include "tests/client/fake_world.h"

namespace flotilla::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class TransactionTest : public ::testing::Test {
 protected:
  TransactionTest() {
    ClientOptions options;
    options.endpoints = {"a:1", "b:1"};
    client_ = world_.NewClient(options);
  }

  FakeTxnStream& Stream() { return *world_.connector.txn_streams.back(); }
  std::size_t streams() const { return world_.connector.txn_streams.size(); }
  FakeTxnStream& Accepted() {
    Stream().Accept();
    return Stream();
  }

  // The kinds of the requests of a message.
  static std::string Kinds(const v1::TransactRequest& batch) {
    std::string kinds;
    for (const v1::TxnRequest& one : batch.requests()) {
      if (!kinds.empty()) kinds += " ";
      kinds += one.GetDescriptor()->FindFieldByNumber(one.request_case())->name();
    }
    return kinds;
  }
  // Success for every request of a message.
  static v1::TransactResponse Answers(const v1::TransactRequest& batch) {
    v1::TransactResponse out;
    for (const v1::TxnRequest& one : batch.requests()) {
      v1::TxnResponse& response = *out.add_responses();
      response.set_id(one.id());
      if (one.has_begin()) {
        response.mutable_begun()->set_transaction_id(500 + one.transaction());
      } else if (one.has_get()) {
        response.mutable_get()->set_found(true);
        response.mutable_get()->set_value("value of " + one.get().key());
      } else if (one.has_commit()) {
        response.mutable_committed()->set_timestamp(77);
      } else {
        response.mutable_done();
      }
    }
    return out;
  }
  static v1::TransactResponse Failure(const v1::TxnRequest& request, Reason reason) {
    v1::TransactResponse out;
    out.add_responses()->set_id(request.id());
    ToWire(Error(reason, "no"), out.mutable_responses(0)->mutable_error());
    return out;
  }

  // Each of eight transactions reads.
  void ReadAll() {
    for (const auto& reader : readers_) reader->GetAsync("b", plain_, [](const auto&) {});
    Stream().Flush();  // the first has left alone, the others together
    Stream().Flush();
  }
  FakeTxnStream& LearnHowLongReadsTake() {
    for (int i = 0; i < 8; ++i) readers_.push_back(client_->Begin());
    readers_[0]->GetAsync("a", plain_, [](const auto&) {});
    FakeTxnStream& stream = Accepted();
    std::size_t answered = 0;
    for (int round = 0; round < 60; ++round) {
      ReadAll();
      world_.executor.Advance(milliseconds(4));
      while (answered < stream.batches.size()) stream.Respond(Answers(stream.batches[answered++]));
    }
    return stream;
  }

  FakeWorld world_;
  std::unique_ptr<Client> client_;
  std::vector<std::unique_ptr<Transaction>> readers_;
  const TxnCallOptions plain_;
};

TEST_F(TransactionTest, OneThatOnlyWritesIsOneMessage) {
  const auto txn = client_->Begin({.isolation = Isolation::kRepeatableRead, .keyspace = "blue"});
  EXPECT_TRUE(txn->Put("a", "1", {.ttl = milliseconds(1500)}).ok());
  EXPECT_TRUE(txn->SetSavepoint("s").ok());
  EXPECT_TRUE(txn->Delete("b", {.keyspace = "red"}).ok());
  EXPECT_EQ(streams(), 0u);
  Result<Timestamp> done;
  txn->CommitAsync(done.Into());
  FakeTxnStream& stream = Accepted();
  ASSERT_EQ(stream.batches.size(), 1u);
  const v1::TransactRequest& batch = stream.batches[0];
  EXPECT_EQ(Kinds(batch), "begin put set_savepoint delete commit");
  EXPECT_EQ(batch.requests(0).begin().isolation(), v1::ISOLATION_REPEATABLE_READ);
  EXPECT_EQ(batch.requests(0).begin().keyspace(), "blue");
  EXPECT_EQ(batch.requests(1).put().ttl().seconds(), 1);
  EXPECT_FALSE(batch.requests(1).put().has_keyspace());
  EXPECT_EQ(batch.requests(3).delete_().keyspace(), "red");
  EXPECT_FALSE(done.done());
  stream.Respond(Answers(batch));
  ASSERT_TRUE(done.done());
  EXPECT_EQ(*done.answer(), Timestamp(77));
  EXPECT_EQ(ReasonOf(txn->Put("c", "1")), Reason::kBadRequest) << "it has ended";
  EXPECT_GT(txn->id(), 500u);
}

TEST_F(TransactionTest, ManyShareOneStreamAndLeaveTogether) {
  const auto first = client_->Begin();
  const auto second = client_->Begin();
  const auto third = client_->Begin();
  Result<GetResult> got[3];
  first->GetAsync("a", plain_, got[0].Into());
  FakeTxnStream& stream = Accepted();
  ASSERT_EQ(stream.batches.size(), 1u);
  second->GetAsync("b", plain_, got[1].Into());
  third->GetAsync("c", plain_, got[2].Into());
  EXPECT_EQ(stream.batches.size(), 1u) << "the first is still being sent";
  stream.Flush();
  ASSERT_EQ(stream.batches.size(), 2u);
  EXPECT_EQ(Kinds(stream.batches[1]), "begin get begin get");
  EXPECT_EQ(streams(), 1u);
  stream.Flush();
  stream.Respond(Answers(stream.batches[1]));
  EXPECT_EQ(got[2].answer()->value, "value of c");
  EXPECT_FALSE(got[0].done());
  stream.Respond(Answers(stream.batches[0]));
  EXPECT_EQ(got[0].answer()->value, "value of a");
}

TEST_F(TransactionTest, RequestsWaitForCompanyWhileMostAnswersAreOwed) {
  FakeTxnStream& stream = LearnHowLongReadsTake();
  ReadAll();
  const std::size_t before = stream.batches.size();
  const auto another = client_->Begin();
  another->GetAsync("c", plain_, [](const auto&) {});
  EXPECT_EQ(stream.batches.size(), before) << "eight are owed";
  world_.executor.Advance(milliseconds(9));
  ASSERT_EQ(stream.batches.size(), before + 1) << "it has waited long enough";
  EXPECT_EQ(Kinds(stream.batches.back()), "begin get");
}

TEST_F(TransactionTest, WhatMayTakeLongIsNotWaitedFor) {
  FakeTxnStream& stream = LearnHowLongReadsTake();
  const auto locks = client_->Begin({.locking = Locking::kPessimistic});
  for (int i = 0; i < 8; ++i) {
    locks->GetAsync("a", plain_, [](const auto&) {});
    readers_[0]->GetAsync("a", {.lock = TxnLock{}}, [](const auto&) {});
    readers_[1]->ScanPageAsync({}, "", plain_, [](const auto&) {});
  }
  stream.Flush();
  stream.Flush();
  const std::size_t before = stream.batches.size();
  readers_[2]->GetAsync("b", plain_, [](const auto&) {});
  EXPECT_EQ(stream.batches.size(), before + 1);
}

TEST_F(TransactionTest, WhatCallbacksBringAboutLeavesTogether) {
  const auto one = client_->Begin();
  const auto two = client_->Begin();
  Result<Timestamp> done[2];
  one->GetAsync("a", plain_, [&](const StatusOr<GetResult>&) { one->CommitAsync(done[0].Into()); });
  two->GetAsync("b", plain_, [&](const StatusOr<GetResult>&) { two->CommitAsync(done[1].Into()); });
  FakeTxnStream& stream = Accepted();
  EXPECT_EQ(Kinds(stream.batches[0]), "begin get begin get");
  stream.Flush();
  stream.Respond(Answers(stream.batches[0]));
  ASSERT_EQ(stream.batches.size(), 2u);
  EXPECT_EQ(Kinds(stream.batches[1]), "commit commit");
}

TEST_F(TransactionTest, WhileNoNodeHasSeenItItGoesWhereOneCanBeReached) {
  const auto txn = client_->Begin();
  EXPECT_TRUE(txn->Put("a", "1").ok());
  Result<Timestamp> done;
  txn->CommitAsync(done.Into());
  const std::string first = Stream().address;
  Stream().Break(Error(Reason::kUnreachable, "refused"));
  ASSERT_EQ(streams(), 2u);
  EXPECT_NE(Stream().address, first);
  EXPECT_EQ(Kinds(Accepted().batches.at(0)), "begin put commit");
  Stream().Respond(Answers(Stream().batches[0]));
  EXPECT_TRUE(done.answer().ok());
}

TEST_F(TransactionTest, WhereNoneCanItSaysSo) {
  const auto txn = client_->Begin();
  Result<GetResult> got;
  txn->GetAsync("a", plain_, got.Into());
  Stream().Break(Error(Reason::kUnreachable, "a is down"));
  Stream().Break(Error(Reason::kUnreachable, "b is down"));
  EXPECT_EQ(got.reason(), Reason::kUnreachable);
}

TEST_F(TransactionTest, WhenTheStreamBreaksACommitThatLeftIsUnknownAndNothingElseIs) {
  const auto sent = client_->Begin();
  const auto read_only = client_->Begin();
  const auto reading = client_->Begin();
  const auto unsent = client_->Begin();
  Result<Timestamp> done[3];
  Result<GetResult> got;
  EXPECT_TRUE(sent->Put("a", "1").ok());
  sent->CommitAsync(done[0].Into());
  read_only->CommitAsync(done[1].Into());
  reading->GetAsync("a", plain_, got.Into());
  Result<GetResult> before;
  unsent->GetAsync("a", plain_, before.Into());
  FakeTxnStream& stream = Accepted();
  EXPECT_TRUE(unsent->Put("b", "1").ok());
  unsent->CommitAsync(done[2].Into());
  stream.Break(Error(Reason::kUnreachable, "reset by peer"));
  EXPECT_EQ(done[0].reason(), Reason::kOutcomeUnknown);
  EXPECT_EQ(done[1].reason(), Reason::kUnreachable) << "it had nothing to commit";
  EXPECT_EQ(got.reason(), Reason::kUnreachable);
  EXPECT_EQ(done[2].reason(), Reason::kUnreachable) << "its commit had not left";
  EXPECT_EQ(streams(), 1u);
  Result<GetResult> again;
  reading->GetAsync("a", plain_, again.Into());
  EXPECT_EQ(again.reason(), Reason::kUnreachable) << "it does not begin again by itself";
  EXPECT_EQ(streams(), 1u);
}

TEST_F(TransactionTest, OneThatIsDroppedIsRolledBackIfItHasBegun) {
  client_->Begin()->Put("a", "1").IgnoreError();
  EXPECT_EQ(streams(), 0u);
  auto txn = client_->Begin();
  Result<GetResult> got;
  txn->GetAsync("a", plain_, got.Into());
  FakeTxnStream& stream = Accepted();
  stream.Flush();
  EXPECT_TRUE(txn->Put("b", "1").ok());
  txn.reset();
  EXPECT_EQ(Kinds(stream.batches.at(1)), "roll_back");
}

TEST_F(TransactionTest, AWriteThatFailedFailsTheCommit) {
  const auto txn = client_->Begin();
  EXPECT_TRUE(txn->Put("a", "1").ok());
  Status flushed = absl::UnknownError("not yet");
  txn->FlushAsync([&](const Status& status) { flushed = status; });
  FakeTxnStream& stream = Accepted();
  EXPECT_EQ(Kinds(stream.batches[0]), "begin put");
  stream.Flush();
  v1::TransactResponse answers = Answers(stream.batches[0]);
  *answers.mutable_responses(1) =
      Failure(stream.batches[0].requests(1), Reason::kBatchTooLarge).responses(0);
  stream.Respond(answers);
  EXPECT_EQ(ReasonOf(flushed), Reason::kBatchTooLarge);
  EXPECT_EQ(ReasonOf(txn->Put("b", "1")), Reason::kBatchTooLarge);
  Result<Timestamp> done;
  txn->CommitAsync(done.Into());
  EXPECT_EQ(done.reason(), Reason::kBatchTooLarge);
  EXPECT_EQ(Kinds(stream.batches.at(1)), "roll_back");
}

TEST_F(TransactionTest, RollingBackToASavepointMendsIt) {
  const auto txn = client_->Begin();
  EXPECT_TRUE(txn->SetSavepoint("s").ok());
  EXPECT_TRUE(txn->Put("a", "1").ok());
  txn->FlushAsync([](const Status&) {});
  FakeTxnStream& stream = Accepted();
  stream.Flush();
  v1::TransactResponse answers = Answers(stream.batches[0]);
  *answers.mutable_responses(2) =
      Failure(stream.batches[0].requests(2), Reason::kValueTooLarge).responses(0);
  stream.Respond(answers);
  EXPECT_FALSE(txn->Put("b", "1").ok());
  EXPECT_TRUE(txn->RollBackTo("s").ok());
  EXPECT_TRUE(txn->Put("b", "1").ok());
  Result<Timestamp> done;
  txn->CommitAsync(done.Into());
  EXPECT_EQ(Kinds(stream.batches.at(1)), "roll_back_to put commit");
  stream.Respond(Answers(stream.batches[1]));
  EXPECT_TRUE(done.answer().ok());
}

TEST_F(TransactionTest, WhatFollowsAFailedBeginSaysWhyItFailed) {
  const auto txn = client_->Begin();
  Result<GetResult> got;
  txn->GetAsync("a", plain_, got.Into());
  FakeTxnStream& stream = Accepted();
  stream.Respond(Failure(stream.batches[0].requests(0), Reason::kKeyspaceNotFound));
  stream.Respond(Failure(stream.batches[0].requests(1), Reason::kTxnNotFound));
  EXPECT_EQ(got.reason(), Reason::kKeyspaceNotFound);
}

TEST_F(TransactionTest, ASilentNodeIsAskedForASignOfLifeAndThenGivenUp) {
  const auto txn = client_->Begin();
  EXPECT_TRUE(txn->Put("a", "1").ok());
  Result<Timestamp> done;
  txn->CommitAsync(done.Into());
  FakeTxnStream& stream = Accepted();
  stream.Flush();
  world_.executor.Advance(milliseconds(600));
  ASSERT_EQ(stream.batches.size(), 2u);
  EXPECT_TRUE(stream.batches[1].requests().empty());
  stream.Flush();
  stream.Respond({});
  world_.executor.Advance(milliseconds(600));
  EXPECT_FALSE(done.done()) << "it lives, and is slow";
  world_.executor.Advance(seconds(3));
  EXPECT_EQ(done.reason(), Reason::kOutcomeUnknown);
  EXPECT_TRUE(stream.close_asked);
}

TEST_F(TransactionTest, EveryCallEndsAtItsDeadline) {
  const auto stuck = client_->Begin();
  const auto asked = client_->Begin();
  EXPECT_TRUE(stuck->Put("a", "1").ok());
  Result<GetResult> got;
  asked->GetAsync("a", {.timeout = milliseconds(300)}, got.Into());
  FakeTxnStream& stream = Accepted();
  EXPECT_EQ(stream.batches.at(0).requests(1).timeout_ms(), 300u);
  Result<Timestamp> done;
  stuck->CommitAsync(done.Into());
  for (int i = 0; i < 12; ++i) {
    world_.executor.Advance(seconds(1));
    stream.Respond({});
  }
  EXPECT_EQ(got.reason(), Reason::kDeadlineExceeded);
  EXPECT_EQ(done.reason(), Reason::kDeadlineExceeded) << "it had not left";
}

TEST_F(TransactionTest, AtTheEndOfTheClientAllEnds) {
  const auto txn = client_->Begin();
  EXPECT_TRUE(txn->Put("a", "1").ok());
  Result<Timestamp> done;
  txn->CommitAsync(done.Into());
  Accepted();
  client_->Shutdown();
  EXPECT_EQ(done.reason(), Reason::kOutcomeUnknown);
  const auto late = client_->Begin();
  Result<GetResult> got;
  late->GetAsync("a", plain_, got.Into());
  EXPECT_EQ(got.reason(), Reason::kCancelled);
}

TEST_F(TransactionTest, BeyondTheBoundAsynchronousCallsAreRefused) {
  ClientOptions options;
  options.endpoints = {"a:1"};
  options.outstanding_max = 3;
  const auto client = world_.NewClient(options);
  const auto txn = client->Begin();
  Result<GetResult> got[3];
  for (auto& one : got) txn->GetAsync("a", plain_, one.Into());
  EXPECT_FALSE(got[1].done());
  EXPECT_EQ(got[2].reason(), Reason::kOverloaded);
  client->Shutdown();
}

}  // namespace
}  // namespace flotilla::client
