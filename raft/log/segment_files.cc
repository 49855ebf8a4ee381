#include "raft/log/segment_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "raft/log/format.h"
#include "raft/log/io_status.h"

namespace flotilla::raft::log {
namespace {

constexpr std::size_t kFillBytes = 1 << 20;
constexpr std::string_view kSegmentSuffix = ".log";
constexpr std::string_view kSpareSuffix = ".spare";
constexpr std::string_view kFillingSuffix = ".filling";
constexpr std::string_view kSummarySuffix = ".summary";
const rocksdb::IOOptions kIo;

rocksdb::FileOptions PlainOptions() {
  rocksdb::FileOptions options;
  options.use_mmap_reads = false;
  options.use_mmap_writes = false;
  return options;
}

std::optional<std::uint64_t> GenerationOf(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return std::nullopt;
  name.remove_suffix(suffix.size());
  std::uint64_t generation = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), generation);
  if (error != std::errc() || end != name.data() + name.size() || generation == 0 ||
      generation > UINT32_MAX) {
    return std::nullopt;
  }
  return generation;
}

}  // namespace

struct SegmentFiles::Filling {
  std::string path;
  std::unique_ptr<rocksdb::FSWritableFile> file;
  std::size_t bytes = 0;
  std::size_t written = 0;
};

SegmentFiles::SegmentFiles(rocksdb::FileSystem& files, std::string directory,
                           std::size_t segment_bytes, std::size_t spares_max, bool direct_io)
    : files_(files),
      directory_path_(std::move(directory)),
      segment_bytes_(segment_bytes),
      spares_max_(std::max<std::size_t>(spares_max, 1)),
      direct_io_(direct_io) {}

SegmentFiles::~SegmentFiles() = default;

std::string SegmentFiles::PathOf(std::uint64_t generation) const {
  return fmt::format("{}/{:010}{}", directory_path_, generation, kSegmentSuffix);
}

std::string SegmentFiles::SummaryPathOf(std::uint64_t generation) const {
  return fmt::format("{}/{:010}{}", directory_path_, generation, kSummarySuffix);
}

std::string SegmentFiles::SparePath(std::string_view name) const {
  return fmt::format("{}/{}{}", directory_path_, name, kSpareSuffix);
}

StatusOr<std::vector<std::uint64_t>> SegmentFiles::OpenDirectory() {
  RETURN_IF_ERROR(FromIo(files_.CreateDirIfMissing(directory_path_, kIo, nullptr),
                         "making the log's directory " + directory_path_));
  const std::size_t slash = directory_path_.find_last_of('/');
  const std::string parent = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : directory_path_.substr(0, slash);
  std::unique_ptr<rocksdb::FSDirectory> parent_directory;
  RETURN_IF_ERROR(FromIo(files_.NewDirectory(parent, kIo, &parent_directory, nullptr),
                         "opening the directory " + parent));
  RETURN_IF_ERROR(FromIo(parent_directory->Fsync(kIo, nullptr), "syncing the directory " + parent));
  RETURN_IF_ERROR(FromIo(files_.NewDirectory(directory_path_, kIo, &directory_, nullptr),
                         "opening the directory " + directory_path_));

  std::vector<std::string> names;
  RETURN_IF_ERROR(FromIo(files_.GetChildren(directory_path_, kIo, &names, nullptr),
                         "listing the directory " + directory_path_));
  std::sort(names.begin(), names.end());
  std::vector<std::uint64_t> generations;
  std::vector<std::uint64_t> summaries;
  for (const std::string& name : names) {
    const std::string path = directory_path_ + "/" + name;
    if (const auto generation = GenerationOf(name, kSegmentSuffix)) {
      generations.push_back(*generation);
    } else if (const auto summary = GenerationOf(name, kSummarySuffix)) {
      summaries.push_back(*summary);
    } else if (std::string_view(name).ends_with(kFillingSuffix)) {
      Discard(path);
    } else if (std::string_view(name).ends_with(kSpareSuffix)) {
      std::uint64_t bytes = 0;
      RETURN_IF_ERROR(
          FromIo(files_.GetFileSize(path, kIo, &bytes, nullptr), "asking the size of " + path));
      if (bytes == segment_bytes_ && spares_.size() < spares_max_) {
        ASSIGN_OR_RETURN(SegmentHandle file, OpenFile(path));
        spares_.push_back({path, std::move(file)});
      } else {
        Discard(path);
      }
    }
  }
  for (const std::uint64_t generation : summaries) {
    if (!std::binary_search(generations.begin(), generations.end(), generation)) {
      Discard(SummaryPathOf(generation));
    }
  }
  // A spare is overwritten only under a durable name.
  RETURN_IF_ERROR(SyncDirectory());
  if (direct_io_)
    direct_io_ =
        DirectFile::Works(files_, directory_path_ + "/probe" + std::string(kFillingSuffix));
  return generations;
}

