#include "raft/snapshot_wire.h"

#include "base/coding.h"
#include "base/crc32c.h"

namespace flotilla::raft {
namespace {

Status Malformed(std::string_view what) {
  return Error(Reason::kBadRequest,
               std::string("a peer sent a malformed snapshot ") + std::string(what));
}

// A plain file name: snapshots are flat directories.
bool SafeName(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

void AppendMark(std::string& out, GroupId group, Index index, Term term) {
  AppendVarint(out, group.value());
  AppendVarint(out, index.value());
  AppendVarint(out, term.value());
}

bool ReadMark(Reader& reader, GroupId& group, Index& index, Term& term) {
  std::uint64_t values[3];
  for (std::uint64_t& value : values) {
    if (!reader.Varint(value)) return false;
  }
  group = GroupId(values[0]);
  index = Index(values[1]);
  term = Term(values[2]);
  return true;
}

}  // namespace

std::string EncodeSnapshotOpen(const SnapshotOpen& open) {
  std::string out;
  AppendFixed64(out, open.id);
  AppendMark(out, open.group, open.index, open.term);
  AppendVarint(out, open.files.size());
  for (const SnapshotFile& file : open.files) {
    AppendPrefixed(out, file.name);
    AppendVarint(out, file.bytes);
  }
  return out;
}

StatusOr<SnapshotOpen> DecodeSnapshotOpen(std::string_view body) {
  Reader reader(body);
  SnapshotOpen open;
  std::uint64_t count = 0;
  if (!reader.Fixed64(open.id) || !ReadMark(reader, open.group, open.index, open.term) ||
      !reader.Varint(count) || count > kSnapshotFilesMax) {
    return Malformed("announcement");
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string_view name;
    SnapshotFile file;
    if (!reader.Prefixed(name) || !reader.Varint(file.bytes) || !SafeName(name)) {
      return Malformed("file list");
    }
    file.name = name;
    open.files.push_back(std::move(file));
  }
  return open;
}

std::string EncodeSnapshotPart(const SnapshotPart& part) {
  std::string out;
  out.reserve(part.data.size() + 64);
  AppendFixed64(out, part.id);
  AppendMark(out, part.group, part.index, part.term);
  AppendVarint(out, part.file);
  AppendVarint(out, part.offset);
  AppendFixed32(out, Crc32c(part.data));
  AppendPrefixed(out, part.data);
  return out;
}

StatusOr<SnapshotPart> DecodeSnapshotPart(std::string_view body) {
  Reader reader(body);
  SnapshotPart part;
  std::uint32_t crc = 0;
  if (!reader.Fixed64(part.id) || !ReadMark(reader, part.group, part.index, part.term) ||
      !reader.Varint(part.file) || !reader.Varint(part.offset) || !reader.Fixed32(crc) ||
      !reader.Prefixed(part.data)) {
    return Malformed("part");
  }
  if (Crc32c(part.data) != crc) return Malformed("part: its checksum differs");
  return part;
}

std::string EncodeSnapshotAnswer(const StatusOr<std::string>& result) {
  std::string out;
  out.push_back(result.ok() ? '\1' : '\0');
  out.append(result.ok() ? std::string_view(*result) : MessageOf(result.status()));
  return out;
}

StatusOr<std::string> DecodeSnapshotAnswer(std::string_view body) {
  if (body.empty()) return Malformed("answer");
  if (body[0] == '\1') return std::string(body.substr(1));
  return Error(Reason::kInternal, body.substr(1));
}

std::string EncodeOffsets(const std::vector<std::uint64_t>& offsets) {
  std::string out;
  for (const std::uint64_t offset : offsets) AppendVarint(out, offset);
  return out;
}

StatusOr<std::vector<std::uint64_t>> DecodeOffsets(std::string_view body, std::size_t count) {
  Reader reader(body);
  std::vector<std::uint64_t> offsets(count);
  for (std::uint64_t& offset : offsets) {
    if (!reader.Varint(offset)) return Malformed("answer");
  }
  return offsets;
}

}  // namespace flotilla::raft
