#include "raft/snapshot_transfer.h"

#include <rocksdb/file_system.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "raft/log/io_status.h"
#include "raft/outgoing_snapshot.h"
#include "raft/snapshot_wire.h"

namespace flotilla::raft {
namespace {

using log::FromIo;

// One transfer from beginning to end.
Task<> Carry(std::unique_ptr<OutgoingSnapshot> outgoing, UniqueFunction<void(Status)> done) {
  Status status = co_await outgoing->Send();
  outgoing = nullptr;  // closes its file: the snapshot may be dropped now
  done(std::move(status));
}

}  // namespace

struct SnapshotTransfer::Incoming {
  bool claimed = false;  // under the lock
  SnapshotOpen open;
  std::string directory;
  std::vector<std::uint64_t> offsets;
  std::size_t file = 0;  // of `writer`
  std::unique_ptr<rocksdb::FSWritableFile> writer;
  bool complete = false;  // guarded by SnapshotTransfer::mutex_
};

SnapshotTransfer::SnapshotTransfer(const SnapshotTransferOptions& options,
                                   rocksdb::FileSystem* files, const Clock* clock, PeerCalls* calls,
                                   std::unique_ptr<Strand> strand,
                                   std::function<std::string(GroupId)> incoming,
                                   std::shared_ptr<spdlog::logger> logger)
    : options_(options),
      files_(files),
      calls_(calls),
      strand_(std::move(strand)),
      incoming_directory_(std::move(incoming)),
      logger_(std::move(logger)),
      rate_(clock, options.bytes_per_second_max),
      sending_(strand_.get()) {
  calls_->Handle(PeerMethod::kSnapshotOpen,
                 [this](NodeId, std::uint64_t, Bytes body, PeerCalls::Reply reply) {
                   strand_->Post([this, body, reply = std::move(reply)]() mutable {
                     reply(Bytes(EncodeSnapshotAnswer(OnOpen(body.view()))));
                   });
                 });
  calls_->Handle(PeerMethod::kSnapshotPart,
                 [this](NodeId, std::uint64_t, Bytes body, PeerCalls::Reply reply) {
                   strand_->Post([this, body, reply = std::move(reply)]() mutable {
                     reply(Bytes(EncodeSnapshotAnswer(OnPart(body.view()))));
                   });
                 });
}

SnapshotTransfer::~SnapshotTransfer() = default;

void SnapshotTransfer::Send(GroupId group, NodeId to, const SnapshotInfo& snapshot,
                            std::function<bool()> wanted, UniqueFunction<void(Status)> done) {
  strand_->Post([this, group, to, snapshot, wanted = std::move(wanted),
                 done = std::move(done)]() mutable {
    if (sending_.stopping()) {
      done(Error(Reason::kNodeStopping, "the node is stopping"));
      return;
    }
    logger_->info("group {}: sending a snapshot of index {} to node {} ({} files)", group.value(),
                  snapshot.mark.index.value(), to.value(), snapshot.files.size());
    const OutgoingSnapshot::Options outgoing_options{.id = options_.seed + next_outgoing_++,
                                                     .group = group,
                                                     .to = to,
                                                     .part_bytes = options_.part_bytes,
                                                     .part_timeout = options_.part_timeout,
                                                     .attempts_max = options_.attempts_max,
                                                     .direct_io = options_.direct_io,
                                                     .wanted = std::move(wanted)};
    auto outgoing =
        std::make_unique<OutgoingSnapshot>(outgoing_options, snapshot, files_, calls_, &rate_);
    sending_.Spawn(Carry(std::move(outgoing), std::move(done)));
  });
}

StatusOr<std::string> SnapshotTransfer::OnOpen(std::string_view body) {
  ASSIGN_OR_RETURN(SnapshotOpen open, DecodeSnapshotOpen(body));
  std::shared_ptr<Incoming> incoming;
  {
    std::lock_guard lock(mutex_);
    const auto found = received_.find(open.group);
    if (found != received_.end()) incoming = found->second;
  }
  const bool same = incoming && incoming->open.id == open.id &&
                    incoming->open.index == open.index && incoming->open.term == open.term &&
                    incoming->open.files.size() == open.files.size() &&
                    std::equal(open.files.begin(), open.files.end(), incoming->open.files.begin(),
                               [](const SnapshotFile& a, const SnapshotFile& b) {
                                 return a.name == b.name && a.bytes == b.bytes;
                               });
  if (!same) {
    {
      std::lock_guard lock(mutex_);
      if (incoming && incoming->claimed) {
        return Error(Reason::kNotReady, "another snapshot is being installed: try again later");
      }
      // From here on nobody may take it for whole.
      received_.erase(open.group);
    }
    incoming = std::make_shared<Incoming>();
    incoming->directory = incoming_directory_(open.group);
    incoming->offsets.assign(open.files.size(), 0);
    incoming->open = std::move(open);
    RETURN_IF_ERROR(Prepare(*incoming));
    std::lock_guard lock(mutex_);
    received_[incoming->open.group] = incoming;
  }
  return EncodeOffsets(incoming->offsets);
}

// An empty directory, whatever an earlier transfer left.
Status SnapshotTransfer::Prepare(Incoming& incoming) {
  const rocksdb::IOOptions io;
  const std::string& directory = incoming.directory;
  RETURN_IF_ERROR(FromIo(files_->CreateDirIfMissing(directory, io, nullptr), directory));
  std::vector<std::string> children;
  RETURN_IF_ERROR(FromIo(files_->GetChildren(directory, io, &children, nullptr), directory));
  for (const std::string& child : children) {
    if (child == "." || child == "..") continue;
    const std::string path = fmt::format("{}/{}", directory, child);
    RETURN_IF_ERROR(FromIo(files_->DeleteFile(path, io, nullptr), path));
  }
  // Empty files get no part.
  for (const SnapshotFile& file : incoming.open.files) {
    const std::string path = fmt::format("{}/{}", directory, file.name);
    std::unique_ptr<rocksdb::FSWritableFile> writer;
    RETURN_IF_ERROR(
        FromIo(files_->NewWritableFile(path, rocksdb::FileOptions(), &writer, nullptr), path));
    RETURN_IF_ERROR(FromIo(writer->Close(io, nullptr), path));
  }
  return absl::OkStatus();
}

StatusOr<std::string> SnapshotTransfer::OnPart(std::string_view body) {
  ASSIGN_OR_RETURN(const SnapshotPart part, DecodeSnapshotPart(body));
  StatusOr<std::string> written = WritePart(part);
  if (!written.ok() && ReasonOf(written.status()) != Reason::kBadRequest) {
    // What a failed write or sync has left of a file nobody knows: a later sync would not say so.
    // The next announcement begins with an empty directory.
    std::lock_guard lock(mutex_);
    const auto found = received_.find(part.group);
    if (found != received_.end() && !found->second->claimed) received_.erase(found);
  }
  return written;
}

StatusOr<std::string> SnapshotTransfer::WritePart(const SnapshotPart& part) {
  std::shared_ptr<Incoming> incoming;
  {
    std::lock_guard lock(mutex_);
    const auto found = received_.find(part.group);
    if (found != received_.end()) incoming = found->second;
  }
  if (!incoming || incoming->open.id != part.id || incoming->open.index != part.index ||
      incoming->open.term != part.term) {
    return Error(Reason::kBadRequest, "a part of a snapshot that was not announced here");
  }
  const rocksdb::IOOptions io;
  const std::vector<SnapshotFile>& files = incoming->open.files;
  if (part.file > files.size()) return Error(Reason::kBadRequest, "a part of an unknown file");
  if (incoming->writer && incoming->file != part.file) {
    RETURN_IF_ERROR(FromIo(incoming->writer->Sync(io, nullptr), files[incoming->file].name));
    RETURN_IF_ERROR(FromIo(incoming->writer->Close(io, nullptr), files[incoming->file].name));
    incoming->writer.reset();
  }
  if (part.file == files.size()) {
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (incoming->offsets[i] != files[i].bytes) {
        return Error(Reason::kBadRequest, "the snapshot ended before all its parts arrived");
      }
    }
    std::unique_ptr<rocksdb::FSDirectory> directory;
    RETURN_IF_ERROR(
        FromIo(files_->NewDirectory(incoming->directory, io, &directory, nullptr), "directory"));
    RETURN_IF_ERROR(FromIo(directory->Fsync(io, nullptr), incoming->directory));
    std::lock_guard lock(mutex_);
    incoming->complete = true;
    return std::string();
  }
  std::uint64_t& offset = incoming->offsets[part.file];
  if (part.offset != offset || offset + part.data.size() > files[part.file].bytes) {
    return Error(Reason::kBadRequest, "a part of a snapshot at an unexpected offset");
  }
  const std::string path = incoming->directory + "/" + files[part.file].name;
  if (!incoming->writer) {
    RETURN_IF_ERROR(
        FromIo(files_->ReopenWritableFile(path, rocksdb::FileOptions(), &incoming->writer, nullptr),
               path));
    incoming->file = part.file;
  }
  RETURN_IF_ERROR(FromIo(
      incoming->writer->Append(rocksdb::Slice(part.data.data(), part.data.size()), io, nullptr),
      path));
  offset += part.data.size();
  if (offset == files[part.file].bytes) {
    RETURN_IF_ERROR(FromIo(incoming->writer->Sync(io, nullptr), path));
    RETURN_IF_ERROR(FromIo(incoming->writer->Close(io, nullptr), path));
    incoming->writer.reset();
  }
  return std::string();
}

