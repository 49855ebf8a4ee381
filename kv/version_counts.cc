#include "kv/version_counts.h"

#include <algorithm>

#include "base/coding.h"
#include "kv/key_codec.h"
#include "kv/version_codec.h"

namespace flotilla::kv {
namespace {

// Varints in the order of VersionCounts.
constexpr char kProperty[] = "flotilla.versions";

// Bytes of a value that lies in a blob file; of any other, its own. RocksDB's reference to a blob:
// u8 1 | varint file | varint offset | varint bytes | u8 compression.
std::uint64_t ValueBytes(const rocksdb::Slice& value, rocksdb::EntryType type) {
  if (type != rocksdb::kEntryBlobIndex) return value.size();
  Reader reader({value.data(), value.size()});
  std::uint8_t kind = 0;
  std::uint64_t file = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  const bool known = reader.Byte(kind) && kind == 1 && reader.Varint(file) &&
                     reader.Varint(offset) && reader.Varint(bytes);
  return known ? bytes : value.size();
}

class VersionCounter final : public rocksdb::TablePropertiesCollector {
 public:
  const char* Name() const override { return "flotilla.VersionCounter"; }

  rocksdb::Status AddUserKey(const rocksdb::Slice& key, const rocksdb::Slice& value,
                             rocksdb::EntryType type, rocksdb::SequenceNumber,
                             std::uint64_t) override {
    std::string_view encoded;
    Timestamp timestamp;
    if ((type != rocksdb::kEntryPut && type != rocksdb::kEntryBlobIndex) ||
        !SplitVersionKey({key.data(), key.size()}, encoded, timestamp)) {
      return rocksdb::Status::OK();
    }
    ++counts_.versions;
    if (encoded == key_) {
      counts_.dead.Add(newer_);
      counts_.dead_bytes += key.size() + ValueBytes(value, type);
    } else {
      key_ = encoded;
      VersionView version;
      if (type == rocksdb::kEntryPut && DecodeVersion({value.data(), value.size()}, version) &&
          version.tombstone) {
        counts_.tombstones.Add(timestamp);
      }
    }
    newer_ = timestamp;
    return rocksdb::Status::OK();
  }

  rocksdb::Status Finish(rocksdb::UserCollectedProperties* properties) override {
    (*properties)[kProperty] = EncodeVersionCounts(counts_);
    return rocksdb::Status::OK();
  }
  rocksdb::UserCollectedProperties GetReadableProperties() const override { return {}; }

 private:
  VersionCounts counts_;
  std::string key_;
  Timestamp newer_;
};

void Append(std::string& out, const Spread& spread) {
  AppendVarint(out, spread.count);
  AppendVarint(out, spread.first);
  AppendVarint(out, spread.last);
}

bool Read(Reader& reader, Spread& spread) {
  return reader.Varint(spread.count) && reader.Varint(spread.first) && reader.Varint(spread.last) &&
         spread.first <= spread.last;
}

}  // namespace

void Spread::Add(Timestamp at) { Add({.count = 1, .first = at.value(), .last = at.value()}); }

void Spread::Add(const Spread& other) {
  if (other.count == 0) return;
  first = count == 0 ? other.first : std::min(first, other.first);
  last = std::max(last, other.last);
  count += other.count;
}

std::uint64_t Spread::Part(Timestamp until, std::uint64_t of) const {
  if (count == 0 || until.value() < first) return 0;
  if (until.value() >= last) return of;
  const double part =
      static_cast<double>(until.value() - first) / static_cast<double>(last - first);
  return static_cast<std::uint64_t>(part * static_cast<double>(of));
}

std::string EncodeVersionCounts(const VersionCounts& counts) {
  std::string out;
  AppendVarint(out, counts.versions);
  Append(out, counts.dead);
  AppendVarint(out, counts.dead_bytes);
  Append(out, counts.tombstones);
  return out;
}

bool DecodeVersionCounts(std::string_view bytes, VersionCounts& counts) {
  Reader reader(bytes);
  return reader.Varint(counts.versions) && Read(reader, counts.dead) &&
         reader.Varint(counts.dead_bytes) && Read(reader, counts.tombstones) &&
         counts.dead.count + counts.tombstones.count <= counts.versions;
}

VersionCounts CountsOf(const rocksdb::TableProperties& properties) {
  VersionCounts counts;
  const auto found = properties.user_collected_properties.find(kProperty);
  if (found != properties.user_collected_properties.end() &&
      DecodeVersionCounts(found->second, counts)) {
    return counts;
  }
  counts = VersionCounts();
  counts.versions = properties.num_entries;
  return counts;
}

rocksdb::TablePropertiesCollector* VersionCounterFactory::CreateTablePropertiesCollector(Context) {
  return new VersionCounter();
}

}  // namespace flotilla::kv
