// MANIFEST is a log of records in blocks. A record: masked CRC32C of type and payload (fixed32),
// length of the payload (2 bytes), type, payload. One that is not sound is what a power cut has
// left of a write that was never synced, unless a sound one follows: then it has decayed. RocksDB
// takes it for damage even at the end, if it has its length but not all of its sectors: it is cut
// off here. What was synced and has decayed at the very end goes with it, and is missed: the tables
// and the log's start say what the state must have.

#include <fmt/format.h>
#include <rocksdb/env.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/coding.h"
#include "base/crc32c.h"
#include "kv/damage.h"
#include "kv/database.h"

namespace flotilla::kv {
namespace {

constexpr std::size_t kBlockBytes = 32 << 10;
constexpr std::size_t kHeaderBytes = 7;

Status Damaged(std::string_view what) {
  return Error(
      Reason::kDataDamaged,
      fmt::format("{}; remove this node from the cluster, empty its data directory and let "
                  "it join again",
                  what));
}

std::size_t LengthAt(std::string_view data, std::size_t offset) {
  return static_cast<unsigned char>(data[offset + 4]) |
         static_cast<std::size_t>(static_cast<unsigned char>(data[offset + 5])) << 8;
}

// The rest of the block that `offset` lies in.
std::size_t RestOfBlock(std::size_t offset) { return kBlockBytes - offset % kBlockBytes; }

bool RecordAt(std::string_view data, std::size_t offset) {
  if (RestOfBlock(offset) < kHeaderBytes || offset + kHeaderBytes > data.size()) return false;
  const std::size_t length = LengthAt(data, offset);
  const auto type = static_cast<unsigned char>(data[offset + 6]);
  if (type == 0 || type > 8 || kHeaderBytes + length > RestOfBlock(offset) ||
      offset + kHeaderBytes + length > data.size()) {
    return false;
  }
  const std::uint32_t crc = Crc32c(data.substr(offset + 6, length + 1));
  return LoadFixed32(data.data() + offset) == ((crc >> 15 | crc << 17) + 0xa282ead8u);
}

// Where the first record begins that is not sound, if one is not. Zeros are not: RocksDB skips
// them.
std::size_t FindUnsound(std::string_view data) {
  std::size_t offset = 0;
  while (offset + kHeaderBytes <= data.size()) {
    if (RestOfBlock(offset) < kHeaderBytes) {
      offset += RestOfBlock(offset);
      continue;
    }
    if (!RecordAt(data, offset)) return offset;
    offset += kHeaderBytes + LengthAt(data, offset);
  }
  return data.size();
}

// Beside it, then renamed: a power cut leaves the one or the other.
Status CutOff(rocksdb::Env& env, const std::string& path, std::string_view sound) {
  const std::string fresh = path + ".tmp";
  rocksdb::Status done = rocksdb::WriteStringToFile(&env, sound, fresh, true);
  if (done.ok()) done = env.RenameFile(fresh, path);
  return FromRocks(done, path);
}

bool HasTables(rocksdb::Env& env, const std::string& directory) {
  std::vector<std::string> names;
  if (!env.GetChildren(directory, &names).ok()) return false;
  return std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return name.ends_with(".sst"); });
}

}  // namespace

Status CheckManifest(rocksdb::Env& env, const std::string& directory) {
  const std::string current = directory + "/CURRENT";
  if (env.FileExists(current).IsNotFound()) {
    if (!HasTables(env, directory)) return absl::OkStatus();
    return Damaged(current + " is missing, but there are tables beside where it was");
  }
  std::string name;
  std::string data;
  // What cannot be read here RocksDB cannot read either, and says so.
  if (!rocksdb::ReadFileToString(&env, current, &name).ok()) return absl::OkStatus();
  const std::string path = directory + "/" + name.substr(0, name.find('\n'));
  if (!rocksdb::ReadFileToString(&env, path, &data).ok()) return absl::OkStatus();
  const std::size_t unsound = FindUnsound(data);
  if (unsound == data.size()) return absl::OkStatus();
  for (std::size_t offset = unsound + 1; offset < data.size(); ++offset) {
    if (!RecordAt(data, offset)) continue;
    return Damaged(fmt::format("{} is damaged at offset {}, though another record follows at {}",
                               path, unsound, offset));
  }
  // The first ones were synced before anything named the file: RocksDB says what is wrong with
  // them.
  if (unsound == 0) return absl::OkStatus();
  return CutOff(env, path, data.substr(0, unsound));
}

}  // namespace flotilla::kv
