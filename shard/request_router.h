// RequestRouter: the gateway of a node.
//
// Purpose: admits requests within bounds, finds the group, and sends each to where it can be
// served: the local replica, or the leader's node. Requests that find no leader are parked and
// tried again when one is known, until `no_leader_timeout` says NO_QUORUM. Deadlines are kept here,
// for all of them.
//
// A request is repeated by this layer only when it surely had no effect, when it is a read, or when
// it carries a client id and sequence number (exactly once).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "raft/peer_calls.h"
#include "shard/as_of_gate.h"
#include "shard/batch_deadlines.h"
#include "shard/directory/directory.h"
#include "shard/gateway.h"
#include "shard/gathered_submits.h"
#include "shard/pending_batch.h"
#include "shard/replica.h"
#include "shard/scatter.h"

namespace flotilla {

class RequestRouter final : public Gateway, private Rerouter {
 public:
  struct Options {
    // Where the numbers of forwarded requests begin: at random, so that no answer to the process
    // that ran here before is taken for one of theirs.
    std::uint64_t first_forward = 1;
    std::size_t admitted_requests_max = 100'000;
    std::size_t admitted_bytes_max = 512 << 20;
    Duration no_leader_timeout = std::chrono::seconds(3);
    // Since a group has turned it away: a shard that becomes part of another stands still first.
    Duration misplaced_timeout = std::chrono::seconds(10);
  };

  // Until the copy of the directory has all that was committed before the call.
  using Refresh = std::function<void(MonoTime deadline, UniqueFunction<void(Status)> done)>;
  // `strand` runs timers and retries; All outlive the router.
  RequestRouter(const Options& options, const Clock* clock, Strand* strand, raft::PeerCalls* calls,
                const Directory* directory, Refresh refresh, TimestampSource* oracle);
  ~RequestRouter() override;

  // The replicas of this node, as they come; null takes one out. Any thread.
  void SetReplica(GroupId group, std::shared_ptr<Replica> replica);
  // Serves atomic writes whose keys lie in several shards. Before the first request.
  using SpanningWrites =
      std::function<void(Bytes command, MonoTime deadline, UniqueFunction<void(GatewayAnswer)>)>;
  void SetSpanningWrites(SpanningWrites writes) { spanning_writes_ = std::move(writes); }
  void SetSelf(NodeId self) { self_.store(self.value()); }
  NodeId self() const { return NodeId(self_.load()); }

  void Submit(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink) override {
    submits_.Add(std::move(requests), std::move(sink));
  }
  // Of somebody who has been admitted: not counted, and WRONG_SHARD is an answer.
  void SubmitOnce(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink) {
    submits_once_.Add(std::move(requests), std::move(sink));
  }
  // A new one of the oracle; whoever reads as of it need not ask.
  void FreshTimestamp(MonoTime deadline, UniqueFunction<void(StatusOr<Timestamp>)> done) {
    as_of_gate_.Fresh(deadline, std::move(done));
  }
  Timestamp Newest() const override;
  std::optional<kv::KeyspaceId> FindKeyspace(std::string_view name) const override;
  void RefreshKeyspaces(MonoTime deadline, UniqueFunction<void(Status)> done) override;

  // From the replica, the transport and the node; any thread.
  void OnMisrouted(GroupId group, NodeId leader, std::vector<Ticket> tickets);
  void OnLeader(GroupId group, NodeId leader);
  void OnUnreachable(NodeId node);
  // Whom messages reach at all; nobody else is taken for a leader.
  void SetPeers(std::set<NodeId> peers);
  // The copy of the directory has changed.
  void OnDirectoryChange() { RetryParked(true); }

  // The replica of the group here. Null also for one that hears of no leader because its group has
  // gone elsewhere.
  std::shared_ptr<Replica> FindMember(GroupId group) const;
  // Of a group that has no replica here: who leads, or else some member, who knows better.
  NodeId SomeMember(GroupId group);
  // Somebody has said who leads it.
  void NoteLeader(GroupId group, NodeId leader);

