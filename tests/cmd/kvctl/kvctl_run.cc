#include "tests/cmd/kvctl/kvctl_run.h"

#include <cstdio>
#include <functional>

#include "cmd/kvctl/app.h"

namespace flotilla::kvctl {

namespace {

Outcome RunIn(const std::function<int(Session&)>& run) {
  // Real files: the session asks whether its output is a terminal.
  std::FILE* out = std::tmpfile();
  std::FILE* err = std::tmpfile();
  Outcome outcome;
  {
    Session session(out, err);
    outcome.exit_code = run(session);
  }
  const auto slurp = [](std::FILE* file) {
    std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
    std::fseek(file, 0, SEEK_SET);
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

}  // namespace

Outcome Kvctl(const std::string& endpoint, const std::vector<std::string>& words) {
  return RunIn([&](Session& session) {
    std::vector<std::string> all = words;
    all.insert(all.begin(), {"--endpoints", endpoint});
    return RunCommandLine(session, all);
  });
}

Outcome KvctlShellLine(const std::string& endpoint, const std::vector<std::string>& words) {
  return RunIn([&](Session& session) {
    session.flags.endpoints = {endpoint};
    session.in_shell = true;
    return RunCommandLine(session, words);
  });
}

}  // namespace flotilla::kvctl
