// FakeWorld: a client's world in one thread, in which the test plays the network and the time.
//
// Nothing happens by itself: the test accepts or refuses connections, looks at the batches that
// were sent, answers them in the order it likes, and lets time pass.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "client/client.h"
#include "client/connection.h"
#include "client/dispatcher.h"
#include "flotilla/v1/kv.pb.h"
#include "flotilla/v1/transactions.pb.h"

namespace flotilla::client {

class FakeClock final : public Clock {
 public:
  MonoTime Now() const override { return now; }
  std::chrono::microseconds WallNow() const override { return {}; }
  MonoTime now{std::chrono::seconds(1000)};
};

// Only timers: the client posts nothing else.
class FakeExecutor final : public Executor {
 public:
  explicit FakeExecutor(FakeClock* clock) : clock_(clock) {}

  std::unique_ptr<Strand> NewStrand(std::string_view name) override;
  std::unique_ptr<Strand> NewBlockingStrand(std::string_view name) override;
  void Post(Closure closure) override { timers_.emplace(clock_->now, std::move(closure)); }

  // Lets time pass, running what comes due on the way.
  void Advance(Duration by);

 private:
  friend class FakeStrand;
  FakeClock* const clock_;
  std::multimap<MonoTime, Closure> timers_;
};

// One connection that the client asked for. The test is the other end.
class FakeConnection final : public Connection {
 public:
  FakeConnection(std::string to, std::shared_ptr<ConnectionObserver> observer)
      : address(std::move(to)), observer_(std::move(observer)) {}

  void Send(const v1::PipelineRequest& batch) override;
  void Close() override { close_asked = true; }

  void Accept(Timestamp newest = Timestamp(100)) { observer_->OnConnected(newest); }
  // OnSent for the last batch.
  void Flush();
  void Break(const std::string& why);

  // Answers one request: with success of its kind (gets and puts can name the group)...
  void Ok(const v1::Request& request, std::uint64_t node = 1, std::uint64_t group = 0);
  // ... or with an error.
  void Fail(const v1::Request& request, const Status& error);
  // Lets go of the client, which holds this object in turn.
  void Abandon() { observer_.reset(); }

  void Respond(v1::PipelineResponse responses) { observer_->OnResponses(responses); }

  const std::string address;
  std::vector<v1::PipelineRequest> batches;
  bool unsent = false;  // a batch awaits Flush()
  bool close_asked = false;
  bool closed = false;

 private:
  std::shared_ptr<ConnectionObserver> observer_;
};

// One stream of transactions. The test is the other end.
class FakeTxnStream final : public TxnStream {
 public:
  FakeTxnStream(std::string to, std::shared_ptr<TxnStreamObserver> observer)
      : address(std::move(to)), observer_(std::move(observer)) {}

  void Send(const v1::TransactRequest& batch) override {
    batches.push_back(batch);
    unsent = true;
  }
  void Close() override { close_asked = true; }

  void Accept() { observer_->OnConnected(Timestamp(100)); }
  void Flush() {
    unsent = false;
    observer_->OnSent();
  }
  void Break(const Status& why) { observer_->OnClosed(why); }
  void Respond(v1::TransactResponse responses) { observer_->OnResponses(responses); }
  void Abandon() { observer_.reset(); }

  const std::string address;
  std::vector<v1::TransactRequest> batches;
  bool unsent = false;
  bool close_asked = false;

 private:
  std::shared_ptr<TxnStreamObserver> observer_;
};

// A success that fits the request; values are "value of KEY".
v1::Response Answer(const v1::Request& request, std::uint64_t node);

class FakeConnector final : public Connector {
 public:
  ~FakeConnector() override {
    for (const auto& connection : connections) connection->Abandon();
    for (const auto& stream : txn_streams) stream->Abandon();
  }

  std::shared_ptr<Connection> Connect(const std::string& address,
                                      std::shared_ptr<ConnectionObserver> observer) override;
  std::shared_ptr<TxnStream> ConnectTxns(const std::string& address,
                                         std::shared_ptr<TxnStreamObserver> observer) override {
    txn_streams.push_back(std::make_shared<FakeTxnStream>(address, std::move(observer)));
    return txn_streams.back();
  }
  void ListMembers(const std::string& address, Duration timeout, MembersCallback done) override;

  std::vector<std::shared_ptr<FakeConnection>> connections;
  std::vector<std::shared_ptr<FakeTxnStream>> txn_streams;
  std::shared_ptr<DirectoryWatch> WatchDirectory(
      const std::string& address, std::shared_ptr<DirectoryObserver> observer) override;

  std::vector<std::pair<std::string, MembersCallback>> member_questions;
  // Without one the network has no directory.
  bool has_directory = false;
  struct Watch final : DirectoryWatch {
    void Close() override { close_asked = true; }
    std::string address;
    std::shared_ptr<DirectoryObserver> observer;
    bool close_asked = false;
  };
  std::vector<std::shared_ptr<Watch>> watches;
};

struct FakeWorld {
  FakeWorld() : executor(&clock) {}

  std::unique_ptr<Client> NewClient(ClientOptions options);
  // The newest connection; the address must be that one when given.
  FakeConnection& last() { return *connector.connections.back(); }

  FakeClock clock;
  FakeExecutor executor;
  FakeConnector connector;
};

// Where the answer of an asynchronous call goes. The callback may outlive it.
template <class T>
class Result {
 public:
  Callback<T> Into() {
    return [state = state_](StatusOr<T> result) {
      ++state->runs;
      state->answer = std::move(result);
    };
  }
  int runs() const { return state_->runs; }
  bool done() const { return runs() == 1; }
  StatusOr<T>& answer() const { return state_->answer; }
  Reason reason() const { return ReasonOf(answer().status()); }

 private:
  struct State {
    int runs = 0;
    StatusOr<T> answer = absl::UnknownError("not yet");
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace flotilla::client
