// Rows that are about to change, put into a page of those that are there.
#pragma once

#include <string>
#include <vector>

#include "kv/request.h"

namespace flotilla::kv {

// The user keys that a page speaks of: up to where the next one begins. The end exclusive; empty:
// that of the keyspace.
struct PageSpan {
  std::string start;
  std::string end;
};
PageSpan SpanOf(const ScanRequest& request, const ScanPage& page);

// The page as it is with these changes, of keys in its span, each named once. Rows of theirs have
// version 0. What does not fit any more is left to the next page.
void Overlay(const ScanRequest& request, std::vector<RowChange> changes, ScanPage& page);

}  // namespace flotilla::kv
