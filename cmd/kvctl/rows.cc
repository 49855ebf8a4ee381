#include "cmd/kvctl/rows.h"

#include "cmd/kvctl/json.h"

namespace flotilla::kvctl {

std::string GetJson(const std::string& key, const client::GetResult& result) {
  JsonObject json;
  json.Bytes("key", key).Bool("found", result.found);
  if (!result.found) return json.str();
  json.Bytes("value", result.value).Number64("version", result.version.value());
  if (result.expires_at) {
    json.Number64("expires_at_ms", static_cast<std::uint64_t>(result.expires_at->count()));
  }
  return json.str();
}

std::string RowJson(const client::Row& row, bool keys_only) {
  JsonObject json;
  json.Bytes("key", row.key);
  if (!keys_only) json.Bytes("value", row.value);
  json.Number64("version", row.version.value());
  if (row.expires_at) {
    json.Number64("expires_at_ms", static_cast<std::uint64_t>(row.expires_at->count()));
  }
  return json.str();
}

}  // namespace flotilla::kvctl
