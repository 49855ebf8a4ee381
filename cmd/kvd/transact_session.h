// TransactSession: one Transactions.Transact stream, without its wire.
//
// Each transaction of the stream has a queue of its own. What changes nothing may run beside its
// like, where all read as of one moment; everything else runs alone, in the order of the stream.
//
//   OnRequests ──▶ lane of each transaction ──▶ decode ──▶ shard/transactions.h ──▶ Send
//
// The owner brings the messages: cmd/kvd over gRPC, the simulator over its network.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "cmd/kvd/txn_codec.h"
#include "flotilla/v1/transactions.pb.h"
#include "shard/gateway.h"
#include "shard/transactions.h"

namespace flotilla {

class TransactSession : public std::enable_shared_from_this<TransactSession> {
 public:
  using Incoming = v1::TransactRequest;
  using Outgoing = v1::TransactResponse;

  struct Options {
    Duration default_timeout = std::chrono::seconds(10);
    // Of one stream; beyond them OVERLOADED.
    std::size_t transactions_max = 10'000;
    std::size_t requests_max = 100'000;
    std::size_t bytes_max = 256 << 20;
  };
  // `send` hands answers to the wire; any thread; must not block. Not called after Close().
  using Send = std::function<void(v1::TransactResponse)>;

  // All outlive it.
  TransactSession(const Options& options, Transactions* transactions, Gateway* gateway,
                  const Clock* clock, Send send);

  // Consumes the batch; an empty one is answered with the newest timestamp. One call at a time.
  void OnRequests(v1::TransactRequest& batch);
  // The wire is gone: rolls back what is open, and answers nothing from here on. Commits that have
  // begun go on.
  void Close();

  // About how many bytes one answer takes in a message.
  static std::size_t BytesOf(const v1::TxnResponse& response);

  // Transactions that are open, or about to be.
  std::size_t open() const;

 private:
  struct Step {
    v1::TxnRequest request;
    MonoTime deadline;
    std::size_t bytes = 0;
    std::shared_ptr<Transaction> txn = {};  // whose it is, once it runs
  };
  // The transactions that have one number, one after the other.
  struct Lane {
    std::deque<Step> waiting;
    std::size_t reads = 0;   // under way
    bool alone = false;      // something is that nothing may overtake
    bool advancing = false;  // some thread is taking from `waiting`
    bool reads_together = false;
    // A request was refused out of its turn: so are all until the queue is empty.
    bool refusing = false;
    std::shared_ptr<Transaction> txn;  // null: none is open
    kv::KeyspaceId keyspace = kv::kDefaultKeyspace;
    Status failed;                // until it is rolled back
    v1::TransactResponse unsent;  // answers
    bool urgent = false;          // one of them says more than that something was taken in
    bool idle() const { return waiting.empty() && !alone && reads == 0; }
  };
  using LanePtr = std::shared_ptr<Lane>;
  using Lock = std::unique_lock<std::mutex>;

  void TakeIn(v1::TxnRequest& request, MonoTime now);
  // Starts what may start. With the lock held, which it releases in between.
  void Advance(std::uint64_t number, const LanePtr& lane, Lock& lock);
  static bool MayStart(const Lane& lane, const Step& step);
  void Begin(const LanePtr& lane, const std::shared_ptr<Step>& step);
  void Begun(const LanePtr& lane, const std::shared_ptr<Step>& step, const DecodedBegin& decoded,
             const StatusOr<std::shared_ptr<Transaction>>& begun);
  void Run(const LanePtr& lane, const std::shared_ptr<Step>& step);
  void Savepoint(const LanePtr& lane, const std::shared_ptr<Step>& step);
  void Get(const LanePtr& lane, const std::shared_ptr<Step>& step);
  void Scan(const LanePtr& lane, const std::shared_ptr<Step>& step);
  void Write(const LanePtr& lane, const std::shared_ptr<Step>& step);
  void Commit(const LanePtr& lane, const std::shared_ptr<Step>& step);
  // Decodes, with a newer copy of the directory if need be, and goes on with what came of it.
  template <class Decode, class Then>
  void Decoded(const std::shared_ptr<Step>& step, Decode decode, Then then);
  void MarkFailed(const LanePtr& lane, const Status& status);
  // The step has been answered: the next may run.
  void Finish(const LanePtr& lane, const Step& step, v1::TxnResponse response);
  void Finish(const LanePtr& lane, const Step& step, const Status& status);
  void Refuse(std::uint64_t id, const Status& status);
  void Emit(v1::TransactResponse response);
  // Sends the lane's answers, if it is time: what only says that something was taken in goes along
  // with the answer to what comes behind it. With the lock held, which it releases in between.
  void EmitOf(const LanePtr& lane, Lock& lock);

  const Options options_;
  Transactions* const transactions_;
  Gateway* const gateway_;
  const Clock* const clock_;

  std::mutex send_mutex_;
  Send send_;

  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, LanePtr> lanes_;
  std::size_t requests_ = 0;      // unanswered
  std::size_t bytes_ = 0;         // of them
  bool taking_in_ = false;        // requests are being taken in, more of any lane's perhaps
  std::vector<LanePtr> settled_;  // meanwhile, with answers that are not urgent
  bool closed_ = false;
};

}  // namespace flotilla
