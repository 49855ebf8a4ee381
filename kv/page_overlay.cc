#include "kv/page_overlay.h"

#include <algorithm>
#include <map>
#include <utility>

#include "kv/limits.h"
#include "kv/page_builder.h"

namespace flotilla::kv {
namespace {

// Of those of a page, which the changes may have made larger.
std::size_t RowsThatFit(const ScanRequest& request, const ScanPage& page) {
  const std::size_t limit = LimitOf(request);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < page.rows.size(); ++i) {
    if (i >= limit || bytes >= kScanBytesMax) return i;
    bytes += page.rows[i].key.size() + page.rows[i].value.size() + kRowOverheadBytes;
  }
  return page.rows.size();
}

}  // namespace

PageSpan SpanOf(const ScanRequest& request, const ScanPage& page) {
  PageSpan span{.start = request.start, .end = request.end};
  if (page.more) (request.reverse ? span.start : span.end) = page.resume_key;
  return span;
}

void Overlay(const ScanRequest& request, std::vector<RowChange> changes, ScanPage& page) {
  if (changes.empty()) return;
  std::map<std::string, ScanRow> rows;
  for (ScanRow& row : page.rows) rows.emplace(row.key, std::move(row));
  for (RowChange& change : changes) {
    if (!change.value) {
      rows.erase(change.key);
      continue;
    }
    ScanRow& row = rows[change.key];
    row = {.key = change.key};
    if (!request.keys_only) row.value = *std::move(change.value);
  }
  page.rows.clear();
  for (auto& [key, row] : rows) page.rows.push_back(std::move(row));
  if (request.reverse) std::reverse(page.rows.begin(), page.rows.end());
  const std::size_t limit = RowsThatFit(request, page);
  if (page.rows.size() <= limit) return;
  page.more = true;
  page.resume_key = page.rows[request.reverse ? limit - 1 : limit].key;
  page.rows.resize(limit);
}

}  // namespace flotilla::kv
