#include "tests/raft/core/cluster.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "tests/raft/core/describe.h"

namespace flotilla::raft {

Index I(std::uint64_t value) { return Index(value); }
Term T(std::uint64_t value) { return Term(value); }
NodeId N(std::uint64_t value) { return NodeId(value); }
Entry MakeEntry(std::uint64_t term, std::uint64_t index, const std::string& payload) {
  return {T(term), I(index), EntryKind::kCommand, Bytes(payload)};
}
Configuration MakeConfiguration(const std::set<std::uint64_t>& voters,
                                const std::set<std::uint64_t>& learners) {
  Configuration configuration;
  for (std::uint64_t id : voters) configuration.voters.insert(N(id));
  for (std::uint64_t id : learners) configuration.learners.insert(N(id));
  return configuration;
}

// ---- Disk ------------------------------------------------------------------------------------

const Entry* Disk::Find(Index index) const {
  if (index <= snapshot.index || index > last()) return nullptr;
  return &log[index - snapshot.index - 1];
}

Term Disk::TermAt(Index index) const {
  if (index == snapshot.index) return snapshot.term;
  const Entry* entry = Find(index);
  return entry ? entry->term : Term();
}

void Disk::Write(const PersistBatch& batch) {
  if (!batch.entries.empty()) {
    Index expected = batch.entries.front().index;
    CHECK_GT(expected, snapshot.index);
    CHECK_LE(expected, last().Next()) << "a gap in the log";
    log.resize(expected - snapshot.index - 1);
    for (const Entry& entry : batch.entries) {
      CHECK_EQ(entry.index, expected);
      log.push_back(entry);
      expected = expected.Next();
    }
    CHECK_EQ(batch.token.last_index, batch.entries.back().index);
    CHECK_EQ(batch.token.last_term, batch.entries.back().term);
  } else {
    CHECK(!batch.token.last_index);
  }
  if (!batch.hard_state) return;
  CHECK_GE(batch.hard_state->term, hard_state.term);
  if (batch.hard_state->term == hard_state.term && hard_state.vote) {
    CHECK_EQ(batch.hard_state->vote, hard_state.vote) << "a vote was changed within a term";
  }
  hard_state = *batch.hard_state;
  CHECK_LE(hard_state.commit, last()) << "a commit index ahead of its entries";
}

void Disk::CompactTo(Index index, Configuration configuration) {
  const Entry* at = Find(index);
  CHECK(at != nullptr);
  const Term term = at->term;
  log.erase(log.begin(), log.begin() + static_cast<std::ptrdiff_t>(index - snapshot.index));
  snapshot = {index, term, std::move(configuration)};
}

// ---- nodes -----------------------------------------------------------------------------------

Cluster::Cluster(ClusterOptions options) : options_(std::move(options)) {
  SnapshotMark start;
  start.configuration = MakeConfiguration({options_.voters.begin(), options_.voters.end()},
                                          {options_.learners.begin(), options_.learners.end()});
  for (const auto* members : {&options_.voters, &options_.learners}) {
    for (std::uint64_t id : *members) {
      Node& node = nodes_[id];
      node.id = N(id);
      node.durable.snapshot = start;
      Restart(id);
    }
  }
}

Node& Cluster::at(std::uint64_t id) {
  const auto found = nodes_.find(id);
  CHECK(found != nodes_.end()) << "no node " << id;
  return found->second;
}

Core& Cluster::core(std::uint64_t id) {
  CHECK(running(id)) << "node " << id << " is down";
  return *at(id).core;
}

std::vector<std::uint64_t> Cluster::ids() const {
  std::vector<std::uint64_t> all;
  for (const auto& [id, node] : nodes_) all.push_back(id);
  return all;
}

void Cluster::AddNode(std::uint64_t id) {
  nodes_[id].id = N(id);
  Restart(id);
}

void Cluster::Restart(std::uint64_t id) {
  Node& node = at(id);
  CHECK(!node.core);
  RestoredState restored;
  restored.hard_state = node.durable.hard_state;
  restored.snapshot = node.durable.snapshot;
  restored.applied = std::max(node.applied_index, node.durable.snapshot.index);
  for (const Entry& entry : node.durable.log) {
    restored.log.push_back({entry.term, static_cast<std::uint32_t>(entry.payload.size())});
    if (entry.kind != EntryKind::kConfiguration) continue;
    Configuration configuration;
    CHECK(DecodeConfiguration(entry.payload.view(), configuration));
    restored.configurations.emplace_back(entry.index, std::move(configuration));
  }
  node.seen = node.durable;
  node.applied_index = restored.applied;
  std::erase_if(node.applied, [&](const Entry& e) { return e.index > restored.applied; });
  CoreOptions options = options_.core;
  options.self = node.id;
  options.seed = options_.seed * 1000003 + ++starts_ * 101 + id;
  node.core = std::make_unique<Core>(options, std::move(restored));
  Drain(id);
}

void Cluster::Crash(std::uint64_t id, std::size_t kept, Index applied) {
  Node& node = at(id);
  node.core.reset();
  for (std::size_t i = 0; i < std::min(kept, node.writes.size()); ++i) {
    node.durable.Write(node.writes[i].batch);
  }
  node.writes.clear();
  node.applied_index = std::max(node.durable.snapshot.index, std::min(applied, node.applied_index));
  node.snapshot_wanted_by.clear();
  node.install.reset();
  invariants_.OnCrash(node.id);
}

// ---- driving ---------------------------------------------------------------------------------

void Cluster::Drain(std::uint64_t id) {
  Node& node = at(id);
  if (!node.core) return;
  for (int i = 0; node.core->HasReady(); ++i) {
    CHECK_LT(i, 1000) << "the core never comes to rest";
    CarryOut(node, node.core->TakeReady());
    while (options_.instant_disks && !node.writes.empty()) MakeDurable(node);
  }
}

void Cluster::CarryOut(Node& node, Ready ready) {
  if (ready.leadership) Trace(node, Describe(*ready.leadership));
  if (ready.leadership && ready.leadership->role == Role::kLeader) {
    invariants_.OnLeader(ready.leadership->term, node.id, [&](Index index) {
      const Index last = node.core->last_index();
      return index > last ? Term(UINT64_MAX) : node.core->TermAt(index).value_or(Term());
    });
  }
  if (ready.overwritten) {
    Trace(node, "overwritten from " + std::to_string(ready.overwritten->first.value()));
    node.overwritten.push_back(*ready.overwritten);
  }
  if (ready.persist) {
    CHECK(ready.persist->hard_state || !ready.persist->entries.empty()) << "an empty write";
    Trace(node, Describe(*ready.persist));
    node.seen.Write(*ready.persist);
    node.writes.push_back({*std::move(ready.persist), std::move(ready.send_after_persist)});
  } else {
    CHECK(ready.send_after_persist.empty()) << "messages that wait for no write";
  }
  SendAll(node, std::move(ready.send_now));
  NoteLeaderCommit(node);
  Apply(node, ready.committed);
  for (const ReadConfirmed& read : ready.reads_confirmed) {
    invariants_.OnReadConfirmed(node.id, read.context, read.index);
    Trace(node, "confirms read " + std::to_string(read.context) + " at " +
                    std::to_string(read.index.value()));
    node.reads_confirmed.push_back(read);
  }
  for (const ReadRefused& read : ready.reads_refused) {
    invariants_.OnReadRefused(node.id, read.context);
    Trace(node, "refuses read " + std::to_string(read.context));
    node.reads_refused.push_back(read);
  }
  for (NodeId follower : ready.snapshot_wanted_by) {
    Trace(node, "wants a snapshot sent to " + std::to_string(follower.value()));
    node.snapshot_wanted_by.push_back(follower);
  }
  if (ready.install) {
    CHECK(!node.install);
    Trace(node, "installs snapshot " + std::to_string(ready.install->index.value()));
    node.install = ready.install;
  }
}

void Cluster::MakeDurable(Node& node) {
  Node::Write write = std::move(node.writes.front());
  node.writes.pop_front();
  node.durable.Write(write.batch);
  SendAll(node, std::move(write.held));
  node.core->Persisted(write.batch.token);
}

void Cluster::CompleteWrite(std::uint64_t id) {
  Node& node = at(id);
  if (!node.core || node.writes.empty()) return;
  MakeDurable(node);
  Drain(id);
}

void Cluster::CompleteWrites(std::uint64_t id) {
  for (int i = 0; i < 1000 && !at(id).writes.empty(); ++i) CompleteWrite(id);
}

void Cluster::NoteLeaderCommit(const Node& node) {
  // A leader's commit index of its own term was counted just now, under the configuration in
  // force, or (on leaving a joint one) under a stricter one.
  if (node.core->role() != Role::kLeader) return;
  const Index commit = node.core->commit();
  const Term term = node.core->term();
  if (node.core->TermAt(commit) != term) return;
  invariants_.OnLeaderCommit(commit, node.core->configuration(), [&](NodeId id) {
    const auto& other = nodes_.find(id.value())->second;
    return other.durable.TermAt(commit) == term || other.durable.snapshot.index >= commit;
  });
}

void Cluster::Apply(Node& node, IndexRange range) {
  for (Index index = range.first; index < range.end; ++index) {
    CHECK_EQ(index, node.applied_index.Next()) << "a hole in what is applied";
    const Entry* entry = node.durable.Find(index);
    CHECK(entry != nullptr) << "applied before it was durable here";
    CHECK(*entry == *node.seen.Find(index));
    invariants_.OnCommitted(node.id, *entry);
    node.applied.push_back(*entry);
    node.applied_index = index;
    Trace(node, "applies " + Describe(*entry));
  }
  if (!range.empty() && options_.instant_apply) node.core->Applied(node.applied_index);
}

void Cluster::Tick(std::uint64_t id, int times) {
  for (int i = 0; i < times && running(id); ++i) {
    core(id).Tick();
    Drain(id);
  }
}

void Cluster::SendSnapshots(std::uint64_t from, bool delivered) {
  Node& node = at(from);
  for (NodeId to : std::exchange(node.snapshot_wanted_by, {})) {
    if (!node.core || node.core->role() != Role::kLeader) return;
    if (!delivered) {
      node.core->SnapshotSent(to, false, Index());
      continue;
    }
    SnapshotMark mark;
    mark.index = node.applied_index;
    mark.term = *node.core->TermAt(mark.index);
    mark.configuration = node.seen.snapshot.configuration;
    for (const Entry& entry : node.seen.log) {
      if (entry.kind != EntryKind::kConfiguration || entry.index > mark.index) continue;
      CHECK(DecodeConfiguration(entry.payload.view(), mark.configuration));
    }
    Enqueue({node.id, to, node.core->term(), SnapshotRequest{mark}});
    node.core->SnapshotSent(to, true, mark.index);
  }
  Drain(from);
}

void Cluster::FinishInstall(std::uint64_t id) {
  Node& node = at(id);
  if (!node.core || !node.install) return;
  CompleteWrites(id);  // what was asked for before is done before
  const SnapshotMark mark = *std::exchange(node.install, std::nullopt);
  node.durable.snapshot = mark;
  node.durable.log.clear();
  node.seen = node.durable;
  node.applied_index = mark.index;
  // The state, from somebody who has it.
  for (const auto& [other_id, other] : nodes_) {
    if (other_id == id || other.applied_index < mark.index) continue;
    node.applied = other.applied;
    std::erase_if(node.applied, [&](const Entry& e) { return e.index > mark.index; });
    break;
  }
  node.core->SnapshotInstalled(mark.index);
  Drain(id);
}

void Cluster::Compact(std::uint64_t id, Index index) {
  Node& node = at(id);
  Configuration configuration = node.durable.snapshot.configuration;
  for (const Entry& entry : node.durable.log) {
    if (entry.kind != EntryKind::kConfiguration || entry.index > index) continue;
    CHECK(DecodeConfiguration(entry.payload.view(), configuration));
  }
  core(id).Applied(node.applied_index);
  node.durable.CompactTo(index, configuration);
  node.seen.CompactTo(index, configuration);
  core(id).Compacted(index);
  Drain(id);
}

ProposeResult Cluster::Propose(std::uint64_t id, const std::string& payload) {
  std::vector<Bytes> payloads;
  payloads.emplace_back(payload);
  ProposeResult result = core(id).Propose(std::move(payloads));
  Drain(id);
  return result;
}

MembershipRefusal Cluster::ChangeMembers(std::uint64_t id, const std::set<std::uint64_t>& voters,
                                         const std::set<std::uint64_t>& learners) {
  Configuration wanted = MakeConfiguration(voters, learners);
  MembershipChange change;
  change.voters = std::move(wanted.voters);
  change.learners = std::move(wanted.learners);
  const MembershipRefusal refusal = core(id).ProposeMembership(std::move(change));
  Drain(id);
  return refusal;
}

void Cluster::Read(std::uint64_t id, std::uint64_t context) {
  invariants_.OnReadAsked(N(id), context);
  core(id).ReadIndex(context);
  Drain(id);
}

bool Cluster::Transfer(std::uint64_t id, std::uint64_t target) {
  const bool started = core(id).TransferLeadership(N(target));
  Drain(id);
  return started;
}

// ---- network ---------------------------------------------------------------------------------

std::optional<AppendRequest> Cluster::Fill(const Node& node, Term term,
                                           const AppendRange& append) const {
  AppendRequest request{append.previous_index, append.previous_term, append.commit, {}};
  for (Index index = append.range.first; index < append.range.end; ++index) {
    const Entry* entry = node.seen.Find(index);
    if (!entry || entry->term > term) return std::nullopt;
    request.entries.push_back(*entry);
  }
  return request;
}

void Cluster::SendAll(Node& node, std::vector<OutgoingMessage> messages) {
  for (OutgoingMessage& out : messages) {
    CHECK(out.to && out.to != node.id) << "a message to nobody";
    std::visit(
        [&](auto& body) {
          if constexpr (std::is_same_v<std::decay_t<decltype(body)>, AppendRange>) {
            std::optional<AppendRequest> filled = Fill(node, out.term, body);
            if (filled) Enqueue({node.id, out.to, out.term, *std::move(filled)});
          } else {
            Enqueue({node.id, out.to, out.term, body});
          }
        },
        out.body);
  }
}

void Cluster::Trace(const Node& node, const std::string& what) const {
  if (trace) trace("node " + std::to_string(node.id.value()) + " " + what);
}

void Cluster::Enqueue(Message message) {
  if (trace) trace("  " + Describe(message));
  network_.push_back(std::move(message));
}

bool Cluster::Lost(const Message& message) const {
  const bool from = isolated_.contains(message.from.value());
  const bool to = isolated_.contains(message.to.value());
  return from != to || (drop && drop(message));
}

void Cluster::Deliver(Message message) {
  if (Lost(message)) return;
  const auto found = nodes_.find(message.to.value());
  if (found == nodes_.end() || !found->second.core) return;
  found->second.core->Step(std::move(message));
  Drain(found->first);
}

void Cluster::DeliverAll() {
  for (int i = 0; !network_.empty(); ++i) {
    CHECK_LT(i, 100000) << "the cluster never comes to rest";
    Message message = std::move(network_.front());
    network_.pop_front();
    Deliver(std::move(message));
  }
}

// ---- whole-cluster steps ---------------------------------------------------------------------

void Cluster::Settle() {
  for (int i = 0; i < 1000; ++i) {
    DeliverAll();
    bool busy = false;
    for (auto& [id, node] : nodes_) {
      if (!node.core) continue;
      busy |= !node.writes.empty() || node.install || !node.snapshot_wanted_by.empty();
      CompleteWrites(id);
      FinishInstall(id);
      SendSnapshots(id);
    }
    if (!busy && network_.empty()) return;
  }
  CHECK(false) << "the cluster never comes to rest";
}

void Cluster::Round(int times) {
  for (int i = 0; i < times; ++i) {
    for (std::uint64_t id : ids()) Tick(id);
    Settle();
  }
}

void Cluster::Elect(std::uint64_t id) {
  const int timeout = options_.core.election_timeout_ticks;
  for (int attempt = 0; attempt < 50 && core(id).role() != Role::kLeader; ++attempt) {
    // The others forget their leader; whoever of them campaigns meanwhile is not heard.
    for (std::uint64_t other : ids()) {
      if (other != id && attempt == 0) Tick(other, timeout);
    }
    network_.clear();
    Tick(id, timeout);
    Settle();
  }
  CHECK(core(id).role() == Role::kLeader) << "node " << id << " does not win";
}

std::uint64_t Cluster::leader() const {
  std::uint64_t best = 0;
  Term newest;
  for (const auto& [id, node] : nodes_) {
    if (node.core && node.core->role() == Role::kLeader && node.core->term() >= newest) {
      best = id;
      newest = node.core->term();
    }
  }
  return best;
}

void Cluster::CheckLogs() const {
  for (auto a = nodes_.begin(); a != nodes_.end(); ++a) {
    for (auto b = std::next(a); b != nodes_.end(); ++b) {
      Invariants::CheckLogsMatch(a->second.seen.log, b->second.seen.log);
    }
  }
}

}  // namespace flotilla::raft
