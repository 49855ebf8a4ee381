// Client::Transact, over a network of threads whose nodes follow a script.
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

#include "base/real_executor.h"
#include "client/client.h"
#include "client/dispatcher.h"
#include "client/errors.h"
#include "flotilla/v1/transactions.pb.h"

namespace flotilla::client {
namespace {

// How a node answers commits, in turn; the last goes on. kNone: success. kUnreachable: it breaks
// the stream instead.
class Script {
 public:
  void Set(std::deque<Reason> commits) {
    std::lock_guard lock(mutex_);
    commits_ = std::move(commits);
    asked_ = 0;
  }
  Reason Next() {
    std::lock_guard lock(mutex_);
    ++asked_;
    const Reason next = commits_.front();
    if (commits_.size() > 1) commits_.pop_front();
    return next;
  }
  int asked() const {
    std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  mutable std::mutex mutex_;
  std::deque<Reason> commits_{Reason::kNone};
  int asked_ = 0;
};

class ScriptedStream final : public TxnStream, public std::enable_shared_from_this<ScriptedStream> {
 public:
  ScriptedStream(Executor* executor, Script* script, std::shared_ptr<TxnStreamObserver> observer)
      : strand_(executor->NewStrand("stream")), script_(script), observer_(std::move(observer)) {}

  void Start() {
    strand_->Post([self = shared_from_this()] { self->observer_->OnConnected(Timestamp(1)); });
  }
  void Send(const v1::TransactRequest& batch) override {
    strand_->Post([self = shared_from_this(), batch] { self->Serve(batch); });
  }
  void Close() override {
    strand_->Post([self = shared_from_this()] { self->End(); });
  }

 private:
  void Serve(const v1::TransactRequest& batch) {
    if (observer_ == nullptr) return;
    observer_->OnSent();
    v1::TransactResponse out;
    for (const v1::TxnRequest& one : batch.requests()) {
      v1::TxnResponse& response = *out.add_responses();
      response.set_id(one.id());
      if (one.has_begin()) {
        response.mutable_begun();
      } else if (one.has_get()) {
        response.mutable_get();
      } else if (!one.has_commit()) {
        response.mutable_done();
      } else if (const Reason reason = script_->Next(); reason == Reason::kUnreachable) {
        End();
        return;
      } else if (reason == Reason::kNone) {
        response.mutable_committed()->set_timestamp(9);
      } else {
        ToWire(Error(reason, "as the script says"), response.mutable_error());
      }
    }
    observer_->OnResponses(out);
  }
  void End() {
    if (const auto observer = std::move(observer_)) {
      observer->OnClosed(Error(Reason::kUnreachable, "gone"));
    }
  }

  const std::unique_ptr<Strand> strand_;
  Script* const script_;
  std::shared_ptr<TxnStreamObserver> observer_;
};

class ScriptedConnector final : public Connector {
 public:
  ScriptedConnector(Executor* executor, Script* script) : executor_(executor), script_(script) {}
  std::shared_ptr<Connection> Connect(const std::string&,
                                      std::shared_ptr<ConnectionObserver>) override {
    return nullptr;
  }
  void ListMembers(const std::string&, Duration, MembersCallback) override {}
  std::shared_ptr<TxnStream> ConnectTxns(const std::string&,
                                         std::shared_ptr<TxnStreamObserver> observer) override {
    auto stream = std::make_shared<ScriptedStream>(executor_, script_, std::move(observer));
    stream->Start();
    return stream;
  }

 private:
  Executor* const executor_;
  Script* const script_;
};

class TransactTest : public ::testing::Test {
 protected:
  TransactTest() : connector_(&executor_, &script_) { Connect(std::chrono::milliseconds(5)); }
  void Connect(Duration backoff_max) {
    if (client_ != nullptr) client_->Shutdown();
    ClientOptions options;
    options.endpoints = {"a:1", "b:1"};
    options.timeout = std::chrono::seconds(20);
    options.backoff_min = backoff_max / 5;
    options.backoff_max = backoff_max;
    client_ = std::make_unique<Client>(
        options,
        ClientWorld{.executor = &executor_, .clock = &clock_, .connector = &connector_, .seed = 1});
  }
  ~TransactTest() override {
    client_->Shutdown();
    executor_.Stop();
    client_.reset();
  }

