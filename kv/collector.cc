#include "kv/collector.h"

#include <utility>

#include "kv/key_codec.h"
#include "kv/version_codec.h"

namespace flotilla::kv {
namespace {

class Collector final : public rocksdb::CompactionFilter {
 public:
  Collector(std::shared_ptr<CollectorState> state, bool complete)
      : state_(std::move(state)),
        safe_point_(state_->safe_point.load()),
        tombstone_point_(state_->tombstone_point.load()),
        complete_(complete) {}

  const char* Name() const override { return "flotilla.Collector"; }

  Decision FilterV2(int, const rocksdb::Slice& key, ValueType type, const rocksdb::Slice& value,
                    std::string*, std::string*) const override {
    return Judge(key, type == ValueType::kValue ? &value : nullptr);
  }
  // No tombstone is that large: the blob need not be read.
  Decision FilterBlobByKey(int, const rocksdb::Slice& key, std::string*,
                           std::string*) const override {
    return Judge(key, nullptr);
  }

 private:
  Decision Judge(const rocksdb::Slice& key, const rocksdb::Slice* value) const {
    std::string_view encoded;
    Timestamp timestamp;
    if (!SplitVersionKey({key.data(), key.size()}, encoded, timestamp)) return Decision::kKeep;
    const bool older = encoded == key_;
    const bool superseded = older && newer_ <= safe_point_;
    key_ = encoded;
    newer_ = timestamp.value();
    bool drop = superseded;
    if (!older && complete_ && timestamp.value() <= tombstone_point_ && value != nullptr) {
      VersionView version;
      drop = DecodeVersion({value->data(), value->size()}, version) && version.tombstone;
    }
    if (!drop) return Decision::kKeep;
    state_->collected.fetch_add(1, std::memory_order_relaxed);
    return Decision::kRemove;
  }

  const std::shared_ptr<CollectorState> state_;
  const std::uint64_t safe_point_;
  const std::uint64_t tombstone_point_;
  const bool complete_;
  // A filter sees one compaction's keys in order, on one thread.
  mutable std::string key_;
  mutable std::uint64_t newer_ = 0;
};

}  // namespace

std::unique_ptr<rocksdb::CompactionFilter> CollectorFactory::CreateCompactionFilter(
    const rocksdb::CompactionFilter::Context& context) {
  const bool slice = context.is_manual_compaction && state_->slice_complete.load();
  return std::make_unique<Collector>(state_, context.is_full_compaction || slice);
}

}  // namespace flotilla::kv
