// ScanToken: where a scan goes on, opaque to clients.
//
// Bound to the scan that it continues: keyspace, range, direction and time are in it, with a
// checksum. A token that was cut, edited or taken from another scan is BAD_TOKEN.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "kv/request.h"

namespace flotilla {

struct ScanToken {
  // The whole scan.
  kv::KeyspaceId keyspace = kv::kDefaultKeyspace;
  std::string start;
  std::string end;
  bool reverse = false;
  Timestamp as_of = {};
};

std::string EncodeScanToken(const ScanToken& scan, std::string_view resume_key);
// The resume key of a token of this very scan.
StatusOr<std::string> DecodeScanToken(std::string_view token, const ScanToken& scan);

// The first key after all keys with this prefix; empty when there is none.
std::string PrefixEnd(std::string_view prefix);

}  // namespace flotilla