StatusOr<std::uint64_t> SegmentFiles::NewestGenerationInSpares() {
  std::uint64_t newest = 0;
  for (const Spare& spare : spares_) {
    const std::string_view name = std::string_view(spare.path).substr(directory_path_.size() + 1);
    newest = std::max(newest, GenerationOf(name, kSpareSuffix).value_or(0));
    char sector[kSectorBytes];
    rocksdb::Slice read;
    RETURN_IF_ERROR(FromIo(spare.file->Read(0, sizeof sector, kIo, &read, sector, nullptr),
                           "reading the spare log segment " + spare.path));
    SegmentHeader header;
    if (DecodeSegmentHeader({read.data(), read.size()}, header) == HeaderState::kValid) {
      newest = std::max(newest, header.generation);
    }
  }
  return newest;
}

StatusOr<SegmentHandle> SegmentFiles::OpenSegment(std::uint64_t generation) {
  return OpenFile(PathOf(generation));
}

std::unique_ptr<DirectFile> SegmentFiles::OpenDirect(const std::string& path) {
  return direct_io_ ? DirectFile::Open(files_, path) : nullptr;
}

std::unique_ptr<rocksdb::FSRandomAccessFile> SegmentFiles::OpenToForget(const std::string& path) {
  std::unique_ptr<rocksdb::FSRandomAccessFile> file;
  files_.NewRandomAccessFile(path, PlainOptions(), &file, nullptr).PermitUncheckedError();
  return file;
}

StatusOr<SegmentHandle> SegmentFiles::OpenFile(const std::string& path) {
  std::unique_ptr<rocksdb::FSRandomRWFile> file;
  RETURN_IF_ERROR(FromIo(files_.NewRandomRWFile(path, PlainOptions(), &file, nullptr),
                         "opening the log segment " + path));
  return SegmentHandle(std::move(file));
}

Status SegmentFiles::SyncDirectory() {
  if (Planted(Plant::kDirectoryNotSynced)) return absl::OkStatus();
  return FromIo(directory_->Fsync(kIo, nullptr), "syncing the directory " + directory_path_);
}

void SegmentFiles::Discard(const std::string& path) {
  // Should it stay, it only takes space until the next start.
  files_.DeleteFile(path, kIo, nullptr).PermitUncheckedError();
}

Status SegmentFiles::StartFilling(std::size_t bytes) {
  std::uint64_t free_bytes = 0;
  // Writing until the disk is full would take the last space from everyone else.
  if (files_.GetFreeSpace(directory_path_, kIo, &free_bytes, nullptr).ok() && free_bytes < bytes) {
    return Error(Reason::kDiskFull,
                 fmt::format("the log needs another segment of {} bytes in {}, and only {} bytes "
                             "are free: make space; writes go on by themselves then",
                             bytes, directory_path_, free_bytes));
  }
  auto filling = std::make_unique<Filling>();
  std::string name;
  do {
    name = fmt::format("new-{}", ++fillings_);
  } while (std::any_of(spares_.begin(), spares_.end(),
                       [&](const Spare& spare) { return spare.path == SparePath(name); }));
  filling->path = fmt::format("{}/{}{}", directory_path_, name, kFillingSuffix);
  filling->bytes = bytes;
  rocksdb::FileOptions file_options = PlainOptions();
  file_options.use_direct_writes = direct_io_;
  RETURN_IF_ERROR(
      FromIo(files_.NewWritableFile(filling->path, file_options, &filling->file, nullptr),
             "making the log segment " + filling->path));
  filling_ = std::move(filling);
  return absl::OkStatus();
}

Status SegmentFiles::WriteZeros(Filling& filling, std::size_t bytes_max) {
  alignas(kPageBytes) static constexpr char kZeros[kFillBytes] = {};
  const std::size_t end = std::min(filling.bytes, filling.written + bytes_max);
  while (filling.written < end) {
    const std::size_t bytes = std::min(kFillBytes, end - filling.written);
    RETURN_IF_ERROR(FromIo(filling.file->Append(rocksdb::Slice(kZeros, bytes), kIo, nullptr),
                           "filling the log segment " + filling.path));
    filling.written += bytes;
  }
  // In slices: a large sync at the end would hold up those of the log.
  RETURN_IF_ERROR(FromIo(filling.file->Sync(kIo, nullptr), "syncing " + filling.path));
  // The log writes whole pages: nobody needs the zeros in memory, which the next slice can have.
  filling.file->InvalidateCache(0, filling.written).PermitUncheckedError();
  if (filling.written == filling.bytes) {
    RETURN_IF_ERROR(FromIo(filling.file->Close(kIo, nullptr), "closing " + filling.path));
  }
  return absl::OkStatus();
}

