// Directory: this node's copy of the directory, as its replica of group 1 has it.
//
// Purpose: whoever routes or plans takes the image of now and looks at it without a lock; it never
// changes under him. Every node has a replica of group 1, most of them as learners: the log of that
// group is the stream of changes.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "kv/store.h"
#include "shard/directory/image.h"

namespace flotilla {

class Directory final : public kv::RowListener {
 public:
  // On the apply strand of group 1, or while its store is opened.
  struct Watcher {
    std::function<void()> on_change;
    // The rows cannot be read: DATA_DAMAGED. Nothing is followed afterwards.
    std::function<void(const Status&)> on_damage;
  };
  explicit Directory(Watcher watcher) : watcher_(std::move(watcher)) {}

  // Never null; empty until the replica has something. Any thread.
  std::shared_ptr<const DirectoryImage> image() const;

  // kv::RowListener
  void OnAllRows(std::vector<kv::RowChange> rows, Timestamp at) override;
  void OnRows(std::vector<kv::RowChange> rows, Timestamp at) override;

 private:
  void Become(DirectoryImage image, const std::vector<kv::RowChange>& rows, Timestamp at);

  const Watcher watcher_;
  mutable std::mutex mutex_;
  std::shared_ptr<const DirectoryImage> image_ = std::make_shared<const DirectoryImage>();
};

}  // namespace flotilla
