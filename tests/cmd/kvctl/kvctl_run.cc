#include "tests/cmd/kvctl/kvctl_run.h"

#include <cstdio>

#include "cmd/kvctl/app.h"

namespace flotilla::kvctl {

Outcome Kvctl(const std::string& endpoint, const std::vector<std::string>& words) {
  // Real files: the session asks whether its output is a terminal.
  std::FILE* out = std::tmpfile();
  std::FILE* err = std::tmpfile();
  Outcome outcome;
  {
    Session session(out, err);
    std::vector<std::string> all = words;
    all.insert(all.begin(), {"--endpoints", endpoint});
    outcome.exit_code = RunCommandLine(session, all);
  }
  const auto slurp = [](std::FILE* file) {
    std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
    std::rewind(file);
    text.resize(std::fread(text.data(), 1, text.size(), file));
    std::fclose(file);
    return text;
  };
  std::fflush(out);
  std::fflush(err);
  outcome.out = slurp(out);
  outcome.err = slurp(err);
  return outcome;
}

}  // namespace flotilla::kvctl
