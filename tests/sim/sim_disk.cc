#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <utility>

namespace flotilla::sim {
namespace {

// What a disk does with its unsynced writes is seldom a fair coin per sector: often all or none
// of them survive. Mixing the three finds more.
class Survival {
 public:
  explicit Survival(Random& random) : random_(random), mode_(random.Below(4)) {}
  bool Keeps() {
    if (mode_ == 0) return true;
    if (mode_ == 1) return false;
    return random_.Chance(0.5);
  }
  std::uint64_t UpTo(std::uint64_t count) {
    if (mode_ == 0) return count;
    if (mode_ == 1) return 0;
    return random_.Between(0, count);
  }

 private:
  Random& random_;
  std::uint64_t mode_;
};

// Takes the next component off the front of a path; empty at its end.
std::string_view NextComponent(std::string_view& path) {
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view component = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (!component.empty() && component != ".") return component;
  }
  return {};
}

}  // namespace

void SectorFile::Remember(std::uint64_t begin, std::uint64_t end) {
  if (!lost_sectors_.empty() && begin < end) {
    // Dirty again: the next sync writes them.
    auto lost = lost_sectors_.lower_bound(begin / kSectorBytes);
    while (lost != lost_sectors_.end() && lost->first * kSectorBytes < end) {
      if (lost->first * kSectorBytes < synced_size_) synced_sectors_.insert(*lost);
      lost = lost_sectors_.erase(lost);
    }
  }
  end = std::min(end, synced_size_);
  if (begin >= end) return;
  for (std::uint64_t sector = begin / kSectorBytes; sector * kSectorBytes < end; ++sector) {
    const auto [slot, added] = synced_sectors_.try_emplace(sector);
    if (!added) continue;
    const std::uint64_t start = sector * kSectorBytes;
    CHECK_LT(start, data_.size());  // a cut remembers what it cuts off
    slot->second = data_.substr(start, std::min<std::uint64_t>(kSectorBytes, synced_size_ - start));
  }
}

void SectorFile::Write(std::uint64_t offset, std::string_view bytes) {
  if (bytes.empty()) return;
  const std::uint64_t end = offset + bytes.size();
  Remember(std::min<std::uint64_t>(offset, data_.size()), end);
  if (offset == data_.size()) {
    data_.append(bytes);
    return;
  }
  if (end > data_.size()) data_.resize(end, '\0');
  data_.replace(offset, bytes.size(), bytes);
}

void SectorFile::Resize(std::uint64_t size) {
  Remember(std::min<std::uint64_t>(size, data_.size()), data_.size());
  data_.resize(size, '\0');
}

void SectorFile::Sync() {
  synced_size_ = data_.size();
  synced_sectors_.clear();
}

void SectorFile::FailSync() {
  lost_sectors_.insert(synced_sectors_.begin(), synced_sectors_.end());
  synced_sectors_.clear();
  const std::uint64_t first_new = (synced_size_ + kSectorBytes - 1) / kSectorBytes;
  for (std::uint64_t sector = first_new; sector * kSectorBytes < data_.size(); ++sector) {
    const std::uint64_t left = data_.size() - sector * kSectorBytes;
    lost_sectors_.try_emplace(sector, std::min<std::uint64_t>(kSectorBytes, left), '\0');
  }
}

void SectorFile::PowerCut(Random& random) {
  if (!dirty()) return;
  Survival survival(random);
  const std::uint64_t new_size = data_.size();
  std::uint64_t size = new_size;
  if (new_size > synced_size_) {
    if (!survival.Keeps()) size = synced_size_ + survival.UpTo(new_size - synced_size_);
  } else if (new_size < synced_size_ && !survival.Keeps()) {
    size = synced_size_;
  }
  data_.resize(std::max(size, new_size), '\0');
  // Sectors that lie wholly beyond the synced size held nothing.
  const std::uint64_t first_new = (synced_size_ + kSectorBytes - 1) / kSectorBytes;
  for (std::uint64_t start = first_new * kSectorBytes; start < new_size; start += kSectorBytes) {
    if (survival.Keeps()) continue;
    const std::uint64_t length = std::min<std::uint64_t>(kSectorBytes, new_size - start);
    std::fill_n(data_.begin() + static_cast<std::ptrdiff_t>(start), length, '\0');
  }
  for (const auto& [sector, content] : synced_sectors_) {
    const std::uint64_t start = sector * kSectorBytes;
    // A cut that was undone brings the old content back with the old size.
    const bool cut_undone = size > new_size && start + content.size() > new_size;
    if (!cut_undone && survival.Keeps()) continue;
    data_.resize(std::max<std::uint64_t>(data_.size(), start + content.size()), '\0');
    std::copy(content.begin(), content.end(), data_.begin() + static_cast<std::ptrdiff_t>(start));
  }
  for (const auto& [sector, content] : std::exchange(lost_sectors_, {})) {
    const std::uint64_t start = sector * kSectorBytes;
    if (start >= data_.size()) continue;
    data_.replace(start, std::min<std::uint64_t>(content.size(), data_.size() - start), content, 0,
                  std::min<std::uint64_t>(content.size(), data_.size() - start));
  }
  data_.resize(size);
  Sync();
}

