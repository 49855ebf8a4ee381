// Formation: how a node with a new data directory comes to be a member.
//
// It asks the addresses of `join` who they are. If one belongs to a cluster, it asks to be let in.
// If as many new nodes as `bootstrap_expect` have found each other, the one with the smallest uuid
// proposes a founding to the others; each promises itself to one coordinator at a time; once all
// have promised, each is told to found, and does so durably before it says yes. A founder that
// missed the word gets it from any other: the founding that names it is the one it takes.
//
// A node accepts one founding in its life. Nodes are never numbered by hand.
//
// On the node's control strand.
#pragma once

#include <spdlog/logger.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/random.h"
#include "raft/peer_calls.h"
#include "raft/transport/transport.h"
#include "shard/formation_codec.h"

namespace flotilla {

class Formation : public std::enable_shared_from_this<Formation> {
 public:
  struct Options {
    NodeUuid uuid;
    std::string address;
    std::vector<std::string> join;
    std::uint32_t expect = 0;
    bool promote = true;
    std::uint64_t seed = 1;
  };
  struct World {
    raft::Transport* transport = nullptr;
    const Clock* clock = nullptr;
    Strand* strand = nullptr;  // the control strand
    std::shared_ptr<spdlog::logger> logger;
    // Makes this node a founder, durably; `done` on the control strand. Called at most once at a
    // time, and never again after it succeeded.
    std::function<void(Founding, UniqueFunction<void(Status)> done)> found;
    // The cluster has let this node in.
    std::function<void(Admission)> join;
  };

  Formation(const Options& options, const World& world);

  void Start();
  // It is a member now, or stops.
  void End();
  // True once it looks for a cluster to join rather than for nodes to found one with.
  bool joining() const { return joining_; }

  // ---- calls of other nodes -------------------------------------------------------------------

  void OnHello(const Hello& hello);
  // Addresses of new nodes that this one knows; part of its own hello.
  std::vector<std::string> HeardOf() const;
  bool OnPropose(const FoundingCall& call);
  void OnFound(FoundingCall call, UniqueFunction<void(bool)> reply);

 private:
  struct Seen {
    std::string address;
    MonoTime at;
  };

  void Round();
  void AskAll();
  void OnAnswer(const std::string& address, const Hello& hello);
  void TryToFound();
  void Propose(Founding founding);
  void TellToFound(const Founding& founding);
  void FoundHere(const Founding& founding, UniqueFunction<void(Status)> done);
  void Join(const std::string& address);
  void Call(const std::string& address, raft::PeerMethod method, std::string body,
            UniqueFunction<void(StatusOr<Bytes>)> then);
  std::vector<std::string> Others() const;

  const Options options_;
  const World world_;
  Random random_;
  bool ended_ = false;
  bool joining_ = false;
  bool join_asked_ = false;
  // Refused: asked again later, and said once.
  MonoTime join_not_before_{};
  Duration join_pause_{};
  std::string refusal_;
  bool founding_here_ = false;
  bool proposing_ = false;
  std::set<std::string> rumoured_;  // addresses that others have heard of
  std::map<NodeUuid, Seen> seen_;   // new nodes, by uuid; not this one
  // Whom this node has promised to wait for, and until when.
  NodeUuid promised_;
  MonoTime promised_until_{};
  int rounds_ = 0;
};

}  // namespace flotilla
