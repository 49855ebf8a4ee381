// SnapshotTransfer: carries snapshots from node to node, file by file.
//
// Purpose: parts are checksummed, limited in rate, and travel on the transport's bulk stream. A
// transfer that broke goes on where it stopped, as long as the snapshot is the same. A received
// snapshot is announced to nobody before every byte of it is here and synced.
//
// Place in the picture: one per node; raft/group.h sends and installs through it.
#pragma once

#include <spdlog/logger.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/executor.h"
#include "base/function.h"
#include "base/status.h"
#include "base/task.h"
#include "raft/outgoing_snapshot.h"
#include "raft/peer_calls.h"
#include "raft/state_machine.h"

namespace rocksdb {
class FileSystem;
}

namespace flotilla::raft {

struct SnapshotTransferOptions {
  std::size_t part_bytes = 512 << 10;
  // Over all transfers of this node.
  std::uint64_t bytes_per_second_max = 256ull << 20;
  Duration part_timeout = std::chrono::seconds(10);
  // Consecutive failures of one transfer before it is given up.
  int attempts_max = 5;
  // Files are read past the page cache, where the file system can.
  bool direct_io = false;
  // Random: checkpoints of all nodes and lives get different ids.
  std::uint64_t seed = 0;
};

class SnapshotTransfer {
 public:
  // `strand` is a blocking one; all file access happens there. `incoming` names the directory in
  // which a group's snapshot is received.
  SnapshotTransfer(const SnapshotTransferOptions& options, rocksdb::FileSystem* files,
                   const Clock* clock, PeerCalls* calls, std::unique_ptr<Strand> strand,
                   std::function<std::string(GroupId)> incoming,
                   std::shared_ptr<spdlog::logger> logger);
  ~SnapshotTransfer();

  // Sends all files of the snapshot; OK once the receiver has them on disk. It is given up once
  // `wanted`, which is asked on the transfer's strand, says no: two that are sent to one node would
  // undo each other. Any thread; `done` runs on the transfer's strand.
  void Send(GroupId group, NodeId to, const SnapshotInfo& snapshot, std::function<bool()> wanted,
            UniqueFunction<void(Status)> done);

  // Until Discard() or Release() no other snapshot takes the place of the received one, if it is
  // complete and has this mark's index and term. Any thread.
  bool Claim(GroupId group, const SnapshotMark& mark);
  void Release(GroupId group);
  // The directory of the group's received snapshot, when it is complete and has this mark's index
  // and term. Any thread.
  std::optional<std::string> Received(GroupId group, const SnapshotMark& mark) const;
  // Forgets the received snapshot (it was installed). Any thread.
  void Discard(GroupId group);

  // Gives up all transfers: their `done` gets NODE_STOPPING, or the outcome that they reached
  // first. A call that is under way is waited for: stop the PeerCalls before. `done` runs on the
  // transfer's strand, after theirs. Once; any thread.
  void Stop(Closure done);

 private:
  struct Incoming;

  StatusOr<std::string> OnOpen(std::string_view body);
  StatusOr<std::string> OnPart(std::string_view body);
  StatusOr<std::string> WritePart(const SnapshotPart& part);
  Status Prepare(Incoming& incoming);

  const SnapshotTransferOptions options_;
  rocksdb::FileSystem* const files_;
  PeerCalls* const calls_;
  const std::unique_ptr<Strand> strand_;
  const std::function<std::string(GroupId)> incoming_directory_;
  const std::shared_ptr<spdlog::logger> logger_;

  // Transfer strand.
  std::uint64_t next_outgoing_ = 1;
  TransferRate rate_;
  TaskScope sending_;

  mutable std::mutex mutex_;
  std::map<GroupId, std::shared_ptr<Incoming>> received_;
};

}  // namespace flotilla::raft