void SectorFile::FlipBits(std::uint64_t offset, std::uint8_t mask) {
  CHECK_LT(offset, data_.size());
  data_[offset] = static_cast<char>(static_cast<std::uint8_t>(data_[offset]) ^ mask);
  const auto old = synced_sectors_.find(offset / kSectorBytes);
  if (old == synced_sectors_.end()) return;
  const std::uint64_t within = offset % kSectorBytes;
  if (within >= old->second.size()) return;
  old->second[within] = static_cast<char>(static_cast<std::uint8_t>(old->second[within]) ^ mask);
}

SimDisk::SimDisk() : root_(std::make_shared<SimNode>()) {
  root_->id = next_id_++;
  root_->is_directory = true;
  root_->path = std::make_shared<const std::string>("/");
  root_->links = 1;
}

SimDisk::~SimDisk() {
  // A directory that was moved into its own child on a forgotten branch would keep itself alive.
  for (auto& [id, node] : Everything()) {
    node->entries.clear();
    node->synced_entries.clear();
    node->pending.clear();
  }
}

SimNodeRef SimDisk::Find(std::string_view path) const {
  SimNodeRef node = root_;
  for (;;) {
    const std::string_view component = NextComponent(path);
    if (component.empty()) return node;
    const auto child = node->entries.find(component);
    if (child == node->entries.end()) return nullptr;
    node = child->second;
  }
}

SimNodeRef SimDisk::FindParent(std::string_view path, std::string& name) const {
  SimNodeRef node = root_;
  std::string_view component = NextComponent(path);
  if (component.empty()) return nullptr;
  for (;;) {
    const std::string_view next = NextComponent(path);
    if (next.empty()) break;
    const auto child = node->entries.find(component);
    if (child == node->entries.end()) return nullptr;
    node = child->second;
    component = next;
  }
  if (!node->is_directory) return nullptr;
  name = std::string(component);
  return node;
}

void SimDisk::AddLink(SimNode& node) {
  if (node.links++ == 0) used_bytes_ += node.file.size();
}

void SimDisk::DropLink(SimNode& node) {
  CHECK_GT(node.links, 0u);
  if (--node.links == 0) used_bytes_ -= node.file.size();
}

void SimDisk::Record(const SimNodeRef& directory,
                     std::vector<std::pair<std::string, SimNodeRef>> entries, std::uint64_t id,
                     const SimNodeRef& peer) {
  for (const auto& [name, node] : entries) {
    if (node != nullptr) {
      directory->entries[name] = node;
    } else {
      directory->entries.erase(name);
    }
  }
  directory->pending.push_back({id, std::move(entries), peer});
}

SimNodeRef SimDisk::Create(const SimNodeRef& parent, const std::string& name, bool is_directory) {
  auto node = std::make_shared<SimNode>();
  node->id = next_id_++;
  node->is_directory = is_directory;
  Link(node, parent, name);
  return node;
}

void SimDisk::Link(const SimNodeRef& node, const SimNodeRef& parent, const std::string& name) {
  AddLink(*node);
  Record(parent, {{name, node}}, next_id_++, nullptr);
}

void SimDisk::Erase(const SimNodeRef& parent, const std::string& name) {
  DropLink(*parent->entries.at(name));
  Record(parent, {{name, nullptr}}, next_id_++, nullptr);
}

