// Transactor: carries the requests of many transactions to nodes and answers back, over one stream
// per node.
//
//   Transaction ──▶ Send ──▶ queue ──▶ message ──▶ stream ──▶ node
//                             ▲                       │
//        other transactions ──┘   answers ──▶ callbacks
//
// Messages form by themselves: what comes while the last one is being handed to the network, or
// while callbacks of answers run, leaves together in the next, and while much is owed it waits a
// little for company (pace.h). A transaction stays on the stream
// that its first request left on; until then it goes wherever a node can be reached. Nothing is
// repeated here: what was on a stream that breaks has ended.
//
// One lock guards everything; it is never held during Stream::Send() or a callback. Timers run on a
// strand. Internal to the library: users see transaction.h.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/function.h"
#include "base/random.h"
#include "base/status.h"
#include "client/connection.h"
#include "client/dispatcher.h"
#include "client/options.h"
#include "client/pace.h"
#include "client/routes.h"
#include "flotilla/v1/transactions.pb.h"

namespace flotilla::client {

class TxnLane;

// Where a transaction is: its number, and the stream that it has. Of the transactor's lock.
struct TxnSeat {
  std::uint64_t number = 0;
  std::shared_ptr<TxnLane> lane;  // null: none yet
  bool aboard = false;            // something was sent there
  bool locks = false;             // its reads wait for others
};

// One request of a transaction.
struct TxnCall {
  // OK with the response, which is no error, or an error without one. Its strings may be moved out.
  using Done = UniqueFunction<void(const Status&, v1::TxnResponse*)>;

  v1::TxnRequest request;  // id and number are filled in
  MonoTime deadline;
  Done done;  // may be null
  // Once it has left, its effect is not known without an answer.
  bool perhaps = false;

  // ---- filled in ----
  std::shared_ptr<TxnSeat> seat = {};
  enum class Kind : std::uint8_t {
    kOther,   // what can take long: what locks, and scans
    kTaking,  // answered as soon as it has been taken in
    kRead,
    kCommit,
  };
  Kind kind = Kind::kOther;
  MonoTime sent{};
};

class Transactor : public std::enable_shared_from_this<Transactor> {
 public:
  using Calls = std::vector<std::unique_ptr<TxnCall>>;
  using Admission = Dispatcher::Admission;

  Transactor(const ClientOptions& options, const ClientWorld& world);

  std::shared_ptr<TxnSeat> NewSeat();

  // The calls leave in this order, after those that were given before for this seat; together, as
  // far as a message holds them. Callbacks run exactly once, perhaps inside this very function. Of
  // one seat: one call at a time. Any thread.
  void Send(const std::shared_ptr<TxnSeat>& seat, Calls calls, Admission admission);

  // Ends every call: CANCELLED, or OUTCOME_UNKNOWN. No callback runs after it has returned. Not
  // from a callback. Idempotent.
  void Shutdown();

  MonoTime Now() const { return clock_->Now(); }
  const ClientOptions& options() const { return options_; }
  // How long to wait after an attempt, the first being 1.
  Duration BackoffAfter(std::uint32_t attempt);
  // `done`: whether the client goes on. On the strand, or within the call.
  void After(Duration delay, UniqueFunction<void(bool)> done);

 private:
  friend class TxnLane;
  using Lock = std::unique_lock<std::mutex>;
  struct Ended {
    std::unique_ptr<TxnCall> call;
    Status status;
  };

  // ---- what lanes report -----------------------------------------------------------------------
  void Connected(TxnLane& lane);
  void Sent(TxnLane& lane);
  void Answered(TxnLane& lane, v1::TransactResponse& responses);
  void Closed(TxnLane& lane, const Status& status);

  // ---- with the lock held ----------------------------------------------------------------------
  // Queues the call where its transaction is, or finds it a place; else it ends.
  void Place(std::unique_ptr<TxnCall> call, MonoTime now);
  std::shared_ptr<TxnLane> LaneFor(const std::string& address, MonoTime now);
  // Its calls end, or go elsewhere if their transactions have not begun there.
  void Lose(TxnLane& lane, const Status& status, MonoTime now);
  void End(std::unique_ptr<TxnCall> call, const Status& status);
  // Sends what can be sent, and runs the callbacks of calls that have ended meanwhile, until
  // neither is left; releases the lock in between.
  void Drive(Lock& lock);
  // Sends one message; false: there is nothing that may leave now.
  bool SendOne(Lock& lock);
  // True: what waits there waits for company, and it is armed for when it no longer does.
  bool Gathers(const TxnLane& lane, MonoTime now);
  void FillBatch(TxnLane& lane, v1::TransactRequest& batch, MonoTime now);
  void Arm(MonoTime at, MonoTime now);
  void Tick(MonoTime armed_for);
  void ExpireCalls(MonoTime now);
  void CheckLanes(MonoTime now);

  const ClientOptions options_;
  Clock* const clock_;
  Connector* const connector_;
  const std::unique_ptr<Strand> strand_;

  std::mutex mutex_;
  // ---- guarded by mutex_ from here on ----
  Random random_;
  Routes routes_;
  std::uint64_t next_number_ = 1;
  std::uint64_t next_id_ = 1;
  std::map<std::string, std::shared_ptr<TxnLane>> lanes_;
  std::deque<Ended> ended_;              // their callbacks run when the lock is released
  std::size_t outstanding_ = 0;          // calls in queues, or sent and unanswered
  MonoTime earliest_ = MonoTime::max();  // no call's deadline is before
  MonoTime armed_for_ = MonoTime::max();
  int corked_ = 0;  // threads that are running callbacks and will Drive() afterwards
  int busy_ = 0;    // threads outside the lock, inside Send() or callbacks
  std::condition_variable idle_;
  bool asked_for_members_ = false;
  bool stopping_ = false;
};

// One stream. Fields belong to the transactor's lock.
class TxnLane final : public TxnStreamObserver {
 public:
  enum class State : std::uint8_t { kConnecting, kUp, kDown };

  TxnLane(std::weak_ptr<Transactor> transactor, std::string to, MonoTime now)
      : address(std::move(to)), heard(now), transactor_(std::move(transactor)) {}

  void OnConnected(Timestamp newest) override;
  void OnSent() override;
  void OnResponses(v1::TransactResponse& responses) override;
  void OnClosed(const Status& status) override;

  const std::string address;
  State state = State::kConnecting;
  Status why_down;
  std::shared_ptr<TxnStream> stream;
  bool sending = false;                        // OnSent has not come
  std::deque<std::unique_ptr<TxnCall>> queue;  // not sent
  std::unordered_map<std::uint64_t, std::unique_ptr<TxnCall>> owed;
  std::size_t taking = 0;  // of them, those that are answered once taken in
  // Of what is owed: reads take another time than commits.
  Pace reads;
  Pace commits;
  Pace* PaceOf(TxnCall::Kind kind) {
    return kind == TxnCall::Kind::kRead     ? &reads
           : kind == TxnCall::Kind::kCommit ? &commits
                                            : nullptr;
  }
  // When it last showed life, or began to owe an answer.
  MonoTime heard;
  // It is to be asked for a sign of life, or was, and has shown none since.
  bool probe_due = false;
  bool probed = false;

 private:
  const std::weak_ptr<Transactor> transactor_;
};

}  // namespace flotilla::client
