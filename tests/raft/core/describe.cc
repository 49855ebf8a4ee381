#include "tests/raft/core/describe.h"

#include <sstream>

namespace flotilla::raft {
namespace {

template <class Body>
void Put(std::ostream& out, const Body& body);

template <>
void Put(std::ostream& out, const VoteRequest& body) {
  out << (body.pre_vote ? "PreVote" : "Vote") << " last " << body.last_index.value() << "/"
      << body.last_term.value() << (body.transfer ? " transfer" : "");
}
template <>
void Put(std::ostream& out, const VoteReply& body) {
  out << (body.pre_vote ? "PreVoteReply " : "VoteReply ") << (body.granted ? "granted" : "denied");
}
template <>
void Put(std::ostream& out, const AppendRequest& body) {
  out << "Append after " << body.previous_index.value() << "/" << body.previous_term.value()
      << " commit " << body.commit.value();
  for (const Entry& entry : body.entries) out << " " << Describe(entry);
}
template <>
void Put(std::ostream& out, const AppendReply& body) {
  if (body.accepted) {
    out << "AppendReply match " << body.match.value();
  } else {
    out << "AppendReply rejects " << body.rejected.value() << ", hint " << body.hint_index.value()
        << "/" << body.hint_term.value();
  }
}
template <>
void Put(std::ostream& out, const Heartbeat& body) {
  out << "Heartbeat commit " << body.commit.value() << " round " << body.read_round
      << (body.quiesce ? " sleep" : "");
}
template <>
void Put(std::ostream& out, const HeartbeatReply& body) {
  out << "HeartbeatReply round " << body.read_round;
}
template <>
void Put(std::ostream& out, const SnapshotRequest& body) {
  out << "Snapshot " << body.mark.index.value() << "/" << body.mark.term.value() << " "
      << Describe(body.mark.configuration);
}
template <>
void Put(std::ostream& out, const TimeoutNow&) {
  out << "TimeoutNow";
}
// Numbers of requests are drawn at random: they are not shown.
template <>
void Put(std::ostream& out, const ReadIndexRequest&) {
  out << "ReadIndex";
}
template <>
void Put(std::ostream& out, const ReadIndexReply& body) {
  out << "ReadIndexReply ";
  if (body.index) {
    out << body.index->value();
  } else {
    out << "refused";
  }
}

void PutNodes(std::ostream& out, const char* name, const std::set<NodeId>& nodes) {
  if (nodes.empty()) return;
  out << name;
  const char* separator = "";
  for (NodeId node : nodes) {
    out << separator << node.value();
    separator = ",";
  }
}

}  // namespace

std::string Describe(const Message& message) {
  std::ostringstream out;
  out << message.from.value() << "->" << message.to.value() << " term " << message.term.value()
      << " ";
  std::visit([&](const auto& body) { Put(out, body); }, message.body);
  return out.str();
}

std::string Describe(const PersistBatch& batch) {
  std::ostringstream out;
  out << "write " << batch.token.sequence << ":";
  if (batch.hard_state) {
    out << " term " << batch.hard_state->term.value() << " vote " << batch.hard_state->vote.value()
        << " commit " << batch.hard_state->commit.value();
  }
  for (const Entry& entry : batch.entries) out << " " << Describe(entry);
  return out.str();
}

std::string Describe(const Entry& entry) {
  std::ostringstream out;
  out << "[" << entry.index.value() << "/" << entry.term.value() << " ";
  Configuration configuration;
  if (entry.kind == EntryKind::kNoop) {
    out << "noop";
  } else if (entry.kind == EntryKind::kCommand) {
    out << entry.payload.view();
  } else if (entry.kind == EntryKind::kControl) {
    out << "control " << entry.payload.view();
  } else if (DecodeConfiguration(entry.payload.view(), configuration)) {
    out << Describe(configuration);
  }
  out << "]";
  return out.str();
}

std::string Describe(const Configuration& configuration) {
  std::ostringstream out;
  PutNodes(out, "voters ", configuration.voters);
  PutNodes(out, " outgoing ", configuration.outgoing);
  PutNodes(out, " learners ", configuration.learners);
  PutNodes(out, " learners-next ", configuration.learners_next);
  return out.str();
}

std::string Describe(const LeadershipChange& change) {
  std::ostringstream out;
  out << "is " << NameOf(change.role) << " in term " << change.term.value() << ", leader "
      << change.leader.value();
  return out.str();
}

std::string Describe(const CoreStatus& status) {
  std::ostringstream out;
  out << NameOf(status.role) << " term " << status.term.value() << " vote " << status.vote.value()
      << " leader " << status.leader.value() << " commit " << status.commit.value() << " applied "
      << status.applied.value() << " durable " << status.durable.value() << " last "
      << status.last.value() << " " << Describe(status.configuration)
      << (status.quiescent ? " asleep" : "");
  return out.str();
}

const char* NameOf(Role role) {
  switch (role) {
    case Role::kFollower:
      return "follower";
    case Role::kPreCandidate:
      return "pre-candidate";
    case Role::kCandidate:
      return "candidate";
    case Role::kLeader:
      return "leader";
  }
  return "?";
}

const char* NameOf(MembershipRefusal refusal) {
  switch (refusal) {
    case MembershipRefusal::kNone:
      return "taken";
    case MembershipRefusal::kNotLeader:
      return "refused: not the leader";
    case MembershipRefusal::kChangeUnderWay:
      return "refused: a change is under way";
    case MembershipRefusal::kNotCaughtUp:
      return "refused: a learner has not caught up";
    case MembershipRefusal::kNoVoters:
      return "refused: no voters";
    case MembershipRefusal::kNoChange:
      return "refused: no change";
  }
  return "?";
}

const char* NameOf(ProposeRefusal refusal) {
  switch (refusal) {
    case ProposeRefusal::kNotLeader:
      return "refused: not the leader";
    case ProposeRefusal::kTransferring:
      return "refused: leadership is being transferred";
    case ProposeRefusal::kTooMuchInFlight:
      return "refused: too much in flight";
    case ProposeRefusal::kMembersChanging:
      return "refused: the members are changing";
  }
  return "?";
}

}  // namespace flotilla::raft
