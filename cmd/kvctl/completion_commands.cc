// completion bash|zsh|fish, version. The scripts ask `kvctl __complete WORDS...` (main.cc).
#include <fmt/format.h>

#include "cmd/kvctl/app.h"
#include "cmd/kvctl/json.h"

#ifndef FLOTILLA_VERSION
#error "the build defines FLOTILLA_VERSION"
#endif

namespace flotilla::kvctl {
namespace {

constexpr char kBash[] = R"(# kvctl completion for bash:  source <(kvctl completion bash)
_kvctl() {
  local IFS=$'\n'
  COMPREPLY=($(kvctl __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _kvctl kvctl
)";

constexpr char kZsh[] = R"(#compdef kvctl
# kvctl completion for zsh:  source <(kvctl completion zsh)
_kvctl() {
  local -a candidates
  candidates=("${(@f)$(kvctl __complete "${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)}")
  compadd -a candidates
}
compdef _kvctl kvctl
)";

constexpr char kFish[] = R"(# kvctl completion for fish:  kvctl completion fish | source
complete -c kvctl -f -a '(kvctl __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
)";

}  // namespace

void AddCompletionCommands(CLI::App& app, Session& session) {
  CLI::App* completion =
      app.add_subcommand("completion", "Print a script for a shell's completion");
  completion->require_subcommand(1);
  const auto add = [&](const char* shell, const char* script) {
    completion->add_subcommand(shell, fmt::format("For {}", shell))->callback([script, &session] {
      session.Print(script);
    });
  };
  add("bash", kBash);
  add("zsh", kZsh);
  add("fish", kFish);

  CLI::App* command = app.add_subcommand("version", "Print kvctl's version");
  command->callback([&session] {
    if (session.FormatFor(false) == Format::kJson) {
      session.PrintLine(JsonObject().Text("version", FLOTILLA_VERSION).str());
    } else {
      session.PrintLine("kvctl " FLOTILLA_VERSION);
    }
  });
}

}  // namespace flotilla::kvctl
