#include "kv/damage.h"

#include <fmt/format.h>
#include <rocksdb/env.h>
#include <rocksdb/sst_file_reader.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/coding.h"
#include "base/crc32c.h"

namespace flotilla::kv {
namespace {

// RocksDB's format: a header, records, a footer. The header has no checksum: a magic number, the
// format's version, the column family (fixed32 each), whether blobs expire, their compression (a
// byte each), and from when to when they expire (fixed64 each). A record: lengths of key and value
// and an expiration (fixed64 each), the checksum of these, that of key and value (fixed32 each),
// key, value.
constexpr std::uint32_t kMagic = 2395959;
constexpr std::size_t kCompressionAt = 13;
constexpr std::size_t kFileHeaderBytes = 30;
constexpr std::size_t kFileFooterBytes = 32;
constexpr std::size_t kRecordHeaderBytes = 32;
constexpr std::size_t kCoveredHeaderBytes = 24;

// As RocksDB stores checksums.
std::uint32_t Masked(std::uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

// Where the header is not what it is in all our blob files; kFileHeaderBytes: nowhere.
std::size_t FirstDamagedOfHeader(std::string_view header) {
  std::string expected;
  AppendFixed32(expected, kMagic);
  AppendFixed32(expected, 1);
  AppendFixed32(expected, 1);  // `versions`, after the default family
  expected.resize(kFileHeaderBytes, '\0');
  expected[kCompressionAt] = header[kCompressionAt];  // any
  return static_cast<std::size_t>(
      std::mismatch(expected.begin(), expected.end(), header.begin()).first - expected.begin());
}

// The offset of the header's byte or the first record that is not sound; `data.size()` when all
// are.
std::size_t FirstDamaged(std::string_view data) {
  if (data.size() < kFileHeaderBytes + kFileFooterBytes) return 0;
  const std::size_t in_header = FirstDamagedOfHeader(data.substr(0, kFileHeaderBytes));
  if (in_header < kFileHeaderBytes) return in_header;
  const std::size_t end = data.size() - kFileFooterBytes;
  for (std::size_t offset = kFileHeaderBytes; offset < end;) {
    const std::string_view rest = data.substr(offset, end - offset);
    if (rest.size() < kRecordHeaderBytes) return offset;
    const std::uint64_t key = LoadFixed64(rest.data());
    const std::uint64_t value = LoadFixed64(rest.data() + 8);
    const std::uint32_t header_crc = LoadFixed32(rest.data() + kCoveredHeaderBytes);
    const std::uint32_t blob_crc = LoadFixed32(rest.data() + kCoveredHeaderBytes + 4);
    const std::size_t room = rest.size() - kRecordHeaderBytes;
    if (Masked(Crc32c(rest.substr(0, kCoveredHeaderBytes))) != header_crc || key > room ||
        value > room - key ||
        Masked(Crc32c(rest.substr(kRecordHeaderBytes, key + value))) != blob_crc) {
      return offset;
    }
    offset += kRecordHeaderBytes + key + value;
  }
  return data.size();
}

std::string FindDamagedBlob(rocksdb::Env& env, const std::string& path) {
  std::string data;
  if (!rocksdb::ReadFileToString(&env, path, &data).ok()) return {};
  const std::size_t offset = FirstDamaged(data);
  return offset < data.size() ? fmt::format("{} at offset {}", path, offset) : "";
}

std::string FindDamagedTable(rocksdb::Env& env, const std::string& path) {
  rocksdb::Options options;
  options.env = &env;
  rocksdb::SstFileReader reader(options);
  rocksdb::Status status = reader.Open(path);
  // What the table says of itself stands at its end, without a checksum.
  if (!status.ok()) {
    std::uint64_t bytes = 0;
    env.GetFileSize(path, &bytes).PermitUncheckedError();
    return fmt::format("{} before offset {}, its end", path, bytes);
  }
  status = reader.VerifyChecksum();
  return status.ok() ? "" : fmt::format("{}: {}", path, status.ToString());
}

}  // namespace

bool LacksPlace(const Status& status) {
  if (status.ok() || ReasonOf(status) != Reason::kDataDamaged) return false;
  const std::string_view message = MessageOf(status);
  for (const std::string_view named : {".sst offset ", ".blob"}) {
    if (message.find(named) != std::string_view::npos) return false;
  }
  return true;
}

std::string FindDamage(rocksdb::Env& env, const std::string& directory) {
  std::vector<std::string> names;
  if (!env.GetChildren(directory, &names).ok()) return directory;
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::string path = directory + "/" + name;
    std::string found;
    if (name.ends_with(".blob")) found = FindDamagedBlob(env, path);
    if (name.ends_with(".sst")) found = FindDamagedTable(env, path);
    if (!found.empty()) return found;
  }
  return directory;
}

}  // namespace flotilla::kv
