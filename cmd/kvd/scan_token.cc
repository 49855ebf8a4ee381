#include "cmd/kvd/scan_token.h"

#include "base/coding.h"
#include "base/crc32c.h"

namespace flotilla {
namespace {

constexpr std::uint8_t kVersion = 1;

std::uint32_t Fingerprint(const ScanToken& scan) {
  std::string all;
  AppendFixed32(all, scan.keyspace.value());
  AppendPrefixed(all, scan.start);
  AppendPrefixed(all, scan.end);
  all.push_back(scan.reverse ? 1 : 0);
  AppendFixed64(all, scan.as_of.value());
  return Crc32c(all);
}

}  // namespace

std::string EncodeScanToken(const ScanToken& scan, std::string_view resume_key) {
  std::string token;
  token.push_back(static_cast<char>(kVersion));
  AppendFixed32(token, Fingerprint(scan));
  AppendPrefixed(token, resume_key);
  AppendFixed32(token, Crc32c(token));
  return token;
}

StatusOr<std::string> DecodeScanToken(std::string_view token, const ScanToken& scan) {
  Status bad = Error(Reason::kBadToken,
                     "the continuation token is damaged or comes from another scan: repeat "
                     "the same request with the token of its own last page, or start anew");
  if (token.size() < 9) return bad;
  const std::string_view body = token.substr(0, token.size() - 4);
  if (LoadFixed32(token.data() + body.size()) != Crc32c(body)) return bad;
  Reader reader(body);
  std::uint8_t version = 0;
  std::uint32_t fingerprint = 0;
  std::string_view resume_key;
  if (!reader.Byte(version) || version != kVersion || !reader.Fixed32(fingerprint) ||
      fingerprint != Fingerprint(scan) || !reader.Prefixed(resume_key) || !reader.empty()) {
    return bad;
  }
  return std::string(resume_key);
}

std::string PrefixEnd(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

}  // namespace flotilla
