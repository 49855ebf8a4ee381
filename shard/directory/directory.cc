#include "shard/directory/directory.h"

#include <utility>

namespace flotilla {

std::shared_ptr<const DirectoryImage> Directory::image() const {
  std::lock_guard lock(mutex_);
  return image_;
}

void Directory::OnAllRows(std::vector<kv::RowChange> rows, Timestamp at) {
  Become(DirectoryImage(), rows, at);
}

void Directory::OnRows(std::vector<kv::RowChange> rows, Timestamp at) {
  Become(*image(), rows, at);
}

void Directory::Become(DirectoryImage image, const std::vector<kv::RowChange>& rows, Timestamp at) {
  if (const Status applied = image.Apply(rows, at); !applied.ok()) {
    watcher_.on_damage(applied);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    image_ = std::make_shared<const DirectoryImage>(std::move(image));
  }
  watcher_.on_change();
}

}  // namespace flotilla
