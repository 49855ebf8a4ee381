// Administrator: whoever looks after the keyspaces of a simulated cluster: makes some before the
// load begins, and then splits, merges and moves shards, changes his mind, and makes and drops a
// keyspace, whatever else goes wrong meanwhile. He asks any node, and takes no for an answer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/sim/sim_cluster.h"

namespace flotilla::sim {

class Administrator {
 public:
  struct Options {
    std::uint64_t seed = 1;
    Duration between_max = std::chrono::seconds(3);
  };

  Administrator(const Options& options, EventLoop* loop, SimCluster* cluster);

  // Makes the keyspaces that are there from the beginning, of several shards each.
  static std::vector<KeyspaceSpec> FirstKeyspaces();
  void MakeKeyspaces();
  // They are there, and every shard has a leader.
  bool ready() const;
  // `default` and those that were made.
  std::vector<kv::KeyspaceId> keyspaces() const;

  void Start() { Next(); }
  // Begins nothing new.
  void End() { ended_ = true; }
  // No job is open.
  bool Settled() const;
  // Of open jobs, for people.
  std::string Describe() const;

  // The newest copy of the directory that a node has; never null.
  std::shared_ptr<const DirectoryImage> View() const;
  // Jobs that have ended well, by now.
  std::uint64_t JobsDone() const;

 private:
  void MakeKeyspace(const KeyspaceSpec& spec);
  void Next();
  void Act();
  void Split(const DirectoryImage& image);
  void Move(const DirectoryImage& image);
  void Merge(const DirectoryImage& image);
  void Cancel(const DirectoryImage& image);
  void ChangeSideKeyspace(const DirectoryImage& image);
  void Alter();
  const ShardDescriptor& AnyShard(const DirectoryImage& image);
  std::string AnyKey();
  // Of a node that runs, if there is one.
  void Ask(DirectoryCall call);
  void Ask(DirectoryCall call, std::function<void(const DirectoryAnswer&)> done);

  const Options options_;
  EventLoop* const loop_;
  SimCluster* const cluster_;
  Random random_;
  bool ended_ = false;
};

}  // namespace flotilla::sim
