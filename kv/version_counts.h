// What a table holds of versions that others have superseded, counted while it is written and kept
// among its properties: what the collector would find is known without a look at any row, and
// after a restart.
//
// A table knows nothing of others: a version whose successor lies elsewhere counts as alive, until
// a compaction brings both together.
#pragma once

#include <rocksdb/table_properties.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/types.h"

namespace flotilla::kv {

// So many things, at timestamps from the first to the last of them.
struct Spread {
  std::uint64_t count = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;

  void Add(Timestamp at);
  void Add(const Spread& other);
  // Those at or before `until`, out of `of`; as if they lay evenly.
  std::uint64_t Part(Timestamp until, std::uint64_t of) const;
  std::uint64_t Until(Timestamp until) const { return Part(until, count); }

  bool operator==(const Spread&) const = default;
};

struct VersionCounts {
  std::uint64_t versions = 0;
  // Superseded by another of the same table, at the timestamp of that one; and the bytes of their
  // keys and values, blobs included, before compression.
  Spread dead;
  std::uint64_t dead_bytes = 0;
  // Deletions that nothing in the table supersedes.
  Spread tombstones;

  bool operator==(const VersionCounts&) const = default;
};

std::string EncodeVersionCounts(const VersionCounts& counts);
bool DecodeVersionCounts(std::string_view bytes, VersionCounts& counts);
// Of a table; all are alive where it was written before they were counted.
VersionCounts CountsOf(const rocksdb::TableProperties& properties);

class VersionCounterFactory final : public rocksdb::TablePropertiesCollectorFactory {
 public:
  const char* Name() const override { return "flotilla.VersionCounter"; }
  rocksdb::TablePropertiesCollector* CreateTablePropertiesCollector(Context context) override;
};

}  // namespace flotilla::kv
