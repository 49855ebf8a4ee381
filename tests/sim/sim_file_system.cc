#include "tests/sim/sim_file_system.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/sim/sim_file_handles.h"

namespace flotilla::sim {
namespace {

IOStatus NoSuchPath(const std::string& path) {
  return IOStatus::PathNotFound("no such file or directory", path);
}

std::string Normalized(std::string_view path) {
  std::string result;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view component = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (component.empty() || component == ".") continue;
    result.push_back('/');
    result.append(component);
  }
  return result.empty() ? "/" : result;
}

}  // namespace

SimFileSystem::SimFileSystem(Options options) : options_(std::move(options)) {}
SimFileSystem::~SimFileSystem() = default;

// --- Faults ----------------------------------------------------------------------------------

void SimFileSystem::PowerOff() {
  std::lock_guard lock(mutex_);
  powered_ = false;
  ++life_;
  locks_.clear();
}

void SimFileSystem::Kill() { PowerOff(); }

void SimFileSystem::PowerCut(Random& random) {
  PowerOff();
  std::lock_guard lock(mutex_);
  disk_.PowerCut(random);
}

void SimFileSystem::PowerOn() {
  std::lock_guard lock(mutex_);
  powered_ = true;
}

bool SimFileSystem::powered() const {
  std::lock_guard lock(mutex_);
  return powered_;
}

void SimFileSystem::SetCapacity(std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

std::uint64_t SimFileSystem::used_bytes() const {
  std::lock_guard lock(mutex_);
  return disk_.used_bytes();
}

void SimFileSystem::AddFault(DiskFault fault) {
  std::lock_guard lock(mutex_);
  faults_.push_back(std::move(fault));
}

void SimFileSystem::ClearFaults() {
  std::lock_guard lock(mutex_);
  faults_.clear();
}

void SimFileSystem::FlipBits(const std::string& path, std::uint64_t offset, std::uint8_t mask) {
  std::lock_guard lock(mutex_);
  const SimNodeRef node = disk_.Find(path);
  CHECK(node != nullptr) << path;
  node->file.FlipBits(offset, mask);
}

std::uint64_t SimFileSystem::faults_met() const {
  std::lock_guard lock(mutex_);
  return faults_met_;
}

void SimFileSystem::SetLatencyHook(LatencyHook hook) {
  std::lock_guard lock(mutex_);
  latency_hook_ = hook ? std::make_shared<const LatencyHook>(std::move(hook)) : nullptr;
}

void SimFileSystem::SetCallHook(CallHook hook) {
  std::lock_guard lock(mutex_);
  call_hook_ = hook ? std::make_shared<const CallHook>(std::move(hook)) : nullptr;
}

void SimFileSystem::SetObserver(std::function<void(const DiskCall& call)> observer) {
  observer_ = std::move(observer);
}

void SimFileSystem::SetSyncHook(std::function<void()> hook) {
  std::lock_guard lock(mutex_);
  sync_hook_ = std::make_shared<const std::function<void()>>(std::move(hook));
}

std::uint64_t SimFileSystem::calls() const {
  std::lock_guard lock(mutex_);
  return calls_;
}

std::uint64_t SimFileSystem::trace_hash() const {
  std::lock_guard lock(mutex_);
  return trace_;
}

void SimFileSystem::Trace(std::uint64_t value) {
  trace_ = (trace_ ^ value) * 0x9fb21c651e98df25;
  trace_ ^= trace_ >> 32;
}

void SimFileSystem::TraceText(std::string_view text) {
  Trace(text.size());
  for (; text.size() >= 8; text.remove_prefix(8)) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), 8);
    Trace(word);
  }
  std::uint64_t rest = 0;
  if (!text.empty()) std::memcpy(&rest, text.data(), text.size());
  Trace(rest);
}

IOStatus SimFileSystem::MatchFaults(const DiskCall& call) {
  for (DiskFault& fault : faults_) {
    if (fault.operation != call.operation || fault.times == 0 ||
        call.path.find(fault.path_contains) == std::string_view::npos) {
      continue;
    }
    if (fault.skip > 0) {
      --fault.skip;
      continue;
    }
    --fault.times;
    ++faults_met_;
    return fault.error;
  }
  return IOStatus::OK();
}

