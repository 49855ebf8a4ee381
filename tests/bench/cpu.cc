#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "tests/bench/load.h"

namespace flotilla::bench {

double CpuMicros(const std::vector<int>& pids) {
  const auto micros_per_tick = 1e6 / static_cast<double>(sysconf(_SC_CLK_TCK));
  double sum = 0;
  for (const int pid : pids) {
    std::ifstream file(fmt::format("/proc/{}/stat", pid));
    std::string line;
    std::getline(file, line);
    // The second field, the name, is in parentheses and may hold anything.
    const auto end_of_name = line.rfind(')');
    if (end_of_name == std::string::npos) continue;
    std::istringstream fields(line.substr(end_of_name + 1));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;
    double user = 0;
    double system = 0;
    fields >> user >> system;
    sum += (user + system) * micros_per_tick;
  }
  return sum;
}

}  // namespace flotilla::bench
