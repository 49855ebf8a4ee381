#include "cmd/kvd/page_token.h"

#include <algorithm>

#include "base/coding.h"
#include "base/crc32c.h"

namespace flotilla {
namespace {

constexpr std::size_t kChecksumBytes = 4;
constexpr std::uint32_t kRowsDefault = 1000;
constexpr std::uint32_t kRowsMax = 10'000;
constexpr char kDigits[] = "0123456789abcdef";

}  // namespace

std::string EncodePageToken(std::uint8_t kind, std::string_view resume) {
  std::string bytes(1, static_cast<char>(kind));
  bytes += resume;
  AppendFixed32(bytes, Crc32c(bytes));
  // Tokens are strings, and protobuf wants text in them.
  std::string token;
  for (const char byte : bytes) {
    token.push_back(kDigits[static_cast<unsigned char>(byte) >> 4]);
    token.push_back(kDigits[static_cast<unsigned char>(byte) & 15]);
  }
  return token;
}

StatusOr<std::string> DecodePageToken(std::uint8_t kind, std::string_view token) {
  if (token.empty()) return std::string();
  Status bad = Error(Reason::kBadToken,
                     "the page token is damaged or comes from another listing: repeat the same "
                     "request with the token of its own last page, or start anew");
  std::string bytes;
  for (std::size_t i = 0; i + 1 < token.size(); i += 2) {
    const std::string_view digits(kDigits);
    const std::size_t high = digits.find(token[i]);
    const std::size_t low = digits.find(token[i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return bad;
    bytes.push_back(static_cast<char>(high << 4 | low));
  }
  if (token.size() % 2 != 0 || bytes.size() < 1 + kChecksumBytes) return bad;
  const std::string_view body = std::string_view(bytes).substr(0, bytes.size() - kChecksumBytes);
  if (LoadFixed32(bytes.data() + body.size()) != Crc32c(body)) return bad;
  if (static_cast<std::uint8_t>(body[0]) != kind) return bad;
  return std::string(body.substr(1));
}

std::size_t PageSize(std::uint32_t asked) {
  return asked == 0 ? kRowsDefault : std::min(asked, kRowsMax);
}

}  // namespace flotilla
