#include "raft/snapshot_transfer.h"

#include <rocksdb/file_system.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "raft/snapshot_wire.h"

namespace flotilla::raft {
namespace {

Status FromIO(const rocksdb::IOStatus& status, std::string_view what) {
  if (status.ok()) return absl::OkStatus();
  return Error(status.IsNoSpace() ? Reason::kDiskFull : Reason::kInternal,
               fmt::format("{}: {}", what, status.ToString()));
}

}  // namespace

// ---- sending --------------------------------------------------------------------------------

// One snapshot on its way to one node; on the transfer strand.
class SnapshotTransfer::Outgoing : public std::enable_shared_from_this<Outgoing> {
 public:
  Outgoing(SnapshotTransfer* transfer, std::uint64_t id, GroupId group, NodeId to,
           SnapshotInfo snapshot, UniqueFunction<void(Status)> done)
      : transfer_(transfer),
        id_(id),
        group_(group),
        to_(to),
        snapshot_(std::move(snapshot)),
        done_(std::move(done)) {}

  void Open() {
    SnapshotOpen open{.id = id_,
                      .group = group_,
                      .index = snapshot_.mark.index,
                      .term = snapshot_.mark.term,
                      .files = snapshot_.files};
    Call(PeerMethod::kSnapshotOpen, EncodeSnapshotOpen(open),
         [](Outgoing& self, const std::string& body) {
           StatusOr<std::vector<std::uint64_t>> offsets =
               DecodeOffsets(body, self.snapshot_.files.size());
           if (!offsets.ok()) {
             self.Finish(offsets.status());
             return;
           }
           self.offsets_ = *std::move(offsets);
           self.file_ = 0;
           self.NextPart();
         });
  }

  void Finish(Status status) {
    if (!done_) return;
    auto done = std::move(done_);
    done_ = nullptr;
    open_file_.reset();
    transfer_->outgoing_.erase(id_);
    done(std::move(status));
  }

 private:
  void NextPart() {
    while (file_ < snapshot_.files.size() && offsets_[file_] >= snapshot_.files[file_].bytes) {
      ++file_;
      open_file_.reset();
    }
    SnapshotPart part{.id = id_,
                      .group = group_,
                      .index = snapshot_.mark.index,
                      .term = snapshot_.mark.term,
                      .file = file_,
                      .offset = 0,
                      .data = {}};
    std::string data;
    if (file_ < snapshot_.files.size()) {
      part.offset = offsets_[file_];
      if (Status read = ReadPart(part.offset, data); !read.ok()) {
        Finish(std::move(read));
        return;
      }
      part.data = data;
    }
    const bool last = file_ == snapshot_.files.size();
    const std::uint64_t sent = data.size();
    Call(PeerMethod::kSnapshotPart, EncodeSnapshotPart(part),
         [last, sent](Outgoing& self, const std::string&) {
           if (last) {
             self.Finish(absl::OkStatus());
             return;
           }
           self.offsets_[self.file_] += sent;
           self.attempts_ = 0;
           self.AwaitBudget(sent);
         });
  }

