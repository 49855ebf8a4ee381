#include "kv/collector.h"

#include <utility>

#include "kv/key_codec.h"
#include "kv/version_codec.h"

namespace flotilla::kv {
namespace {

class Collector final : public rocksdb::CompactionFilter {
 public:
  Collector(std::shared_ptr<CollectorState> state, bool full)
      : state_(std::move(state)),
        safe_point_(state_->safe_point.load()),
        tombstone_point_(state_->tombstone_point.load()),
        full_(full) {}

  const char* Name() const override { return "flotilla.Collector"; }

  Decision FilterV2(int, const rocksdb::Slice& key, ValueType type, const rocksdb::Slice& value,
                    std::string*, std::string*) const override {
    std::string_view encoded;
    Timestamp timestamp;
    if (!SplitVersionKey({key.data(), key.size()}, encoded, timestamp)) return Decision::kKeep;
    const bool older = encoded == key_;
    const bool superseded = older && newer_ <= safe_point_;
    key_ = encoded;
    newer_ = timestamp.value();
    bool drop = superseded;
    if (!older && full_ && timestamp.value() <= tombstone_point_ && type == ValueType::kValue) {
      VersionView version;
      drop = DecodeVersion({value.data(), value.size()}, version) && version.tombstone;
    }
    if (!drop) return Decision::kKeep;
    state_->collected.fetch_add(1, std::memory_order_relaxed);
    return Decision::kRemove;
  }

 private:
  const std::shared_ptr<CollectorState> state_;
  const std::uint64_t safe_point_;
  const std::uint64_t tombstone_point_;
  const bool full_;
  // A filter sees one compaction's keys in order, on one thread.
  mutable std::string key_;
  mutable std::uint64_t newer_ = 0;
};

}  // namespace

std::unique_ptr<rocksdb::CompactionFilter> CollectorFactory::CreateCompactionFilter(
    const rocksdb::CompactionFilter::Context& context) {
  return std::make_unique<Collector>(state_, context.is_full_compaction);
}

}  // namespace flotilla::kv
