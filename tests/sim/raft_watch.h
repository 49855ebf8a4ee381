// RaftWatch: checks Raft's promises on everything that nodes say to each other, group by group.
//
// From the outside, by messages alone: one leader per term; one node per id; none votes twice in a
// term, or speaks after a restart in a term before one it has spoken in; one content per index and
// term; one committed term per index, which a leader moves on by an entry of its own term first; no
// node is, after a restart, without a committed entry that it has acknowledged. It keeps what was
// ever said, so a mistake shows when the second half of it is sent, not when a client notices.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/transport/transport.h"
#include "shard/directory/image.h"

namespace flotilla::sim {

class GroupWatch {
 public:
  void Note(const raft::Message& said, std::uint64_t life);
  // The node was removed, and forgets the group: it may be added again with nothing.
  void NoteDeparted(NodeId node) { departed_.insert(node); }

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
  // Whoever it votes for has all that is committed of what it has ever acknowledged.
  void CheckVote(NodeId node, raft::Term term, NodeId candidate);
  void NoteTerm(NodeId node, raft::Term term, std::uint64_t life);
  void NoteAppend(NodeId from, raft::Term term, const raft::AppendRequest& append);
  // The leader of `leading` says that all it has up to here is committed.
  void NoteCommit(raft::Term leading, raft::Index commit);
  void NoteCommitted(raft::Index index, raft::Term term, raft::Term leading);
  void NoteAcknowledged(NodeId node, raft::Term leading, raft::Index match, std::uint64_t life);
  // The node says that it has nothing, or something else, from this index on.
  void NoteMissing(NodeId node, raft::Index first, std::uint64_t life);
  void Fail(std::string what);

  std::map<raft::Term, NodeId> leaders_;
  std::map<std::pair<NodeId, raft::Term>, NodeId> votes_;
  std::map<std::pair<NodeId, raft::Term>, raft::Index> candidates_;  // and where their logs end
  struct Spoken {
    std::uint64_t life = 0;
    raft::Term in_life;
    raft::Term before;  // in any earlier life
  };
  std::map<NodeId, Spoken> terms_;
  std::map<Place, std::uint32_t> contents_;
  // The last entry of each append: its term, by the term of the leader and the index.
  std::map<Place, raft::Term> in_log_of_;
  struct Leadership {
    raft::Index first_own;     // entry of its term; zero: none was sent yet
    raft::Index commit_taken;  // over from earlier terms; zero: not seen
    raft::Index commit;        // up to which the log's entries are noted
  };
  std::map<raft::Term, Leadership> leaderships_;
  struct Committed {
    raft::Term term;  // of the entry; zero: not seen
    raft::Term in;    // the term whose leader said so first
  };
  std::vector<Committed> committed_;  // by index
  struct Acknowledged {
    raft::Term term;  // of the entry; zero: none
    raft::Term in;    // the term of the leader
    std::uint64_t life = 0;
  };
  std::map<NodeId, std::vector<Acknowledged>> acknowledged_;  // by index
  std::set<NodeId> departed_;
  std::uint64_t snapshots_ = 0;
  std::uint64_t rejections_ = 0;
  std::string failure_;
};

class RaftWatch {
 public:
  // Every message of every node, in the order in which they leave; `life` is another number for
  // each life of a node.
  void Note(const raft::PeerMessage& message, std::uint64_t life);

  // Where replicas belong, as any node has the directory.
  void Note(const DirectoryImage& image);

  // The first thing that must not happen.
  const std::string& failure() const { return failure_; }

  // Of all groups together.
  std::uint64_t leaders() const { return Sum(&GroupWatch::leaders); }
  std::uint64_t snapshots() const { return Sum(&GroupWatch::snapshots); }
  std::uint64_t rejections() const { return Sum(&GroupWatch::rejections); }

 private:
  std::uint64_t Sum(std::uint64_t (GroupWatch::*count)() const) const;

  std::map<GroupId, GroupWatch> groups_;
  Timestamp directory_;  // the newest version seen
  std::map<GroupId, std::vector<NodeId>> places_;
  std::string failure_;
};

}  // namespace flotilla::sim
