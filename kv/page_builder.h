// PageBuilder: rows of a page, and what it weighs.
#pragma once

#include <algorithm>
#include <string_view>

#include "kv/key_codec.h"
#include "kv/limits.h"
#include "kv/request.h"
#include "kv/version_codec.h"

namespace flotilla::kv {

inline Status Malformed() { return Error(Reason::kDataDamaged, "a stored version is malformed"); }

inline std::size_t LimitOf(const ScanRequest& request) {
  return request.limit == 0 ? kScanRowsDefault : std::min(request.limit, kScanRowsMax);
}

// What a row counts for besides its key and value.
inline constexpr std::size_t kRowOverheadBytes = 32;

class PageBuilder {
 public:
  PageBuilder(const ScanRequest& request, ScanPage& page)
      : limit_(LimitOf(request)), keys_only_(request.keys_only), page_(page) {
    page_.rows.reserve(std::min<std::size_t>(limit_, kRowsReservedMax));
  }

  bool full() const { return page_.rows.size() >= limit_ || bytes_ >= kScanBytesMax; }

  Status Add(std::string_view encoded, Timestamp timestamp, const VersionView& version) {
    ScanRow& row = page_.rows.emplace_back();
    KeyspaceId keyspace;
    if (!DecodeKey(encoded, keyspace, row.key)) return Malformed();
    if (!keys_only_) row.value = version.value;
    row.version = timestamp;
    row.expires_at_ms = version.expires_at_ms;
    bytes_ += row.key.size() + row.value.size() + kRowOverheadBytes;
    return absl::OkStatus();
  }

 private:
  // Most pages are no larger.
  static constexpr std::size_t kRowsReservedMax = 128;

  const std::size_t limit_;
  const bool keys_only_;
  ScanPage& page_;
  std::size_t bytes_ = 0;
};

}  // namespace flotilla::kv
