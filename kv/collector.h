// The collector of old versions, a compaction filter.
//
// A version that was superseded at or before the safe point is dropped where a compaction meets it:
// its successor comes right before it in the order of version keys. The newest version of a key is
// never touched, except a tombstone where nothing lies beneath the compaction (a full one, or a
// slice of a vacuum), once it is older than any transaction that may commit (kTxnAgeMsMax), to
// which it tells that the key has changed. Replicas collect at different times; what a reader at or
// after the safe point sees is the same on all.
#pragma once

#include <rocksdb/compaction_filter.h>

#include <memory>
#include <string>

#include "kv/database.h"

namespace flotilla::kv {

class CollectorFactory final : public rocksdb::CompactionFilterFactory {
 public:
  explicit CollectorFactory(std::shared_ptr<CollectorState> state) : state_(std::move(state)) {}

  const char* Name() const override { return "flotilla.Collector"; }
  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& context) override;

 private:
  const std::shared_ptr<CollectorState> state_;
};

}  // namespace flotilla::kv
