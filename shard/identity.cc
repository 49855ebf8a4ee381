#include "shard/identity.h"

#include <absl/strings/escaping.h>
#include <rocksdb/file_system.h>
#include <spdlog/fmt/fmt.h>

#include <charconv>
#include <map>
#include <sstream>

#include "base/crc32c.h"

namespace flotilla {
namespace {

constexpr std::string_view kHeader = "flotilla-identity 1";

Status FromIO(const rocksdb::IOStatus& status, std::string_view path) {
  if (status.ok()) return absl::OkStatus();
  return Error(status.IsNoSpace() ? Reason::kDiskFull : Reason::kInternal,
               fmt::format("{}: {}", path, status.ToString()));
}

std::string ToHex(std::string_view bytes) {
  return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}

bool ParseNumber(std::string_view text, int base, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

Status Damaged() { return Error(Reason::kDataDamaged, "the text is not an identity"); }

}  // namespace

std::string EncodeIdentity(const Identity& identity) {
  std::string text =
      fmt::format("{}\nuuid {:016x}\ncluster {:016x}\nnode {}\nfounding {}\n", kHeader,
                  identity.uuid.value(), identity.cluster.value(), identity.node.value(),
                  identity.founding ? ToHex(EncodeFounding(*identity.founding)) : "");
  text += fmt::format("crc {:08x}\n", Crc32c(text));
  return text;
}

StatusOr<Identity> DecodeIdentity(std::string_view text) {
  const std::size_t crc_at = text.rfind("crc ");
  std::uint64_t crc = 0;
  if (crc_at == std::string_view::npos || text.size() != crc_at + 13 ||
      !ParseNumber(text.substr(crc_at + 4, 8), 16, crc) || Crc32c(text.substr(0, crc_at)) != crc) {
    return Damaged();
  }
  std::map<std::string, std::string> fields;
  std::istringstream lines{std::string(text.substr(0, crc_at))};
  std::string line;
  std::getline(lines, line);
  if (line != kHeader) return Damaged();
  while (std::getline(lines, line)) {
    const std::size_t space = line.find(' ');
    if (space == std::string::npos) return Damaged();
    fields[line.substr(0, space)] = line.substr(space + 1);
  }
  std::uint64_t uuid = 0;
  std::uint64_t cluster = 0;
  std::uint64_t node = 0;
  if (!ParseNumber(fields["uuid"], 16, uuid) || !ParseNumber(fields["cluster"], 16, cluster) ||
      !ParseNumber(fields["node"], 10, node)) {
    return Damaged();
  }
  Identity identity{.uuid = NodeUuid(uuid),
                    .cluster = ClusterId(cluster),
                    .node = NodeId(node),
                    .founding = std::nullopt};
  if (const std::string& hex = fields["founding"]; !hex.empty()) {
    ASSIGN_OR_RETURN(Founding founding, DecodeFounding(absl::HexStringToBytes(hex)));
    identity.founding = std::move(founding);
  }
  return identity;
}

StatusOr<std::optional<Identity>> LoadIdentity(rocksdb::FileSystem& files,
                                               const std::string& directory) {
  const std::string path = directory + "/IDENTITY";
  const rocksdb::IOStatus exists = files.FileExists(path, rocksdb::IOOptions(), nullptr);
  if (exists.IsNotFound()) return std::optional<Identity>();
  std::string text;
  if (exists.ok()) {
    RETURN_IF_ERROR(FromIO(rocksdb::ReadFileToString(&files, path, &text), path));
  } else {
    RETURN_IF_ERROR(FromIO(exists, path));
  }
  StatusOr<Identity> identity = DecodeIdentity(text);
  if (!identity.ok()) {
    return Error(Reason::kDataDamaged,
                 fmt::format("{} is damaged: restore it, or empty the data directory and let the "
                             "node join again as a new one",
                             path));
  }
  return std::optional<Identity>(*std::move(identity));
}

Status StoreIdentity(rocksdb::FileSystem& files, const std::string& directory,
                     const Identity& identity) {
  const rocksdb::IOOptions io;
  const std::string path = directory + "/IDENTITY";
  const std::string temporary = path + ".new";
  RETURN_IF_ERROR(FromIO(
      rocksdb::WriteStringToFile(&files, EncodeIdentity(identity), temporary, true), temporary));
  RETURN_IF_ERROR(FromIO(files.RenameFile(temporary, path, io, nullptr), path));
  std::unique_ptr<rocksdb::FSDirectory> handle;
  RETURN_IF_ERROR(FromIO(files.NewDirectory(directory, io, &handle, nullptr), directory));
  return FromIO(handle->Fsync(io, nullptr), directory);
}

}  // namespace flotilla
