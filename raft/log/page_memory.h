// PageMemory: memory that begins with a page, which direct reads and writes ask for.
#pragma once

#include <cstdlib>
#include <memory>

#include "base/check.h"
#include "raft/log/format.h"

namespace flotilla::raft::log {

struct FreePages {
  void operator()(char* memory) const { std::free(memory); }
};
using PageMemory = std::unique_ptr<char, FreePages>;

// Whole pages.
inline PageMemory AllocatePages(std::size_t bytes) {
  CHECK_EQ(bytes % kPageBytes, 0u);
  PageMemory memory(static_cast<char*>(std::aligned_alloc(kPageBytes, bytes)));
  CHECK(memory != nullptr);
  return memory;
}

}  // namespace flotilla::raft::log
