// Dispatcher: carries calls to the cluster and answers back: batching, routes, retries, deadlines.
//
//   Submit ──▶ pending ──▶ batch ──▶ lane (connection) ──▶ node
//                 ▲                      │
//                 └── delayed ◀── retry ◀┴── answers ──▶ callbacks
//
// Where a call goes is asked of the shard map and the routes. The map is there once answers have
// come from more nodes than one: with a single group there is nothing to tell apart.
//
// Batches form by themselves: a call that finds a connection that owes nothing leaves at once,
// alone if need be; calls that arrive while a batch is being sent, or while callbacks of an answer
// run, leave together in the next one, and while much is owed they wait a little for company
// (pace.h). No call hops between threads for it: the submitting thread sends, the connection's
// thread runs the callbacks.
//
// One lock guards everything; it is never held during Send() or a callback. Timers run on a strand.
// Internal to the library: users see client.h.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/random.h"
#include "base/status.h"
#include "client/call.h"
#include "client/connection.h"
#include "client/deadlines.h"
#include "client/lane.h"
#include "client/options.h"
#include "client/patience.h"
#include "client/routes.h"
#include "client/sequences.h"
#include "client/shard_map.h"
#include "client/window.h"

namespace flotilla::client {

// All that the library touches; everything outlives the client.
struct ClientWorld {
  Executor* executor = nullptr;
  Clock* clock = nullptr;
  Connector* connector = nullptr;
  // Draws the client's id, back-offs and the first node to ask.
  std::uint64_t seed = 1;
};

class Dispatcher : public std::enable_shared_from_this<Dispatcher> {
 public:
  enum class Admission : std::uint8_t {
    kBounded,  // beyond `outstanding_max` the call ends with OVERLOADED
    kAlways,   // the caller waits for this very call, which bounds the calls
  };

  Dispatcher(const ClientOptions& options, const ClientWorld& world);

  // Takes the call; its callback runs exactly once, perhaps inside this very function when the
  // call cannot be accepted. `timeout` zero: the default. Any thread.
  void Submit(std::unique_ptr<Call> call, Duration timeout, Admission admission);

  // Ends every call (CANCELLED, or OUTCOME_UNKNOWN for writes that were sent) and closes every
  // connection. No callback runs after it has returned. Not from a callback. Idempotent.
  void Shutdown();

  // Of the writes that are numbered from now on.
  std::uint64_t client_id();

 private:
  friend class Lane;
  class Follower;
  using Lock = std::unique_lock<std::mutex>;
  using Finished = std::vector<std::unique_ptr<Call>>;
  using Lanes = std::vector<std::shared_ptr<Lane>>;

  // ---- dispatcher.cc: what lanes report, and the ends of calls ----------------------------------
  void Connected(Lane& lane, Timestamp newest);
  void Sent(Lane& lane);
  void Answered(Lane& lane, v1::PipelineResponse& responses);
  void Closed(Lane& lane, const Status& status);
  // Takes the lane out of the pool and sends its calls elsewhere. Its connection is closed already
  // or will be.
  void Lose(Lane& lane, const Status& status);
  // An attempt failed: the call finishes, or goes back to wait.
  void AttemptFailed(Call* call, const Status& error, MonoTime now);
  void Requeue(Call* call, bool at_once, MonoTime now);
  // The server has forgotten the call's session. True: the call was not done under it, for it was
  // sent but this once, and goes on under a new one.
  bool Renumber(Call* call);
  // A session that begins now must begin after what the server has forgotten.
  void LearnTimestamp(const Status& expired);
  void NewSession();
  // Lets writes that waited for a number go, if there are numbers again.
  void ReleaseWindow();
  // Unlinks a call that has its answer from everything.
  std::unique_ptr<Call> Take(Call* call);
  void FinishWith(Call* call, const Status& error);
  void LearnLeader(const Lane& lane, const v1::ResponseHeader& header, MonoTime now);
  void AskForMembers(const std::string& address, MonoTime now);