template <class Effect, class OnFault>
IOStatus SimFileSystem::Run(DiskOperation operation, std::string_view path, std::uint64_t bytes,
                            Effect effect, OnFault on_fault) {
  IOStatus off = IOStatus::IOError("the simulated disk has no power", std::string(path));
  DiskCall call{0, operation, path, bytes};
  std::shared_ptr<const CallHook> call_hook;
  std::shared_ptr<const std::function<void()>> sync_hook;
  {
    std::lock_guard lock(mutex_);
    if (!powered_) return off;
    call.number = ++calls_;
    call_hook = call_hook_;
    if (operation == DiskOperation::kSync || operation == DiskOperation::kSyncDirectory) {
      sync_hook = sync_hook_;
    }
  }
  if (observer_) observer_(call);
  if (call_hook != nullptr) {
    if (IOStatus status = (*call_hook)(call); !status.ok()) return status;
  }
  if (sync_hook != nullptr) (*sync_hook)();
  std::shared_ptr<const LatencyHook> latency_hook;
  {
    std::lock_guard lock(mutex_);
    if (!powered_) return off;
    Trace(static_cast<std::uint64_t>(operation));
    TraceText(path);
    Trace(bytes);
    if (IOStatus status = MatchFaults(call); !status.ok()) {
      on_fault();
      return status;
    }
    if (IOStatus status = effect(); !status.ok()) return status;
    latency_hook = latency_hook_;
  }
  if (latency_hook != nullptr) (*latency_hook)(operation, bytes);
  return IOStatus::OK();
}

// --- Handles ---------------------------------------------------------------------------------

IOStatus SimFileSystem::CheckAlive(const Handle& handle) const {
  if (handle.life == life_) return IOStatus::OK();
  return IOStatus::IOError("the handle was opened before the power cut", *handle.node->path);
}

std::shared_ptr<const std::string> SimFileSystem::PathOf(const Handle& handle) const {
  std::lock_guard lock(mutex_);
  return handle.node->path;
}