void SimDisk::Rename(const SimNodeRef& from_parent, const std::string& from,
                     const SimNodeRef& to_parent, const std::string& to) {
  const SimNodeRef node = from_parent->entries.at(from);
  const auto replaced = to_parent->entries.find(to);
  if (replaced != to_parent->entries.end()) {
    if (replaced->second == node) return;  // two names of one file: POSIX leaves both
    DropLink(*replaced->second);
  }
  const std::uint64_t id = next_id_++;
  if (from_parent == to_parent) {
    Record(from_parent, {{from, nullptr}, {to, node}}, id, nullptr);
    return;
  }
  Record(to_parent, {{to, node}}, id, from_parent);
  Record(from_parent, {{from, nullptr}}, id, to_parent);
}

void SimDisk::ApplyPrefix(SimNode& directory, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    for (auto& [name, node] : directory.pending[i].entries) {
      if (node != nullptr) {
        directory.synced_entries[name] = node;
      } else {
        directory.synced_entries.erase(name);
      }
    }
  }
  directory.pending.erase(directory.pending.begin(),
                          directory.pending.begin() + static_cast<std::ptrdiff_t>(count));
}

void SimDisk::SyncDirectory(const SimNodeRef& directory) {
  // A rename across directories becomes durable in both at once, and with it what came before.
  std::vector<std::pair<SimNodeRef, std::uint64_t>> todo = {{directory, next_id_}};
  while (!todo.empty()) {
    const auto [node, up_to_id] = todo.back();
    todo.pop_back();
    std::size_t count = 0;
    for (; count < node->pending.size() && node->pending[count].id <= up_to_id; ++count) {
      const SimDirectoryChange& change = node->pending[count];
      if (SimNodeRef peer = change.peer.lock()) todo.emplace_back(std::move(peer), change.id);
    }
    ApplyPrefix(*node, count);
  }
}

void SimDisk::Write(SimNode& node, std::uint64_t offset, std::string_view bytes) {
  const std::uint64_t before = node.file.size();
  node.file.Write(offset, bytes);
  if (node.links > 0) used_bytes_ += node.file.size() - before;
}

void SimDisk::Resize(SimNode& node, std::uint64_t size) {
  const std::uint64_t before = node.file.size();
  node.file.Resize(size);
  if (node.links > 0) used_bytes_ += node.file.size() - before;
}

std::map<std::uint64_t, SimNodeRef> SimDisk::Everything() const {
  std::map<std::uint64_t, SimNodeRef> found = {{root_->id, root_}};
  std::vector<SimNodeRef> todo = {root_};
  const auto visit = [&](const SimNodeRef& node) {
    if (node != nullptr && found.emplace(node->id, node).second) todo.push_back(node);
  };
  while (!todo.empty()) {
    const SimNodeRef node = todo.back();
    todo.pop_back();
    for (const auto& [name, child] : node->entries) visit(child);
    for (const auto& [name, child] : node->synced_entries) visit(child);
    for (const SimDirectoryChange& change : node->pending) {
      for (const auto& [name, child] : change.entries) visit(child);
    }
  }
  return found;
}

void SimDisk::PowerCut(Random& random) {
  const std::map<std::uint64_t, SimNodeRef> everything = Everything();
  std::map<std::uint64_t, std::size_t> kept;
  for (const auto& [id, node] : everything) {
    if (!node->pending.empty()) kept[id] = Survival(random).UpTo(node->pending.size());
  }
  // A rename across directories that one of them lost is lost in both, with what followed it.
  for (bool changed = true; changed;) {
    changed = false;
    for (auto& [id, count] : kept) {
      const SimNode& node = *everything.at(id);
      for (std::size_t i = 0; i < count; ++i) {
        const SimNodeRef peer = node.pending[i].peer.lock();
        if (peer == nullptr) continue;
        const auto peer_kept = kept.find(peer->id);
        if (peer_kept == kept.end()) continue;
        std::size_t at = 0;
        while (at < peer->pending.size() && peer->pending[at].id != node.pending[i].id) ++at;
        if (at < peer->pending.size() && at >= peer_kept->second) {
          count = i;
          changed = true;
        }
      }
    }
  }
  for (const auto& [id, count] : kept) ApplyPrefix(*everything.at(id), count);
  for (const auto& [id, node] : everything) {
    node->entries = node->synced_entries;
    node->pending.clear();
    node->file.PowerCut(random);
  }
  CountLinks();
}

void SimDisk::CountLinks() {
  const std::map<std::uint64_t, SimNodeRef> everything = Everything();
  for (const auto& [id, node] : everything) node->links = 0;
  used_bytes_ = 0;
  root_->links = 1;
  for (const auto& [id, node] : everything) {
    for (const auto& [name, child] : node->entries) AddLink(*child);
  }
}

}  // namespace flotilla::sim