  // ---- follow.cc: the client's copy of the directory --------------------------------------------
  // `node` has answered. Begins to follow the directory, through `address`, when that may help.
  void ConsiderFollowing(NodeId node, const std::string& address, MonoTime now);
  void DirectoryChanged(const v1::WatchDirectoryResponse& change);
  void DirectoryClosed(const Status& status);

  // ---- dispatch.cc: from pending to the wire ----------------------------------------------------
  // Sends what can be sent and runs the callbacks of calls that failed meanwhile, until neither is
  // left. Called whenever something may have become possible; releases the lock in between.
  void Drive(Lock& lock);
  Lanes PrepareBatches(MonoTime now);
  // Says where each call for a leader goes.
  void Assign(MonoTime now);
  // Takes that back, since another place may now be right.
  void Unassign();
  // True: so many calls wait for company, and it is armed for when they no longer do.
  bool Gathers(const Lane& lane, std::size_t waiting, MonoTime now);
  // Fills the lane's batch; false when nothing could go.
  bool FillBatch(Lane& lane, std::deque<std::uint64_t>& queue, MonoTime now);
  std::shared_ptr<Lane> FreeLane(const std::string& address, std::size_t backlog, MonoTime now);
  void OpenLane(const std::string& address, MonoTime now);
  // No address is left to try: waits, or fails what is pending, as the options say.
  void NowhereToGo(MonoTime now);

  // ---- timers.cc --------------------------------------------------------------------------------
  void Arm(MonoTime at, MonoTime now);
  void Tick(MonoTime armed_for);
  void ExpireCalls(MonoTime now);
  void CheckLanes(MonoTime now);
  Status ExpiryError(const Call& call) const;

  const ClientOptions options_;
  Clock* const clock_;
  Connector* const connector_;
  std::unique_ptr<Strand> strand_;

  std::mutex mutex_;
  // ---- guarded by mutex_ from here on ----
  Random random_;
  CallTable calls_;
  Deadlines deadlines_;
  // The newest timestamp that the cluster gave; where a new session begins.
  Timestamp newest_;
  // The last one numbers new writes; older ones still have unanswered numbers.
  std::vector<std::unique_ptr<WriteSession>> sessions_;
  Routes routes_;
  // Ids of calls to be sent; those of ended calls are skipped.
  std::deque<std::uint64_t> for_leader_;
  std::map<std::string, std::deque<std::uint64_t>> assigned_;  // of for_leader_, by address
  std::uint64_t assigned_by_ = 0;                              // version of the routes
  std::string last_served_;                                    // of the addresses, in turn
  std::deque<std::uint64_t> for_replica_;
  std::deque<std::uint64_t> for_window_;  // writes that wait for a number
  std::multimap<MonoTime, std::uint64_t> delayed_;
  std::map<std::string, Lanes> pool_;
  Lanes probes_;  // to be sent a batch without requests, which any node answers at once
  std::size_t in_flight_ = 0;
  // Ended under the lock; their callbacks run when it is released.
  Finished finished_;
  // Threads that are running callbacks and will Drive() afterwards.
  int corked_ = 0;
  // Threads outside the lock, inside Send() or callbacks.
  int busy_ = 0;
  std::condition_variable idle_;       // busy_ fell to zero, or shut_down_ came
  std::condition_variable send_over_;  // nobody sends on some lane any more
  bool stopping_ = false;
  bool shut_down_ = false;
  MonoTime armed_for_ = MonoTime::max();
  Patience patience_;
  Window window_;
  ShardMap shard_map_;
  std::shared_ptr<DirectoryWatch> watch_;
  bool following_ = false;
  bool no_directory_ = false;  // nobody has one to follow
  NodeId last_answerer_;
  std::uint32_t answerer_changes_ = 0;
  MonoTime followed_at_ = MonoTime::min();
  bool asking_for_members_ = false;
  MonoTime members_asked_at_ = MonoTime::min();
};

}  // namespace flotilla::client