  // The node is of the cluster no more: what is new, and what waits, is to go to others. Or it is
  // again.
  void SetLeft(bool left) { left_.store(left); }
  // Refuses everything new; answers what is open.
  void Stop();

  std::uint64_t open_requests() const { return open_requests_->requests.load(); }

 private:
  class ForwardSink;
  struct Admitted {
    std::atomic<std::uint64_t> requests{0};
    std::atomic<std::uint64_t> bytes{0};
  };
  class AdmittedSink;
  struct Forwarded {
    GroupId group;
    NodeId to;
    std::vector<Ticket> tickets;
    std::size_t open = 0;
  };
  struct Parked {
    Ticket ticket;
    MonoTime since;
  };

  // Rerouter
  void OnWrongShard(std::vector<Ticket> tickets) override;

  // Not ok: why another node is to be asked.
  Status Refusal() const;
  // `group`: of forwarded requests, which go nowhere else; zero: wherever they belong.
  void TakeIn(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink);
  void TakeInOnce(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink);
  void Admit(std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink, GroupId group);
  // Takes out those that ask for a time which may lie in the future; they follow when it does not.
  void HoldFuture(std::vector<GatewayRequest>& requests, const std::shared_ptr<AnswerSink>& sink);
  // Of a request whose keys lie in several shards.
  void ServeScattered(const Ticket& ticket);
  Scatter::World ScatterWorld();
  // The gets of one request are of one moment.
  void ScatterAsOfNow(const Ticket& ticket, int round);
  // Finds each one's group, by the directory as it is now; those that have one come back.
  std::vector<Ticket> Place(std::vector<Ticket> tickets);
  void Route(std::vector<Ticket> tickets);
  void RouteTo(GroupId group, std::vector<Ticket> tickets);
  void Forward(GroupId group, NodeId to, std::vector<Ticket> tickets);
  void Park(std::vector<Ticket> tickets);
  void RetryParked(bool all);
  void OnForwardedRequests(NodeId from, std::uint64_t id, const Bytes& body);
  void OnForwardedAnswers(std::uint64_t id, const Bytes& body);
  void GiveBack(std::vector<Ticket> tickets);
  void TakeBackFromOthers(GroupId group, NodeId leader);
  std::shared_ptr<Replica> FindReplica(GroupId group) const;
  // The node that leads, as far as this one knows. Zero: nobody.
  NodeId LeaderOf(GroupId group, const Replica* replica);
  // One member after the other, of a group that has no replica here.
  void AskWhoLeads(GroupId group);
  void AnswerWhoLeads(const Bytes& body, raft::PeerCalls::Reply reply) const;
  void ForgetAnswered();

  const Options options_;
  const Clock* const clock_;
  Strand* const strand_;
  raft::PeerCalls* const calls_;
  const Directory* const directory_;
  const Refresh refresh_;
  AsOfGate as_of_gate_;
  SpanningWrites spanning_writes_;
  std::atomic<std::uint64_t> self_{0};
  std::atomic<bool> stopped_{false};
  std::atomic<bool> left_{false};
  BatchDeadlines deadlines_;
  GatheredSubmits submits_;
  GatheredSubmits submits_once_;
  const std::shared_ptr<Admitted> open_requests_ = std::make_shared<Admitted>();

  mutable std::mutex replicas_mutex_;
  std::map<GroupId, std::shared_ptr<Replica>> replicas_;

  std::mutex forwards_mutex_;
  std::uint64_t next_forward_;
  std::map<std::uint64_t, Forwarded> forwards_;

  std::mutex leaders_mutex_;
  std::map<GroupId, NodeId> leaders_;  // of groups that have no replica here
  std::set<NodeId> peers_;             // whom messages reach
  std::set<GroupId> asking_;           // who leads them
  std::uint64_t asked_ = 0;

  std::mutex parked_mutex_;
  std::vector<Parked> parked_;
  bool retry_armed_ = false;
};

}  // namespace flotilla
