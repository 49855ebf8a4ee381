#include "kv/row_cache.h"

#include <functional>
#include <utility>

#include "base/planted.h"
#include "kv/limits.h"

namespace flotilla::kv {
namespace {

// No write is under way, and then never this one.
constexpr RowCache::Token kNoToken = UINT64_MAX;

}  // namespace

RowCache::RowCache(std::shared_ptr<rocksdb::Cache> cache) : cache_(std::move(cache)) {
  if (cache_ == nullptr) return;
  slots_ = std::make_unique<std::array<Slot, kSlots>>();
  Forget();
}

RowCache::~RowCache() = default;

void RowCache::Forget() {
  // Under a new name; the rows of the old one grow old.
  if (cache_ != nullptr) id_ = cache_->NewId();
}

rocksdb::Slice RowCache::NameOf(std::string_view encoded_key) const {
  thread_local std::string name;
  // Longer than the 16 bytes by which blocks go, so that none is taken for another.
  name.assign("row");
  name.append(reinterpret_cast<const char*>(&id_), sizeof id_);
  name.append(encoded_key);
  return {name.data(), name.size()};
}

std::size_t RowCache::SlotOf(std::string_view encoded_key) {
  return std::hash<std::string_view>()(encoded_key) % kSlots;
}

void RowCache::Delete(const rocksdb::Slice&, void* row) { delete static_cast<Row*>(row); }

RowCache::Token RowCache::Begin(std::string_view encoded_key) const {
  if (cache_ == nullptr) return kNoToken;
  const Slot& slot = (*slots_)[SlotOf(encoded_key)];
  // In this order: a write that begins in between is seen as begun.
  const std::uint32_t ended = slot.ended.load();
  const std::uint32_t begun = slot.begun.load();
  return begun == ended ? begun : kNoToken;
}

void RowCache::Insert(std::string_view encoded_key, std::unique_ptr<Row> row) {
  const std::size_t charge = sizeof(Row) + row->value.size() + 2 * encoded_key.size() + 64;
  // Should the cache be full of what is in use, it deletes the row at once.
  cache_->Insert(NameOf(encoded_key), row.release(), charge, &Delete).PermitUncheckedError();
}

void RowCache::Keep(std::string_view encoded_key, Token token, Timestamp timestamp,
                    std::string_view value) {
  if (token == kNoToken || value.size() > kCachedRowBytesMax) return;
  Slot& slot = (*slots_)[SlotOf(encoded_key)];
  auto row = std::make_unique<Row>(Row{.timestamp = timestamp, .value = std::string(value)});
  const std::lock_guard lock(slot.mutex);
  if (slot.begun.load() != token) return;
  slot.used = true;
  Insert(encoded_key, std::move(row));
}

void RowCache::BeginWrite(std::string_view encoded_key, Timestamp timestamp,
                          std::string_view header, std::string_view value) {
  if (cache_ == nullptr) return;
  Write& write = writing_.emplace_back(SlotOf(encoded_key), std::string(), nullptr);
  Slot& slot = (*slots_)[write.slot];
  const std::lock_guard lock(slot.mutex);
  slot.begun.fetch_add(1);
  if (!slot.used || Planted(Plant::kRowOutlivesWrite)) return;
  const rocksdb::Slice name = NameOf(encoded_key);
  rocksdb::Cache::Handle* const handle = cache_->Lookup(name);
  if (handle == nullptr) return;
  cache_->Release(handle);
  cache_->Erase(name);
  if (header.size() + value.size() > kCachedRowBytesMax) return;
  write.key = encoded_key;
  write.row = std::make_unique<Row>(Row{.timestamp = timestamp, .value = std::string(header)});
  write.row->value.append(value);
}

void RowCache::EndWrite(bool visible) {
  for (Write& write : writing_) {
    Slot& slot = (*slots_)[write.slot];
    if (visible && write.row) Insert(write.key, std::move(write.row));
    slot.ended.fetch_add(1);
  }
  writing_.clear();
}

}  // namespace flotilla::kv
