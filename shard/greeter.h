// Greeter: what a member says to the others when it starts.
//
// It asks the addresses of `join` and of the members that it knows who they are. If they belong to
// another cluster, and nobody to its own, the data directory is in the wrong place: the node ends
// rather than run beside a cluster that is not its own. And if it is reached at another address
// than the group has on record, it says so, until the record is right; whoever is greeted dials the
// new address at once, so that even a cluster whose nodes have all moved finds itself again.
//
// On the node's control strand.
#pragma once

#include <spdlog/logger.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/random.h"
#include "raft/peer_calls.h"
#include "raft/transport/transport.h"
#include "shard/formation_codec.h"

namespace flotilla {

class Greeter : public std::enable_shared_from_this<Greeter> {
 public:
  struct Options {
    NodeUuid uuid;
    NodeId node;
    ClusterId cluster;
    std::string address;
    std::vector<std::string> join;
    std::string data_directory;  // for the error
    std::uint64_t seed = 1;
  };
  struct World {
    raft::Transport* transport = nullptr;
    Strand* strand = nullptr;  // the control strand
    std::shared_ptr<spdlog::logger> logger;
    // The other members' addresses, as known now.
    std::function<std::vector<std::string>()> members;
    // True once the group has `address` on record for this node.
    std::function<bool()> on_record;
    // Puts it on record through this node itself, if it leads.
    std::function<void()> record_here;
    // Where members are, as one of them has told it.
    std::function<void(const std::vector<MemberRecord>&)> meet;
    // This node is in the wrong place: WRONG_CLUSTER. At most once.
    std::function<void(Status)> refuse;
  };

  Greeter(Options options, World world);

  void Start();
  void End();
  // Greets once more, unless it is at it: whoever answers tells where the others are.
  void Again();

 private:
  struct Stranger {
    std::string address;
    ClusterId cluster;
  };

  void Round();
  void GreetAll();
  void OnAnswer(const std::string& address, const Hello& hello);
  void Announce();
  void Call(const std::string& address, raft::PeerMethod method, std::string body,
            std::function<void(std::string_view)> then);
  std::vector<std::string> Others() const;

  const Options options_;
  const World world_;
  Random random_;
  bool ended_ = false;
  bool stopped_ = false;
  std::vector<std::string> kin_;  // addresses that belong to this cluster
  std::optional<Stranger> stranger_;
  std::size_t next_ = 0;  // whom of them to ask next
};

}  // namespace flotilla