Status SegmentFiles::FillStep(std::size_t slice_bytes, bool& ready) {
  ready = false;
  if (filling_ == nullptr) RETURN_IF_ERROR(StartFilling(segment_bytes_));
  Status status = WriteZeros(*filling_, slice_bytes);
  if (status.ok() && filling_->written < filling_->bytes) return status;
  const std::unique_ptr<Filling> filling = std::move(filling_);
  if (status.ok()) status = AddSpare(filling->path);
  ready = status.ok();
  if (!ready) Discard(filling->path);
  return status;
}

Status SegmentFiles::AddSpare(const std::string& filled) {
  ASSIGN_OR_RETURN(SegmentHandle file, OpenFile(filled));
  std::string path = filled;
  path.replace(path.size() - kFillingSuffix.size(), kFillingSuffix.size(), kSpareSuffix);
  RETURN_IF_ERROR(FromIo(files_.RenameFile(filled, path, kIo, nullptr), "renaming " + filled));
  spares_.push_back({std::move(path), std::move(file)});
  return absl::OkStatus();
}

StatusOr<SegmentFiles::NewSegment> SegmentFiles::Create(std::uint64_t generation,
                                                        std::size_t bytes) {
  NewSegment segment;
  segment.path = PathOf(generation);
  segment.bytes = std::max(bytes, segment_bytes_);
  if (bytes > segment_bytes_) {
    ASSIGN_OR_RETURN(segment.file, MakeLarge(bytes, segment.path));
    return segment;
  }
  if (spares_.empty()) {
    bool ready = false;
    RETURN_IF_ERROR(FillStep(segment_bytes_, ready));
    CHECK(ready);
  }
  const Spare& spare = spares_.front();
  RETURN_IF_ERROR(
      FromIo(files_.RenameFile(spare.path, segment.path, kIo, nullptr), "renaming " + spare.path));
  segment.file = spare.file;
  spares_.pop_front();
  return segment;
}

StatusOr<SegmentHandle> SegmentFiles::MakeLarge(std::size_t bytes, const std::string& path) {
  // A spare that is half made gives way.
  if (filling_ != nullptr) Discard(std::exchange(filling_, nullptr)->path);
  RETURN_IF_ERROR(StartFilling(bytes));
  const std::unique_ptr<Filling> filling = std::move(filling_);
  Status status = WriteZeros(*filling, bytes);
  StatusOr<SegmentHandle> file = status.ok() ? OpenFile(filling->path) : status;
  if (file.ok()) {
    status =
        FromIo(files_.RenameFile(filling->path, path, kIo, nullptr), "renaming " + filling->path);
    if (!status.ok()) file = status;
  }
  if (!file.ok()) Discard(filling->path);
  return file;
}

Status SegmentFiles::WriteSummary(std::uint64_t generation, std::string_view content) {
  const std::string path = SummaryPathOf(generation);
  const auto write = [&]() -> Status {
    std::unique_ptr<rocksdb::FSWritableFile> file;
    RETURN_IF_ERROR(FromIo(files_.NewWritableFile(path, PlainOptions(), &file, nullptr),
                           "making the summary " + path));
    RETURN_IF_ERROR(
        FromIo(file->Append(rocksdb::Slice(content.data(), content.size()), kIo, nullptr),
               "writing the summary " + path));
    // A sync would hold up those of the log, and this file may be lost.
    RETURN_IF_ERROR(
        FromIo(file->RangeSync(0, content.size(), kIo, nullptr), "writing the summary " + path));
    return FromIo(file->Close(kIo, nullptr), "closing the summary " + path);
  };
  Status status = write();
  if (!status.ok()) Discard(path);
  return status;
}

Status SegmentFiles::Retire(std::uint64_t generation, std::uint64_t bytes, SegmentHandle file) {
  const std::string path = PathOf(generation);
  Discard(SummaryPathOf(generation));
  if (bytes == segment_bytes_ && spares_.size() < spares_max_) {
    std::string spare = SparePath(fmt::format("{:010}", generation));
    if (file == nullptr) {
      ASSIGN_OR_RETURN(file, OpenFile(path));
    }
    RETURN_IF_ERROR(FromIo(files_.RenameFile(path, spare, kIo, nullptr), "renaming " + path));
    RETURN_IF_ERROR(SyncDirectory());
    spares_.push_back({std::move(spare), std::move(file)});
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(FromIo(files_.DeleteFile(path, kIo, nullptr), "deleting " + path));
  return SyncDirectory();
}

}  // namespace flotilla::raft::log
