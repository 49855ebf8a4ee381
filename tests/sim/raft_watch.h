// RaftWatch: checks Raft's promises on everything that nodes say to each other.
//
// From the outside, by messages alone: one leader per term; one node per id; none votes twice in a
// term, or speaks after a restart in a term before one it has spoken in; one content per index and
// term; one committed term per index. It keeps what was ever said, so a mistake shows when the
// second half of it is sent, not when a client notices.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "raft/transport/transport.h"

namespace flotilla::sim {

class RaftWatch {
 public:
  // Every message of every node, in the order in which they leave; `life` is another number for
  // each life of a node.
  void Note(const raft::PeerMessage& message, std::uint64_t life);

  // The first thing that must not happen.
  const std::string& failure() const { return failure_; }

  // How far things went, to see that rare paths are taken.
  std::uint64_t leaders() const { return leaders_.size(); }
  std::uint64_t snapshots() const { return snapshots_; }
  std::uint64_t rejections() const { return rejections_; }

 private:
  using Place = std::pair<raft::Term, raft::Index>;

  void NoteLeader(NodeId node, raft::Term term);
  void NoteVote(NodeId node, raft::Term term, NodeId candidate);
  void NoteTerm(NodeId node, raft::Term term, std::uint64_t life);
  void NoteAppend(NodeId from, raft::Term term, const raft::AppendRequest& append);
  void NoteCommitted(raft::Index index, raft::Term term);
  void Fail(std::string what);

  std::map<raft::Term, NodeId> leaders_;
  std::map<std::pair<NodeId, raft::Term>, NodeId> votes_;
  struct Spoken {
    std::uint64_t life = 0;
    raft::Term in_life;
    raft::Term before;  // in any earlier life
  };
  std::map<NodeId, Spoken> terms_;
  std::map<Place, std::uint32_t> contents_;
  std::vector<raft::Term> committed_;  // by index; zero: not seen
  std::uint64_t snapshots_ = 0;
  std::uint64_t rejections_ = 0;
  std::string failure_;
};

}  // namespace flotilla::sim