  StatusOr<Timestamp> Run(const TransactOptions& options = {}) {
    return client_->Transact(options, [this](Transaction& txn) -> Status {
      ++runs_;
      RETURN_IF_ERROR(txn.Get("a").status());
      return txn.Put("a", "1");
    });
  }

  RealClock clock_;
  RealExecutor executor_{2};
  Script script_;
  ScriptedConnector connector_;
  std::unique_ptr<Client> client_;
  int runs_ = 0;
};

TEST_F(TransactTest, ConflictsAreRunAgain) {
  script_.Set({Reason::kTxnConflict, Reason::kTxnAborted, Reason::kNodeStopping, Reason::kNone});
  const StatusOr<Timestamp> end = Run();
  ASSERT_TRUE(end.ok()) << MessageOf(end.status());
  EXPECT_EQ(*end, Timestamp(9));
  EXPECT_EQ(runs_, 4);
}

TEST_F(TransactTest, AnUnknownOutcomeIsNeverRunAgain) {
  script_.Set({Reason::kOutcomeUnknown, Reason::kNone});
  EXPECT_EQ(ReasonOf(Run().status()), Reason::kOutcomeUnknown);
  EXPECT_EQ(runs_, 1);
}

TEST_F(TransactTest, NorIsACommitWhoseStreamBroke) {
  script_.Set({Reason::kUnreachable, Reason::kNone});
  EXPECT_EQ(ReasonOf(Run().status()), Reason::kOutcomeUnknown);
  EXPECT_EQ(runs_, 1);
  EXPECT_EQ(script_.asked(), 1);
}

TEST_F(TransactTest, WithoutWritesABrokenStreamIsNoDoubt) {
  script_.Set({Reason::kUnreachable, Reason::kNone});
  int runs = 0;
  const StatusOr<Timestamp> end = client_->Transact({}, [&runs](Transaction& txn) {
    ++runs;
    return txn.Get("a").status();
  });
  EXPECT_TRUE(end.ok());
  EXPECT_EQ(runs, 2);
}

TEST_F(TransactTest, AnErrorOfTheCallersOwnRollsBack) {
  const StatusOr<Timestamp> end = client_->Transact({}, [](Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.Put("a", "1"));
    return absl::FailedPreconditionError("not enough money");
  });
  EXPECT_EQ(MessageOf(end.status()), "not enough money");
  EXPECT_EQ(script_.asked(), 0);
}

TEST_F(TransactTest, WithoutTimeForABackOffTheLastErrorIsTheAnswer) {
  Connect(std::chrono::hours(10));
  script_.Set({Reason::kTxnConflict});
  EXPECT_EQ(ReasonOf(Run().status()), Reason::kTxnConflict);
  EXPECT_EQ(runs_, 1);
}

TEST_F(TransactTest, AnAttemptThatTheDeadlineCutsShortSaysLessThanTheOneBefore) {
  script_.Set({Reason::kTxnConflict, Reason::kNone});
  const TransactOptions options{.timeout = std::chrono::seconds(1)};
  const StatusOr<Timestamp> end = client_->Transact(options, [this](Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.Put("a", "1"));
    if (++runs_ == 2) std::this_thread::sleep_for(std::chrono::milliseconds(1'100));
    return txn.Get("a").status();
  });
  EXPECT_EQ(ReasonOf(end.status()), Reason::kTxnConflict) << MessageOf(end.status());
  EXPECT_EQ(runs_, 2);
}

TEST_F(TransactTest, WhatIsRefusedForGoodIsNotRunAgain) {
  script_.Set({Reason::kBatchTooLarge, Reason::kNone});
  EXPECT_EQ(ReasonOf(Run().status()), Reason::kBatchTooLarge);
  EXPECT_EQ(runs_, 1);
}

}  // namespace
}  // namespace flotilla::client
