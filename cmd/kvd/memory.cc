#include "cmd/kvd/memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace flotilla {

std::uint64_t MemoryBytes() {
  const auto machine = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                       static_cast<std::uint64_t>(sysconf(_SC_PAGE_SIZE));
  // In a container this is its own group; without a bound it says "max".
  std::ifstream file("/sys/fs/cgroup/memory.max");
  std::uint64_t bound = 0;
  return file >> bound ? std::min(machine, bound) : machine;
}

}  // namespace flotilla