std::optional<std::string> SnapshotTransfer::Received(GroupId group,
                                                      const SnapshotMark& mark) const {
  std::lock_guard lock(mutex_);
  const auto found = received_.find(group);
  if (found == received_.end() || !found->second->complete) return std::nullopt;
  const SnapshotOpen& open = found->second->open;
  if (open.index != mark.index || open.term != mark.term) return std::nullopt;
  return found->second->directory;
}

bool SnapshotTransfer::Claim(GroupId group, const SnapshotMark& mark) {
  std::lock_guard lock(mutex_);
  const auto found = received_.find(group);
  if (found == received_.end() || !found->second->complete) return false;
  const SnapshotOpen& open = found->second->open;
  if (open.index != mark.index || open.term != mark.term) return false;
  found->second->claimed = true;
  return true;
}

void SnapshotTransfer::Release(GroupId group) {
  std::lock_guard lock(mutex_);
  const auto found = received_.find(group);
  if (found != received_.end()) found->second->claimed = false;
}

void SnapshotTransfer::Discard(GroupId group) {
  std::lock_guard lock(mutex_);
  received_.erase(group);
}

void SnapshotTransfer::Stop(Closure done) {
  strand_->Post([this, done = std::move(done)]() mutable { sending_.Stop(std::move(done)); });
}

}  // namespace flotilla::raft
