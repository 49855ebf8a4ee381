#include "cmd/kvctl/app.h"

#include <fmt/format.h>

#include <algorithm>

#include "cmd/kvctl/mistakes.h"

namespace flotilla::kvctl {
namespace {

std::unique_ptr<CLI::App> BuildApp(Session& session) {
  auto app =
      std::make_unique<CLI::App>("Reads, writes and administers a Flotilla cluster.", "kvctl");
  GlobalFlags& flags = session.flags;
  app->fallthrough();
  app->require_subcommand(1);
  CLI::Option* const endpoints =
      app->add_option("--endpoints", flags.endpoints, "nodes of the cluster, HOST:PORT,...")
          ->delimiter(',');
  // In a shell the flags that it was started with stand, and they go before the environment.
  if (!session.in_shell) endpoints->envname("KVCTL_ENDPOINTS");
  app->add_option("--keyspace", flags.keyspace, "the keyspace; default: \"default\"");
  app->add_option("--consistency", flags.consistency, "of reads: linearizable or eventual")
      ->check(CLI::IsMember({"linearizable", "eventual"}));
  app->add_option("--at", flags.at,
                  "read as of this timestamp of the cluster's (`kvctl timestamp`)")
      ->excludes("--consistency");
  app->add_option("--timeout", flags.timeout, "of each request, such as 500ms or 5s");
  app->add_option("-o,--output", flags.output, "table, json or plain")
      ->check(CLI::IsMember({"table", "json", "plain"}));
  app->add_flag("--hex", flags.hex, "keys and values in hexadecimal, given and shown");
  app->add_flag("--no-color", flags.no_color, "no colours");
  app->add_flag("-v,--verbose", flags.verbose, "more messages on standard error");
  AddDataCommands(*app, session);
  AddScanCommand(*app, session);
  AddCountCommands(*app, session);
  AddBatchCommand(*app, session);
  AddTxnCommands(*app, session);
  AddLockCommands(*app, session);
  AddHistoryCommand(*app, session);
  AddStatusCommand(*app, session);
  AddMemberCommands(*app, session);
  AddNodeCommands(*app, session);
  AddKeyspaceCommands(*app, session);
  AddShardCommands(*app, session);
  AddGroupCommands(*app, session);
  AddJobCommands(*app, session);
  AddVacuumCommands(*app, session);
  AddBenchCommand(*app, session);
  AddShellCommand(*app, session);
  AddCompletionCommands(*app, session);
  app->footer(
      "Exit codes: 0 done, 1 failed, 2 usage, 3 key not found, 4 condition or conflict,\n"
      "5 unavailable or timed out, 6 refused (too large, full), 7 outcome unknown,\n"
      "8 not allowed, 9 unhealthy.\n"
      "KVCTL_ENDPOINTS names the nodes when --endpoints does not.");
  return app;
}

}  // namespace

int RunCommandLine(Session& session, const std::vector<std::string>& words) {
  session.exit_code = kDone;
  const auto app = BuildApp(session);
  try {
    app->parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::CallForHelp&) {
    const CLI::App* command = Innermost(app.get());
    session.Print(command->help(command->get_parent() ? PathOf(command->get_parent()) : ""));
  } catch (const CLI::ParseError& error) {
    session.Fail(kUsage, Explain(*app, error, words),
                 fmt::format("see `{} --help`", PathOf(Innermost(app.get()))));
  }
  return session.exit_code;
}

std::vector<std::string> Complete(const std::vector<std::string>& words) {
  Session session(stdout, stderr);
  const auto app = BuildApp(session);
  const CLI::App* at = app.get();
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    for (const CLI::App* sub : at->get_subcommands([](const CLI::App*) { return true; })) {
      if (sub->get_name() == words[i]) {
        at = sub;
        break;
      }
    }
  }
  const std::string part = words.empty() ? std::string() : words.back();
  std::vector<std::string> candidates;
  const auto offer = [&](const std::string& candidate) {
    if (candidate.rfind(part, 0) == 0 && !candidate.empty()) candidates.push_back(candidate);
  };
  for (const CLI::App* sub : at->get_subcommands([](const CLI::App*) { return true; })) {
    offer(sub->get_name());
  }
  if (part.rfind('-', 0) == 0) {
    for (const CLI::App* from = at; from != nullptr; from = from->get_parent()) {
      for (const CLI::Option* option : from->get_options()) {
        for (const std::string& name : option->get_lnames()) offer("--" + name);
      }
    }
  }
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  return candidates;
}

}  // namespace flotilla::kvctl
