// Damage: what decay, a bad cable or a confused controller does to one file. Pure: a number gives
// the same damage to the same image every time.
#pragma once

#include <cstdint>
#include <string>

#include "tests/corruption/image.h"

namespace flotilla::corruption {

// What a file is for.
enum class FileKind {
  kLog,       // a segment of the log
  kSpare,     // a segment that waits to be used again
  kSummary,   // of a segment
  kTable,     // of a state machine: an SST file
  kBlob,      // and its large values
  kManifest,  // which of them count
  kCurrent,
  kOptions,   // RocksDB's notes for people
  kIdentity,  // whose data directory this is
  kSnapshot,  // of a snapshot that was being taken, received or installed
  kOther,
};

FileKind KindOf(const std::string& path);
std::string_view NameOf(FileKind kind);

enum class DamageKind {
  kFlipBit,
  kSetByte,
  kZeroByte,
  // Beyond one byte:
  kTruncate,
  kSwapSectors,
  kZeroSector,
  kRemove,
};

std::string_view NameOf(DamageKind kind);

struct Damage {
  DamageKind kind = DamageKind::kFlipBit;
  std::string path;
  FileKind file = FileKind::kOther;
  std::uint64_t offset = 0;
  std::string text;  // for people
};

// Draws a file, each kind of file as likely as the other, and a place in it, and changes the image.
// `single_byte`: one byte, to another value.
Damage DamageImage(std::uint64_t number, bool single_byte, Image& image);

}  // namespace flotilla::corruption
