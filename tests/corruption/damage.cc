#include "tests/corruption/damage.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/random.h"

namespace flotilla::corruption {
namespace {

constexpr std::size_t kSector = 512;

std::size_t Draw(Random& random, std::size_t size) {
  return static_cast<std::size_t>(random.Below(size));
}

char OtherByte(Random& random, char byte, DamageKind kind) {
  switch (kind) {
    case DamageKind::kFlipBit:
      return static_cast<char>(byte ^ static_cast<char>(1u << random.Below(8)));
    case DamageKind::kZeroByte:
      if (byte != 0) return 0;
      [[fallthrough]];
    default:
      return static_cast<char>(byte + 1 + static_cast<char>(random.Below(255)));
  }
}

void SwapSectors(Random& random, std::string& content, std::uint64_t& offset) {
  const std::size_t sectors = content.size() / kSector;
  if (sectors < 2) return;
  const std::size_t a = Draw(random, sectors) * kSector;
  const std::size_t b = Draw(random, sectors) * kSector;
  std::swap_ranges(content.begin() + static_cast<std::ptrdiff_t>(a),
                   content.begin() + static_cast<std::ptrdiff_t>(a + kSector),
                   content.begin() + static_cast<std::ptrdiff_t>(b));
  offset = std::min(a, b);
}

}  // namespace

FileKind KindOf(const std::string& path) {
  const auto ends = [&](std::string_view suffix) { return path.ends_with(suffix); };
  const std::string name = path.substr(path.rfind('/') + 1);
  if (path.find("/db/") == std::string::npos && path.find("/groups/") != std::string::npos) {
    return FileKind::kSnapshot;
  }
  if (path.find("/wal/") != std::string::npos) {
    if (ends(".summary")) return FileKind::kSummary;
    return ends(".log") ? FileKind::kLog : FileKind::kSpare;
  }
  if (ends(".sst")) return FileKind::kTable;
  if (ends(".blob")) return FileKind::kBlob;
  if (name.starts_with("MANIFEST-")) return FileKind::kManifest;
  if (name == "CURRENT") return FileKind::kCurrent;
  if (name.starts_with("OPTIONS-")) return FileKind::kOptions;
  if (name == "IDENTITY") return FileKind::kIdentity;
  return FileKind::kOther;
}

std::string_view NameOf(FileKind kind) {
  switch (kind) {
    case FileKind::kLog:
      return "log segment";
    case FileKind::kSpare:
      return "spare segment";
    case FileKind::kSummary:
      return "log summary";
    case FileKind::kTable:
      return "SST";
    case FileKind::kBlob:
      return "blob file";
    case FileKind::kManifest:
      return "MANIFEST";
    case FileKind::kCurrent:
      return "CURRENT";
    case FileKind::kOptions:
      return "OPTIONS";
    case FileKind::kIdentity:
      return "IDENTITY";
    case FileKind::kSnapshot:
      return "snapshot";
    case FileKind::kOther:
      break;
  }
  return "other";
}

std::string_view NameOf(DamageKind kind) {
  switch (kind) {
    case DamageKind::kFlipBit:
      return "flip a bit";
    case DamageKind::kSetByte:
      return "set a byte";
    case DamageKind::kZeroByte:
      return "zero a byte";
    case DamageKind::kTruncate:
      return "cut off";
    case DamageKind::kSwapSectors:
      return "swap two sectors";
    case DamageKind::kZeroSector:
      return "zero a sector";
    case DamageKind::kRemove:
      break;
  }
  return "remove";
}

Damage DamageImage(std::uint64_t number, bool single_byte, Image& image) {
  Random random(number);
  std::map<FileKind, std::vector<std::string>> files;
  for (const auto& [path, content] : image) {
    if (!content.empty()) files[KindOf(path)].push_back(path);
  }
  CHECK(!files.empty());
  const auto kind =
      std::next(files.begin(), static_cast<std::ptrdiff_t>(random.Below(files.size())));

  Damage damage;
  damage.file = kind->first;
  damage.path = kind->second[Draw(random, kind->second.size())];
  // A log that lost its newest segment whole looks like one that never had it (raft/log/README.md):
  // its files are never removed here.
  const bool removable = damage.file != FileKind::kLog;
  damage.kind =
      static_cast<DamageKind>(single_byte ? random.Below(3)
                                          : static_cast<std::uint64_t>(DamageKind::kTruncate) +
                                                random.Below(removable ? 4 : 3));
  std::string& content = image[damage.path];
  damage.offset = Draw(random, content.size());
  switch (damage.kind) {
    case DamageKind::kFlipBit:
    case DamageKind::kSetByte:
    case DamageKind::kZeroByte:
      content[damage.offset] = OtherByte(random, content[damage.offset], damage.kind);
      break;
    case DamageKind::kTruncate:
      content.resize(damage.offset);
      break;
    case DamageKind::kSwapSectors:
      SwapSectors(random, content, damage.offset);
      break;
    case DamageKind::kZeroSector:
      damage.offset = damage.offset / kSector * kSector;
      content.replace(damage.offset, std::min(kSector, content.size() - damage.offset),
                      std::min(kSector, content.size() - damage.offset), '\0');
      break;
    case DamageKind::kRemove:
      image.erase(damage.path);
      break;
  }
  damage.text =
      fmt::format("{} at offset {} of {}", NameOf(damage.kind), damage.offset, damage.path);
  return damage;
}

}  // namespace flotilla::corruption