  // The next part leaves once the bytes of this one fit under the rate.
  void AwaitBudget(std::uint64_t sent) {
    const MonoTime now = transfer_->clock_->Now();
    MonoTime& free_at = transfer_->budget_free_at_;
    const Duration cost(sent * 1'000'000'000 / transfer_->options_.bytes_per_second_max);
    free_at = std::max(free_at, now) + cost;
    const Duration wait = free_at - now - std::chrono::milliseconds(50);  // a small burst is fine
    auto self = shared_from_this();
    if (wait <= Duration(0)) {
      transfer_->strand_->Post([self] { self->NextPart(); });
    } else {
      transfer_->strand_->After(wait, [self] { self->NextPart(); });
    }
  }

  Status ReadPart(std::uint64_t offset, std::string& data) {
    const SnapshotFile& file = snapshot_.files[file_];
    const std::string path = snapshot_.directory + "/" + file.name;
    if (!open_file_) {
      RETURN_IF_ERROR(FromIO(transfer_->files_->NewRandomAccessFile(path, rocksdb::FileOptions(),
                                                                    &open_file_, nullptr),
                             path));
    }
    data.resize(std::min<std::uint64_t>(transfer_->options_.part_bytes, file.bytes - offset));
    rocksdb::Slice slice;
    RETURN_IF_ERROR(FromIO(
        open_file_->Read(offset, data.size(), rocksdb::IOOptions(), &slice, data.data(), nullptr),
        path));
    if (slice.size() != data.size()) {
      return Error(Reason::kInternal, fmt::format("{}: shorter than its snapshot says", path));
    }
    if (slice.data() != data.data()) data.assign(slice.data(), slice.size());
    return absl::OkStatus();
  }

  void Call(PeerMethod method, std::string body,
            UniqueFunction<void(Outgoing&, const std::string&)> then) {
    auto self = shared_from_this();
    transfer_->calls_->Call(
        to_, method, Bytes(std::move(body)), transfer_->options_.part_timeout, {.bulk = true},
        [self, then = std::move(then)](StatusOr<Bytes> answer) mutable {
          self->transfer_->strand_->Post(
              [self, then = std::move(then), answer = std::move(answer)]() mutable {
                if (!self->done_) return;
                StatusOr<std::string> body =
                    answer.ok() ? DecodeSnapshotAnswer(answer->view()) : answer.status();
                if (body.ok()) {
                  then(*self, *body);
                } else {
                  self->Retry(body.status());
                }
              });
        });
  }

  // The receiver says where to go on.
  void Retry(const Status& status) {
    if (++attempts_ >= transfer_->options_.attempts_max || transfer_->stopped_) {
      Finish(status);
      return;
    }
    auto self = shared_from_this();
    transfer_->strand_->After(std::chrono::milliseconds(200) * attempts_, [self] {
      if (self->done_) self->Open();
    });
  }

  SnapshotTransfer* const transfer_;
  const std::uint64_t id_;
  const GroupId group_;
  const NodeId to_;
  const SnapshotInfo snapshot_;
  UniqueFunction<void(Status)> done_;
  std::vector<std::uint64_t> offsets_;
  std::size_t file_ = 0;
  std::unique_ptr<rocksdb::FSRandomAccessFile> open_file_;
  int attempts_ = 0;
};

// ---- receiving ------------------------------------------------------------------------------

struct SnapshotTransfer::Incoming {
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
      clock_(clock),
      calls_(calls),
      strand_(std::move(strand)),
      incoming_directory_(std::move(incoming)),
      logger_(std::move(logger)) {
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
                            UniqueFunction<void(Status)> done) {
  strand_->Post([this, group, to, snapshot, done = std::move(done)]() mutable {
    if (stopped_) {
      done(Error(Reason::kNodeStopping, "the node is stopping"));
      return;
    }
    const std::uint64_t id = options_.seed + next_outgoing_++;
    logger_->info("group {}: sending a snapshot of index {} to node {} ({} files)", group.value(),
                  snapshot.mark.index.value(), to.value(), snapshot.files.size());
    auto outgoing = std::make_shared<Outgoing>(this, id, group, to, snapshot, std::move(done));
    outgoing_[id] = outgoing;
    outgoing->Open();
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
  RETURN_IF_ERROR(FromIO(files_->CreateDirIfMissing(directory, io, nullptr), directory));
  std::vector<std::string> children;
  RETURN_IF_ERROR(FromIO(files_->GetChildren(directory, io, &children, nullptr), directory));
  for (const std::string& child : children) {
    if (child == "." || child == "..") continue;
    const std::string path = directory + "/" + child;
    RETURN_IF_ERROR(FromIO(files_->DeleteFile(path, io, nullptr), path));
  }
  // Empty files get no part.
  for (const SnapshotFile& file : incoming.open.files) {
    const std::string path = directory + "/" + file.name;
    std::unique_ptr<rocksdb::FSWritableFile> writer;
    RETURN_IF_ERROR(
        FromIO(files_->NewWritableFile(path, rocksdb::FileOptions(), &writer, nullptr), path));
    RETURN_IF_ERROR(FromIO(writer->Close(io, nullptr), path));
  }
  return absl::OkStatus();
}

StatusOr<std::string> SnapshotTransfer::OnPart(std::string_view body) {
  ASSIGN_OR_RETURN(const SnapshotPart part, DecodeSnapshotPart(body));
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
    RETURN_IF_ERROR(FromIO(incoming->writer->Sync(io, nullptr), files[incoming->file].name));
    RETURN_IF_ERROR(FromIO(incoming->writer->Close(io, nullptr), files[incoming->file].name));
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
        FromIO(files_->NewDirectory(incoming->directory, io, &directory, nullptr), "directory"));
    RETURN_IF_ERROR(FromIO(directory->Fsync(io, nullptr), incoming->directory));
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
        FromIO(files_->ReopenWritableFile(path, rocksdb::FileOptions(), &incoming->writer, nullptr),
               path));
    incoming->file = part.file;
  }
  RETURN_IF_ERROR(FromIO(
      incoming->writer->Append(rocksdb::Slice(part.data.data(), part.data.size()), io, nullptr),
      path));
  offset += part.data.size();
  if (offset == files[part.file].bytes) {
    RETURN_IF_ERROR(FromIO(incoming->writer->Sync(io, nullptr), path));
    RETURN_IF_ERROR(FromIO(incoming->writer->Close(io, nullptr), path));
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

void SnapshotTransfer::Discard(GroupId group) {
  std::lock_guard lock(mutex_);
  received_.erase(group);
}

void SnapshotTransfer::Stop() {
  strand_->Post([this] {
    stopped_ = true;
    const auto outgoing = outgoing_;
    for (const auto& [id, one] : outgoing) {
      one->Finish(Error(Reason::kNodeStopping, "the node is stopping"));
    }
  });
}

}  // namespace flotilla::raft
