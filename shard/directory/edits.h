// Edits: how the directory changes, as pure functions of its image.
//
// The directory's leader turns a wish into an edit, proposes that as one atomic batch, and tries
// again with a newer image if another change came first. An edit keeps what must hold: the shards
// of a keyspace hold each of its keys once; an id is given once; an epoch never goes back.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "shard/directory/image.h"

namespace flotilla {

// All or nothing.
struct DirectoryEdit {
  std::vector<DirectoryRow> put;
  std::vector<std::string> erase;  // RowKey()s

  bool empty() const { return put.empty() && erase.empty(); }
  // Both, as one. They have no row in common.
  void Add(DirectoryEdit other);
};

struct KeyspaceSpec {
  std::string name;
  Partitioning partitioning = Partitioning::kRange;
  std::uint32_t replicas = 3;
  std::vector<std::string> apart = {};
  Labels require = {};
  Duration retention{};
  std::uint32_t shards = 1;                  // kHash: runs of slots
  std::vector<std::string> split_keys = {};  // kRange: user keys
};

// Which nodes a new shard begins on, best first; fewer than asked for where there are not enough.
using Placement = std::function<std::vector<NodeId>(const KeyspaceDescriptor& keyspace,
                                                    const ShardDescriptor& shard)>;

// The first rows of a new cluster: its nodes, and the keyspace `default` as one shard on them.
DirectoryEdit FoundDirectory(const std::vector<NodeRecord>& nodes, NodeId next_node,
                             Duration retention);

// KEYSPACE_EXISTS; BAD_REQUEST for a name, a count or keys that cannot be; NO_QUORUM when there are
// no nodes to place a shard on.
StatusOr<DirectoryEdit> CreateKeyspace(const DirectoryImage& image, const KeyspaceSpec& spec,
                                       const Placement& placement);
// KEYSPACE_NOT_FOUND; BAD_REQUEST when it cannot be as asked for. Its name and partitioning stay.
StatusOr<DirectoryEdit> AlterKeyspace(const DirectoryImage& image, std::string_view name,
                                      const std::function<void(KeyspaceDescriptor&)>& change);
// No more requests from here on; a job removes its shards. KEYSPACE_NOT_FOUND; BAD_REQUEST for
// `default`.
StatusOr<DirectoryEdit> BeginDropKeyspace(const DirectoryImage& image, std::string_view name);
// Its groups are gone.
StatusOr<DirectoryEdit> FinishDropKeyspace(const DirectoryImage& image, kv::KeyspaceId keyspace);

// A node as it now describes itself. BAD_REQUEST when it was decommissioned.
StatusOr<DirectoryEdit> RecordNode(const DirectoryImage& image, const NodeRecord& node);

// What people decide about a node. NODE_NOT_FOUND; BAD_REQUEST for one that was decommissioned.
StatusOr<DirectoryEdit> SetNodeRole(const DirectoryImage& image, NodeId node, NodeRole role);

// What leaders report of their shards, together: those that are new or of a newer epoch than the
// directory's, in place of those whose range they cover. What others have taken over since is left
// out. Empty when nothing is news. NOT_READY when they are but a part of a change: without the rest
// a key would be held twice, or by nobody.
StatusOr<DirectoryEdit> TakeReports(const DirectoryImage& image,
                                    const std::vector<ShardDescriptor>& reports);

// As the first command of group 1.
std::string EncodeFirstEdit(const DirectoryEdit& edit);
// As a command for group 1, which takes effect only if the directory is as the image has it.
std::string EncodeEdit(const DirectoryEdit& edit, const DirectoryImage& image,
                       const kv::Session& session);

// The command for group 1 that moves the end of the window of timestamps, if it is as expected.
std::string EncodeWindowMove(TimestampWindow before, TimestampWindow after);

// The image with an edit on top, for checks.
StatusOr<DirectoryImage> WithEdit(const DirectoryImage& image, const DirectoryEdit& edit);

}  // namespace flotilla
