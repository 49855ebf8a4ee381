// SimFileSystem: the disk of one simulated node, as RocksDB's FileSystem.
//
// Purpose: run RocksDB and the log on a disk that fails on command and on a seed. What was not
// synced (contents by 512-byte sectors, directory entries) may or may not survive PowerCut().
//
// Place in the picture: the fourth injected interface in tests. One per simulated node; give it to
// RocksDB by rocksdb::NewCompositeEnv(). It must outlive all its users and handles.
//
// Durability: contents after Sync() or Fsync() of the file; names (created, linked, renamed,
// deleted) after the Fsync() of their directory, and a directory's own name after that of its
// parent. Nothing else makes anything durable.
//
// Any thread may call, though a run repeats only if calls come in a repeatable order. The hooks run
// without the lock held, on the caller's thread.
#pragma once

#include <rocksdb/file_system.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/sim_disk.h"

namespace flotilla::sim {

enum class DiskOperation : std::uint8_t {
  kOpen,    // of an existing file or directory
  kCreate,  // of a file or directory; also the truncation of an existing file by opening it
  kRead,
  kWrite,
  kTruncate,
  kSync,  // of a file
  kSyncDirectory,
  kRename,
  kLink,
  kDelete,
  kStat,  // existence, size, times, listing
};

// What a hook is told.
struct DiskCall {
  std::uint64_t number = 0;  // 1, 2, 3, ... over the life of the disk
  DiskOperation operation = DiskOperation::kStat;
  std::string_view path;
  std::uint64_t bytes = 0;
};

// Makes matching calls fail, without effect, but for a failed sync of a file: see
// SectorFile::FailSync().
struct DiskFault {
  DiskOperation operation = DiskOperation::kSync;
  std::string path_contains = {};  // empty: any
  std::uint64_t skip = 0;          // let this many matching calls pass first
  std::uint64_t times = 1;         // then fail this many
  rocksdb::IOStatus error = rocksdb::IOStatus::IOError("injected fault");
};

struct SimFileSystemOptions {
  // Modification times, in seconds; none: all zero.
  std::function<std::uint64_t()> now_seconds;
  // Whether the trace hash covers what is written. RocksDB writes random identifiers into its
  // files, so a node's trace is repeatable only without.
  bool trace_contents = false;
};

class SimFileSystem final : public rocksdb::FileSystem {
 public:
  using IOStatus = rocksdb::IOStatus;
  using Options = SimFileSystemOptions;
  using LatencyHook = std::function<void(DiskOperation operation, std::uint64_t bytes)>;
  // An error makes the call fail without effect. May call PowerOff(), nothing else of the disk.
  using CallHook = std::function<IOStatus(const DiskCall& call)>;

  explicit SimFileSystem(Options options = {});
  ~SimFileSystem() override;

  // --- Faults ------------------------------------------------------------------------------

  // From now on every call fails and open handles are dead for good; nothing is lost yet.
  void PowerOff();
  // PowerOff(), then a random part of what was not synced is lost, and locks are gone. Whoever
  // still holds handles can be destroyed meanwhile without changing anything.
  void PowerCut(Random& random);
  // The end of a process: handles and locks die, contents stay. Calls fail until PowerOn().
  void Kill();
  // The disk can be used again.
  void PowerOn();
  bool powered() const;

  // Writes that would make files larger than this in all fail with NoSpace, without effect.
  void SetCapacity(std::uint64_t bytes);
  std::uint64_t used_bytes() const;

  void AddFault(DiskFault fault);
  void ClearFaults();
  // How many calls AddFault() has made fail so far.
  std::uint64_t faults_met() const;
  // Flips the bits of `mask` in one byte, synced or not. The file exists and is long enough.
  void FlipBits(const std::string& path, std::uint64_t offset, std::uint8_t mask = 0xff);

  // Called after each call that succeeded, to charge virtual time for it.
  void SetLatencyHook(LatencyHook hook);
  // Called before each call.
  void SetCallHook(CallHook hook);
  // Is told of each call before any other hook, whatever becomes of those; once, before the first.
  void SetObserver(std::function<void(const DiskCall& call)> observer);
  // Called before a sync, or one of a directory, takes effect: the caller may be held up in it, and
  // the power may go meanwhile.
  void SetSyncHook(std::function<void()> hook);

  std::uint64_t calls() const;
  // Of all calls so far: kind, path, offset, length (and contents, if asked for).
  std::uint64_t trace_hash() const;

  // --- rocksdb::FileSystem -----------------------------------------------------------------

  using FileOptions = rocksdb::FileOptions;
  using IOOptions = rocksdb::IOOptions;
  using Debug = rocksdb::IODebugContext;

