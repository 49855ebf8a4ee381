// The bodies of snapshot calls: announcement (the manifest), parts, answers.
//
// input: u8 which body | body

#include "raft/snapshot_wire.h"

#include "base/coding.h"
#include "tests/fuzz/fuzz.h"

namespace flotilla::fuzz {
namespace {

using namespace raft;

constexpr std::size_t kOffsets = 3;

void ExpectSafeNames(std::string_view body) {
  const auto open = DecodeSnapshotOpen(body);
  if (!open.ok()) return;
  CHECK_LE(open->files.size(), kSnapshotFilesMax);
  for (const SnapshotFile& file : open->files) {
    CHECK(!file.name.empty() && file.name != "." && file.name != "..");
    CHECK(file.name.find('/') == std::string::npos && file.name.find('\0') == std::string::npos);
  }
}

}  // namespace

void Fuzz(std::string_view input) {
  if (input.empty()) return;
  const std::string_view body = input.substr(1);
  switch (input[0]) {
    case 0:
      ExpectStable(body, DecodeSnapshotOpen, EncodeSnapshotOpen);
      ExpectSafeNames(body);
      break;
    case 1:
      ExpectStable(body, DecodeSnapshotPart, EncodeSnapshotPart);
      break;
    case 2:
      ExpectStable(
          body, [](std::string_view bytes) { return DecodeOffsets(bytes, kOffsets); },
          EncodeOffsets);
      break;
    case 3:
      DecodeSnapshotAnswer(body).status().IgnoreError();
      break;
    case 4: {
      // Any data, in a part that is right.
      const SnapshotPart part{
          .id = 1, .group = GroupId(2), .index = Index(3), .term = Term(4), .data = body};
      const std::string encoded = EncodeSnapshotPart(part);
      const auto decoded = DecodeSnapshotPart(encoded);
      CHECK(decoded.ok());
      CHECK(decoded->data == body);
      break;
    }
    default:
      break;
  }
}

std::vector<std::string> Seeds() {
  SnapshotOpen open;
  open.id = 5;
  open.group = GroupId(2);
  open.index = Index(300);
  open.term = Term(3);
  open.files = {{.name = "CURRENT", .bytes = 16}, {.name = "000012.sst", .bytes = 1 << 20}};
  const SnapshotPart part{.id = 5,
                          .group = GroupId(2),
                          .index = Index(300),
                          .term = Term(3),
                          .file = 1,
                          .offset = 4096,
                          .data = "data of a file"};
  using namespace std::string_literals;
  return {"\0"s + EncodeSnapshotOpen(open), "\1"s + EncodeSnapshotPart(part),
          "\2"s + EncodeOffsets({0, 300, 1 << 20}),
          "\3"s + EncodeSnapshotAnswer(std::string("fine")), "\4"s + "data"};
}

}  // namespace flotilla::fuzz
