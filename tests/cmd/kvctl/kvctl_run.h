// KvctlRun: runs kvctl's command lines in this process and catches what they print.
#pragma once

#include <string>
#include <vector>

namespace flotilla::kvctl {

struct Outcome {
  int exit_code = 0;
  std::string out;
  std::string err;
};

// `endpoint` goes into --endpoints.
Outcome Kvctl(const std::string& endpoint, const std::vector<std::string>& words);

// A line of a shell that was started with --endpoints.
Outcome KvctlShellLine(const std::string& endpoint, const std::vector<std::string>& words);

}  // namespace flotilla::kvctl
