// shell: kvctl's commands one after another on one connection, with history and completion.
#include <cstdio>
#include <iostream>

#include "cmd/kvctl/app.h"
#include "cmd/kvctl/line_editor.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

constexpr char kHelp[] =
    "put, get, delete, cas, scan, count, sum, batch, txn, status, member, leader, snapshot, node,\n"
    "keyspace, shard, group, job, timestamp, bench, version: as on the command line, global flags\n"
    "included; `put --help` tells more. Words with blanks go in quotes. `exit` or Ctrl-D leaves.";
// Runs one line; false: the shell is to end.
bool RunLine(Session& session, const std::string& line) {
  std::string error;
  const auto words = SplitWords(line, &error);
  if (!words) {
    session.Fail(kUsage, error, "quotes and backslashes work as in a POSIX shell");
    return true;
  }
  if (words->empty()) return true;
  const std::string& first = words->front();
  if (first == "exit" || first == "quit") return false;
  if (first == "help") {
    session.PrintLine(kHelp);
    return true;
  }
  if (first == "shell") {
    session.Fail(kUsage, "this is the shell", "");
    return true;
  }
  // Flags given on one line do not stay for the next.
  const GlobalFlags flags = session.flags;
  RunCommandLine(session, *words);
  session.flags = flags;
  std::fflush(stdout);
  return true;
}

void RunInteractively(Session& session) {
  LineEditor editor("kvctl> ", Complete, HistoryFile());
  for (;;) {
    const auto line = editor.Next();
    if (!line) session.PrintLine("");
    if (!line || !RunLine(session, *line)) break;
  }
  session.exit_code = kDone;
}

// Commands from a pipe: the first that fails ends it, with its exit code.
void RunScript(Session& session) {
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line.rfind('#', 0) == 0) continue;
    session.exit_code = kDone;
    if (!RunLine(session, line) || session.exit_code != kDone) return;
  }
}

}  // namespace

void AddShellCommand(CLI::App& app, Session& session) {
  CLI::App* command =
      app.add_subcommand("shell", "Type commands one after another; also from a pipe");
  command->callback([&session] {
    session.in_shell = true;
    if (LineEditor::AtTerminal()) {
      RunInteractively(session);
    } else {
      RunScript(session);
    }
  });
}

}  // namespace flotilla::kvctl