IOStatus SimFileSystem::HandleRead(const Handle& handle, std::uint64_t offset, std::size_t bytes,
                                   rocksdb::Slice* result, char* scratch) {
  *result = Slice();
  const auto path = PathOf(handle);
  return Run(DiskOperation::kRead, *path, bytes, [&]() -> IOStatus {
    if (IOStatus status = CheckAlive(handle); !status.ok()) return status;
    Trace(offset);
    const std::string_view data = handle.node->file.data();
    if (offset >= data.size()) return IOStatus::OK();
    const std::string_view part = data.substr(offset, bytes);
    std::memcpy(scratch, part.data(), part.size());
    *result = Slice(scratch, part.size());
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::HandleWrite(const Handle& handle, std::uint64_t offset,
                                    std::string_view bytes) {
  const auto path = PathOf(handle);
  return Run(DiskOperation::kWrite, *path, bytes.size(), [&]() -> IOStatus {
    if (IOStatus status = CheckAlive(handle); !status.ok()) return status;
    Trace(offset);
    if (options_.trace_contents) TraceText(bytes);
    const std::uint64_t size = handle.node->file.size();
    const std::uint64_t growth = std::max(size, offset + bytes.size()) - size;
    if (growth > 0 && disk_.used_bytes() + growth > capacity_) {
      return IOStatus::NoSpace("the simulated disk is full", *path);
    }
    disk_.Write(*handle.node, offset, bytes);
    handle.node->modified_seconds = Now();
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::HandleTruncate(const Handle& handle, std::uint64_t size) {
  const auto path = PathOf(handle);
  return Run(DiskOperation::kTruncate, *path, size, [&]() -> IOStatus {
    if (IOStatus status = CheckAlive(handle); !status.ok()) return status;
    disk_.Resize(*handle.node, size);
    handle.node->modified_seconds = Now();
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::HandleSync(const Handle& handle) {
  const auto path = PathOf(handle);
  return Run(
      DiskOperation::kSync, *path, 0,
      [&]() -> IOStatus {
        if (IOStatus status = CheckAlive(handle); !status.ok()) return status;
        handle.node->file.Sync();
        return IOStatus::OK();
      },
      [&] { handle.node->file.FailSync(); });
}

IOStatus SimFileSystem::HandleSyncDirectory(const Handle& handle) {
  const auto path = PathOf(handle);
  return Run(DiskOperation::kSyncDirectory, *path, 0, [&]() -> IOStatus {
    if (IOStatus status = CheckAlive(handle); !status.ok()) return status;
    disk_.SyncDirectory(handle.node);
    return IOStatus::OK();
  });
}

// --- Opening ---------------------------------------------------------------------------------

IOStatus SimFileSystem::Open(const std::string& path, bool directory, Handle& handle) {
  return Run(DiskOperation::kOpen, path, 0, [&]() -> IOStatus {
    const SimNodeRef node = disk_.Find(path);
    if (node == nullptr) return NoSuchPath(path);
    if (node->is_directory != directory) {
      return IOStatus::IOError(directory ? "not a directory" : "is a directory", path);
    }
    handle = {node, life_};
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::OpenForWriting(const std::string& path, bool truncate, Handle& handle) {
  return Run(DiskOperation::kCreate, path, 0, [&]() -> IOStatus {
    std::string name;
    const SimNodeRef parent = disk_.FindParent(path, name);
    if (parent == nullptr) return NoSuchPath(path);
    const auto existing = parent->entries.find(name);
    SimNodeRef node;
    if (existing == parent->entries.end()) {
      node = disk_.Create(parent, name, false);
      node->path = std::make_shared<const std::string>(path);
      node->modified_seconds = Now();
    } else {
      node = existing->second;
      if (node->is_directory) return IOStatus::IOError("is a directory", path);
      if (truncate) disk_.Resize(*node, 0);
    }
    handle = {node, life_};
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::NewSequentialFile(const std::string& path, const FileOptions&,
                                          std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                          Debug*) {
  Handle handle;
  IOStatus status = Open(path, false, handle);
  if (status.ok()) *result = std::make_unique<SimSequentialFile>(*this, std::move(handle));
  return status;
}

IOStatus SimFileSystem::NewRandomAccessFile(const std::string& path, const FileOptions&,
                                            std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                            Debug*) {
  Handle handle;
  IOStatus status = Open(path, false, handle);
  if (status.ok()) *result = std::make_unique<SimRandomAccessFile>(*this, std::move(handle));
  return status;
}

IOStatus SimFileSystem::NewWritableFile(const std::string& path, const FileOptions&,
                                        std::unique_ptr<rocksdb::FSWritableFile>* result, Debug*) {
  Handle handle;
  IOStatus status = OpenForWriting(path, true, handle);
  if (status.ok()) *result = std::make_unique<SimWritableFile>(*this, std::move(handle), 0);
  return status;
}

IOStatus SimFileSystem::ReopenWritableFile(const std::string& path, const FileOptions&,
                                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                                           Debug*) {
  Handle handle;
  IOStatus status = OpenForWriting(path, false, handle);
  if (!status.ok()) return status;
  std::uint64_t size = 0;
  {
    std::lock_guard lock(mutex_);
    size = handle.node->file.size();
  }
  *result = std::make_unique<SimWritableFile>(*this, std::move(handle), size);
  return status;
}

IOStatus SimFileSystem::ReuseWritableFile(const std::string& path, const std::string& old_path,
                                          const FileOptions&,
                                          std::unique_ptr<rocksdb::FSWritableFile>* result,
                                          Debug*) {
  if (IOStatus status = Rename(old_path, path); !status.ok()) return status;
  Handle handle;
  IOStatus status = OpenForWriting(path, false, handle);
  if (status.ok()) *result = std::make_unique<SimWritableFile>(*this, std::move(handle), 0);
  return status;
}

IOStatus SimFileSystem::NewRandomRWFile(const std::string& path, const FileOptions&,
                                        std::unique_ptr<rocksdb::FSRandomRWFile>* result, Debug*) {
  Handle handle;
  IOStatus status = Open(path, false, handle);
  if (status.ok()) *result = std::make_unique<SimRandomRWFile>(*this, std::move(handle));
  return status;
}

IOStatus SimFileSystem::NewDirectory(const std::string& path, const IOOptions&,
                                     std::unique_ptr<rocksdb::FSDirectory>* result, Debug*) {
  Handle handle;
  IOStatus status = Open(path, true, handle);
  if (status.ok()) *result = std::make_unique<SimDirectory>(*this, std::move(handle));
  return status;
}

// --- Names -----------------------------------------------------------------------------------

IOStatus SimFileSystem::FileExists(const std::string& path, const IOOptions&, Debug*) {
  return Run(DiskOperation::kStat, path, 0, [&]() -> IOStatus {
    return disk_.Find(path) != nullptr ? IOStatus::OK() : IOStatus::NotFound(path);
  });
}

IOStatus SimFileSystem::GetChildren(const std::string& path, const IOOptions&,
                                    std::vector<std::string>* result, Debug*) {
  result->clear();
  return Run(DiskOperation::kStat, path, 0, [&]() -> IOStatus {
    const SimNodeRef node = disk_.Find(path);
    if (node == nullptr || !node->is_directory) return IOStatus::NotFound(path);
    for (const auto& [name, child] : node->entries) result->push_back(name);
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::DeleteFile(const std::string& path, const IOOptions&, Debug*) {
  return Run(DiskOperation::kDelete, path, 0, [&]() -> IOStatus {
    std::string name;
    const SimNodeRef parent = disk_.FindParent(path, name);
    if (parent == nullptr || !parent->entries.contains(name)) return NoSuchPath(path);
    if (parent->entries.at(name)->is_directory) return IOStatus::IOError("is a directory", path);
    disk_.Erase(parent, name);
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::Truncate(const std::string& path, size_t size, const IOOptions&, Debug*) {
  Handle handle;
  if (IOStatus status = Open(path, false, handle); !status.ok()) return status;
  return HandleTruncate(handle, size);
}

IOStatus SimFileSystem::MakeDirectory(const std::string& path, bool may_exist) {
  return Run(DiskOperation::kCreate, path, 0, [&]() -> IOStatus {
    if (const SimNodeRef existing = disk_.Find(path)) {
      if (may_exist && existing->is_directory) return IOStatus::OK();
      return IOStatus::IOError("file exists", path);
    }
    std::string name;
    const SimNodeRef parent = disk_.FindParent(path, name);
    if (parent == nullptr) return NoSuchPath(path);
    const SimNodeRef node = disk_.Create(parent, name, true);
    node->path = std::make_shared<const std::string>(path);
    node->modified_seconds = Now();
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::CreateDir(const std::string& path, const IOOptions&, Debug*) {
  return MakeDirectory(path, false);
}

IOStatus SimFileSystem::CreateDirIfMissing(const std::string& path, const IOOptions&, Debug*) {
  return MakeDirectory(path, true);
}

IOStatus SimFileSystem::DeleteDir(const std::string& path, const IOOptions&, Debug*) {
  return Run(DiskOperation::kDelete, path, 0, [&]() -> IOStatus {
    std::string name;
    const SimNodeRef parent = disk_.FindParent(path, name);
    if (parent == nullptr || !parent->entries.contains(name)) return NoSuchPath(path);
    const SimNodeRef& node = parent->entries.at(name);
    if (!node->is_directory) return IOStatus::IOError("not a directory", path);
    if (!node->entries.empty()) return IOStatus::IOError("directory not empty", path);
    disk_.Erase(parent, name);
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::GetFileSize(const std::string& path, const IOOptions&, uint64_t* size,
                                    Debug*) {
  *size = 0;
  return Run(DiskOperation::kStat, path, 0, [&]() -> IOStatus {
    const SimNodeRef node = disk_.Find(path);
    if (node == nullptr) return NoSuchPath(path);
    *size = node->file.size();
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::GetFileModificationTime(const std::string& path, const IOOptions&,
                                                uint64_t* seconds, Debug*) {
  return Run(DiskOperation::kStat, path, 0, [&]() -> IOStatus {
    const SimNodeRef node = disk_.Find(path);
    if (node == nullptr) return NoSuchPath(path);
    *seconds = node->modified_seconds;
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::Rename(const std::string& from, const std::string& to) {
  return Run(DiskOperation::kRename, from, 0, [&]() -> IOStatus {
    TraceText(to);
    std::string from_name;
    std::string to_name;
    const SimNodeRef from_parent = disk_.FindParent(from, from_name);
    const SimNodeRef to_parent = disk_.FindParent(to, to_name);
    if (from_parent == nullptr || !from_parent->entries.contains(from_name)) {
      return NoSuchPath(from);
    }
    if (to_parent == nullptr) return NoSuchPath(to);
    const auto target = to_parent->entries.find(to_name);
    if (target != to_parent->entries.end()) {
      const bool moves_directory = from_parent->entries.at(from_name)->is_directory;
      if (target->second->is_directory != moves_directory || !target->second->entries.empty()) {
        return IOStatus::IOError("the target of the rename is in the way", to);
      }
    }
    from_parent->entries.at(from_name)->path = std::make_shared<const std::string>(to);
    disk_.Rename(from_parent, from_name, to_parent, to_name);
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::RenameFile(const std::string& from, const std::string& to, const IOOptions&,
                                   Debug*) {
  return Rename(from, to);
}

IOStatus SimFileSystem::LinkFile(const std::string& from, const std::string& to, const IOOptions&,
                                 Debug*) {
  return Run(DiskOperation::kLink, from, 0, [&]() -> IOStatus {
    TraceText(to);
    const SimNodeRef node = disk_.Find(from);
    if (node == nullptr) return NoSuchPath(from);
    std::string name;
    const SimNodeRef parent = disk_.FindParent(to, name);
    if (parent == nullptr) return NoSuchPath(to);
    if (node->is_directory || parent->entries.contains(name)) {
      return IOStatus::IOError("cannot link", to);
    }
    disk_.Link(node, parent, name);
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::NumFileLinks(const std::string& path, const IOOptions&, uint64_t* count,
                                     Debug*) {
  return Run(DiskOperation::kStat, path, 0, [&]() -> IOStatus {
    const SimNodeRef node = disk_.Find(path);
    if (node == nullptr) return NoSuchPath(path);
    *count = node->links;
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::AreFilesSame(const std::string& first, const std::string& second,
                                     const IOOptions&, bool* same, Debug*) {
  return Run(DiskOperation::kStat, first, 0, [&]() -> IOStatus {
    const SimNodeRef a = disk_.Find(first);
    const SimNodeRef b = disk_.Find(second);
    if (a == nullptr) return NoSuchPath(first);
    if (b == nullptr) return NoSuchPath(second);
    *same = a == b;
    return IOStatus::OK();
  });
}

IOStatus SimFileSystem::LockFile(const std::string& path, const IOOptions&,
                                 rocksdb::FileLock** lock, Debug*) {
  *lock = nullptr;
  Handle handle;
  if (IOStatus status = OpenForWriting(path, false, handle); !status.ok()) return status;
  std::lock_guard guard(mutex_);
  std::string name = Normalized(path);
  if (!locks_.insert(name).second) return IOStatus::IOError("the file is locked already", path);
  *lock = new SimFileLock(std::move(name), handle.life);
  return IOStatus::OK();
}

IOStatus SimFileSystem::UnlockFile(rocksdb::FileLock* lock, const IOOptions&, Debug*) {
  const std::unique_ptr<SimFileLock> owned(static_cast<SimFileLock*>(lock));
  std::lock_guard guard(mutex_);
  // A lock from before a power cut may have another owner by now.
  if (owned->life() == life_) locks_.erase(owned->path());
  return IOStatus::OK();
}

IOStatus SimFileSystem::GetTestDirectory(const IOOptions&, std::string* path, Debug*) {
  *path = "/test";
  return MakeDirectory(*path, true);
}

IOStatus SimFileSystem::NewLogger(const std::string&, const IOOptions&,
                                  std::shared_ptr<rocksdb::Logger>* result, Debug*) {
  *result = std::make_shared<SimNullLogger>();
  return IOStatus::OK();
}

IOStatus SimFileSystem::GetAbsolutePath(const std::string& path, const IOOptions&,
                                        std::string* result, Debug*) {
  *result = Normalized(path);
  return IOStatus::OK();
}

IOStatus SimFileSystem::GetFreeSpace(const std::string&, const IOOptions&, uint64_t* bytes,
                                     Debug*) {
  std::lock_guard lock(mutex_);
  const std::uint64_t capacity = std::min<std::uint64_t>(capacity_, std::uint64_t{1} << 50);
  *bytes = capacity - std::min(capacity, disk_.used_bytes());
  return IOStatus::OK();
}

IOStatus SimFileSystem::IsDirectory(const std::string& path, const IOOptions&, bool* is_directory,
                                    Debug*) {
  return Run(DiskOperation::kStat, path, 0, [&]() -> IOStatus {
    const SimNodeRef node = disk_.Find(path);
    if (node == nullptr) return NoSuchPath(path);
    *is_directory = node->is_directory;
    return IOStatus::OK();
  });
}

}  // namespace flotilla::sim