  const char* Name() const override { return "SimFileSystem"; }
  IOStatus NewSequentialFile(const std::string& path, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* result, Debug*) override;
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                               Debug*) override;
  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* result, Debug*) override;
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* result, Debug*) override;
  // Renames without truncating; writing starts at offset 0, over the old content.
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                             const FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* result, Debug*) override;
  IOStatus NewRandomRWFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSRandomRWFile>* result, Debug*) override;
  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* result, Debug*) override;
  IOStatus FileExists(const std::string& path, const IOOptions& options, Debug*) override;
  // Sorted.
  IOStatus GetChildren(const std::string& path, const IOOptions& options,
                       std::vector<std::string>* result, Debug*) override;
  IOStatus DeleteFile(const std::string& path, const IOOptions& options, Debug*) override;
  IOStatus Truncate(const std::string& path, size_t size, const IOOptions& options,
                    Debug*) override;
  IOStatus CreateDir(const std::string& path, const IOOptions& options, Debug*) override;
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions& options, Debug*) override;
  IOStatus DeleteDir(const std::string& path, const IOOptions& options, Debug*) override;
  IOStatus GetFileSize(const std::string& path, const IOOptions& options, uint64_t* size,
                       Debug*) override;
  IOStatus GetFileModificationTime(const std::string& path, const IOOptions& options,
                                   uint64_t* seconds, Debug*) override;
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      Debug*) override;
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions& options,
                    Debug*) override;
  IOStatus NumFileLinks(const std::string& path, const IOOptions& options, uint64_t* count,
                        Debug*) override;
  IOStatus AreFilesSame(const std::string& first, const std::string& second,
                        const IOOptions& options, bool* same, Debug*) override;
  IOStatus LockFile(const std::string& path, const IOOptions& options, rocksdb::FileLock** lock,
                    Debug*) override;
  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions& options, Debug*) override;
  IOStatus GetTestDirectory(const IOOptions& options, std::string* path, Debug*) override;
  // A logger that drops everything: RocksDB's own would write by the machine's clock.
  IOStatus NewLogger(const std::string& path, const IOOptions& options,
                     std::shared_ptr<rocksdb::Logger>* result, Debug*) override;
  IOStatus GetAbsolutePath(const std::string& path, const IOOptions& options, std::string* result,
                           Debug*) override;
  IOStatus GetFreeSpace(const std::string& path, const IOOptions& options, uint64_t* bytes,
                        Debug*) override;
  IOStatus IsDirectory(const std::string& path, const IOOptions& options, bool* is_directory,
                       Debug*) override;

  // What the handles call; see sim_file_handles.h.
  struct Handle {
    SimNodeRef node;
    std::uint64_t life = 0;  // of the disk when it was opened
  };
  IOStatus HandleRead(const Handle& handle, std::uint64_t offset, std::size_t bytes,
                      rocksdb::Slice* result, char* scratch);
  IOStatus HandleWrite(const Handle& handle, std::uint64_t offset, std::string_view bytes);
  IOStatus HandleTruncate(const Handle& handle, std::uint64_t size);
  IOStatus HandleSync(const Handle& handle);
  IOStatus HandleSyncDirectory(const Handle& handle);

 private:
  // Counts, traces and lets hooks and faults act, then runs `effect` under the lock.
  template <class Effect, class OnFault>
  IOStatus Run(DiskOperation operation, std::string_view path, std::uint64_t bytes, Effect effect,
               OnFault on_fault);
  template <class Effect>
  IOStatus Run(DiskOperation operation, std::string_view path, std::uint64_t bytes, Effect effect) {
    return Run(operation, path, bytes, effect, [] {});
  }
  IOStatus MatchFaults(const DiskCall& call);
  IOStatus Open(const std::string& path, bool directory, Handle& handle);
  // Creates the file when it is absent.
  IOStatus OpenForWriting(const std::string& path, bool truncate, Handle& handle);
  IOStatus MakeDirectory(const std::string& path, bool may_exist);
  IOStatus Rename(const std::string& from, const std::string& to);
  IOStatus CheckAlive(const Handle& handle) const;
  std::shared_ptr<const std::string> PathOf(const Handle& handle) const;
  std::uint64_t Now() const { return options_.now_seconds ? options_.now_seconds() : 0; }
  void Trace(std::uint64_t value);
  void TraceText(std::string_view text);

  const Options options_;
  mutable std::mutex mutex_;
  SimDisk disk_;
  std::set<std::string> locks_;
  bool powered_ = true;
  std::uint64_t life_ = 1;  // grows when handles die
  std::uint64_t capacity_ = UINT64_MAX;
  std::uint64_t calls_ = 0;
  std::uint64_t trace_ = 0x9e3779b97f4a7c15;
  std::vector<DiskFault> faults_;
  std::uint64_t faults_met_ = 0;
  std::shared_ptr<const LatencyHook> latency_hook_;
  std::shared_ptr<const CallHook> call_hook_;
  std::shared_ptr<const std::function<void()>> sync_hook_;
  std::function<void(const DiskCall& call)> observer_;
};

}  // namespace flotilla::sim
