// The timestamp oracle, as it is tied to this node's replica of the directory's group.

#include <utility>

#include "shard/answers.h"
#include "shard/directory/edits.h"
#include "shard/node_impl.h"
#include "shard/one_answer.h"

namespace flotilla {

void NodeImpl::MakeOracle() {
  OracleServer::World server;
  server.clock = world_.clock;
  server.confirm = [this](const OracleAsker& asker,
                          UniqueFunction<void(StatusOr<raft::Term>)> done) {
    ConfirmOracle(asker, std::move(done));
  };
  server.row = [this] { return map_.image()->window().end; };
  server.move_row = [this](const TimestampOracle::Move& move,
                           UniqueFunction<void(const Status&)> done) {
    MoveWindow(move, std::move(done));
  };
  oracle_ = std::make_unique<OracleServer>(std::move(server));
  OracleClient::World client;
  client.clock = world_.clock;
  client.strand = control_.get();
  client.calls = calls_.get();
  client.server = oracle_.get();
  client.leader = [this] {
    const std::shared_ptr<Replica> replica = FindReplica(kDirectoryGroup);
    return replica && !replica->leads() ? replica->leader() : NodeId();
  };
  client.leads = [this] {
    const std::shared_ptr<Replica> replica = FindReplica(kDirectoryGroup);
    return replica && replica->leads();
  };
  client.term = [this] {
    const std::shared_ptr<Replica> replica = FindReplica(kDirectoryGroup);
    return replica ? replica->group().term() : raft::Term();
  };
  timestamps_ = std::make_unique<OracleClient>(std::move(client));
}

void NodeImpl::ConfirmOracle(const OracleAsker& asker,
                             UniqueFunction<void(StatusOr<raft::Term>)> done) {
  if (const std::shared_ptr<Replica> replica = FindReplica(kDirectoryGroup)) {
    replica->ConfirmLeadership(asker, std::move(done));
  } else {
    done(NotLeaderError(kDirectoryGroup, NodeId()));
  }
}

// Not by the gateway, which turns requests away while there are too many: writes wait for this one.
void NodeImpl::MoveWindow(const TimestampOracle::Move& move,
                          UniqueFunction<void(const Status&)> done) {
  const std::shared_ptr<Replica> replica = FindReplica(kDirectoryGroup);
  if (!replica) {
    done(NotLeaderError(kDirectoryGroup, NodeId()));
    return;
  }
  std::vector<GatewayRequest> requests(1);
  requests[0].deadline = MonoTime::max();
  requests[0].call = WriteCall{
      .command = Bytes(EncodeWindowMove(TimestampWindow{move.from}, TimestampWindow{move.to}))};
  std::vector<Ticket> tickets(1);
  auto sink = std::make_shared<OneAnswer>(
      [done = std::move(done)](const GatewayAnswer& answer) mutable { done(answer.status); });
  tickets[0].batch = std::make_shared<PendingBatch>(std::move(requests), std::move(sink));
  tickets[0].group = kDirectoryGroup;
  replica->Submit(std::move(tickets));
}

}  // namespace flotilla
