// SimDisk: what one simulated node's disk holds, now and after a power cut.
//
// Purpose: keep synced and unsynced state apart, for file contents by sectors of 512 bytes and for
// directories by entries, so that a power cut can leave any state that a real disk could.
//
// Place in the picture: the model below SimFileSystem, which adds RocksDB's interface, faults and
// locking. Not thread-safe. Ordered containers only: equal calls give equal disks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"

namespace flotilla::sim {

inline constexpr std::size_t kSectorBytes = 512;

// The bytes of one file. Remembers what each sector held at the last Sync().
class SectorFile {
 public:
  std::uint64_t size() const { return data_.size(); }
  std::string_view data() const { return data_; }
  bool dirty() const {
    return synced_size_ != data_.size() || !synced_sectors_.empty() || !lost_sectors_.empty();
  }

  // Bytes between the end and `offset` become zeros.
  void Write(std::uint64_t offset, std::string_view bytes);
  void Resize(std::uint64_t size);
  void Sync();
  // A Sync() that failed, as Linux has it: what it was to write counts as written from here on, can
  // still be read, and is gone after a power cut, whatever later Sync()s say. Only writing it again
  // helps.
  void FailSync();
  // Every sector changed since the last Sync() keeps its new content or gets the synced one back,
  // by chance; so does the size, which may also stop anywhere between. The result is synced.
  void PowerCut(Random& random);
  // As decay of the medium would: in the current and in the synced content. offset < size().
  void FlipBits(std::uint64_t offset, std::uint8_t mask);

 private:
  // Saves the synced content of the sectors that [begin, end) touches.
  void Remember(std::uint64_t begin, std::uint64_t end);

  std::string data_;
  std::uint64_t synced_size_ = 0;
  // Sector number -> content at the last Sync(), for sectors below synced_size_ that have changed.
  // Whatever lies beyond synced_size_ is unsynced.
  std::map<std::uint64_t, std::string> synced_sectors_;
  // Sector number -> what the medium has in its place, for those that FailSync() has lost.
  std::map<std::uint64_t, std::string> lost_sectors_;
};

struct SimNode;
using SimNodeRef = std::shared_ptr<SimNode>;
using SimEntries = std::map<std::string, SimNodeRef, std::less<>>;

// One atomic change of a directory that is not yet durable.
struct SimDirectoryChange {
  std::uint64_t id = 0;
  // Name -> new node; none erases. A rename within a directory has two.
  std::vector<std::pair<std::string, SimNodeRef>> entries;
  // The other directory of a rename across two, where a change of the same id waits.
  std::weak_ptr<SimNode> peer;
};

// A file or a directory.
struct SimNode {
  std::uint64_t id = 0;
  bool is_directory = false;
  std::uint64_t modified_seconds = 0;
  std::uint64_t links = 0;  // current directory entries that lead here
  // The last name given to it, for traces and faults.
  std::shared_ptr<const std::string> path;

  SectorFile file;

  SimEntries entries;
  SimEntries synced_entries;
  std::vector<SimDirectoryChange> pending;  // in order, from synced_entries to entries
};

// The tree of a disk. Callers have checked their arguments: names exist or are free as each method
// asks, parents are directories.
class SimDisk {
 public:
  SimDisk();
  ~SimDisk();
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;

  const SimNodeRef& root() const { return root_; }
  // Null when there is none. Paths are absolute or taken as such; "." and "//" are ignored.
  SimNodeRef Find(std::string_view path) const;
  // The directory that holds the path's last component, which lands in `name`; null when there is
  // no such directory or the path is the root.
  SimNodeRef FindParent(std::string_view path, std::string& name) const;

  SimNodeRef Create(const SimNodeRef& parent, const std::string& name, bool is_directory);
  void Link(const SimNodeRef& node, const SimNodeRef& parent, const std::string& name);
  void Erase(const SimNodeRef& parent, const std::string& name);
  // Replaces a target file that exists.
  void Rename(const SimNodeRef& from_parent, const std::string& from, const SimNodeRef& to_parent,
              const std::string& to);
  void SyncDirectory(const SimNodeRef& directory);

  // File changes go through here, so that used_bytes() stays right.
  void Write(SimNode& node, std::uint64_t offset, std::string_view bytes);
  void Resize(SimNode& node, std::uint64_t size);
  // Sum of the sizes of files that have a name.
  std::uint64_t used_bytes() const { return used_bytes_; }

  // In each directory a random prefix of the pending changes survives (a rename across directories
  // in both or neither); in each file random sectors. What remains is synced.
  void PowerCut(Random& random);

 private:
  void Record(const SimNodeRef& directory, std::vector<std::pair<std::string, SimNodeRef>> entries,
              std::uint64_t id, const SimNodeRef& peer);
  void AddLink(SimNode& node);
  void DropLink(SimNode& node);
  void ApplyPrefix(SimNode& directory, std::size_t count);
  // Everything reachable now, after any power cut, or between; by id.
  std::map<std::uint64_t, SimNodeRef> Everything() const;
  void CountLinks();

  std::uint64_t next_id_ = 1;
  std::uint64_t used_bytes_ = 0;
  SimNodeRef root_;
};

}  // namespace flotilla::sim
