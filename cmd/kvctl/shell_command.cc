// shell: kvctl's commands one after another on one connection, with history and completion.
#include <fmt/format.h>
#include <histedit.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "cmd/kvctl/app.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

constexpr char kHelp[] =
    "put, get, delete, cas, scan, count, sum, batch, status, member, leader, snapshot, node,\n"
    "keyspace, shard, group, job, timestamp, bench, version: as on the command line, global flags\n"
    "included; `put --help` tells more. Words with blanks go in quotes. `exit` or Ctrl-D leaves.";
constexpr int kHistoryLines = 1000;

char* Prompt(EditLine*) {
  static char prompt[] = "kvctl> ";
  return prompt;
}

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

// Tab: what all candidates have in common, else their list.
unsigned char CompleteLine(EditLine* editor, int) {
  const LineInfo* line = el_line(editor);
  const std::string typed(line->buffer, line->cursor);
  std::string error;
  auto words = SplitWords(typed, &error).value_or(std::vector<std::string>());
  if (words.empty() || typed.empty() || typed.back() == ' ') words.emplace_back();
  const auto candidates = Complete(words);
  if (candidates.empty()) return CC_ERROR;
  std::string common = candidates.front();
  for (const std::string& candidate : candidates) {
    while (candidate.rfind(common, 0) != 0) common.pop_back();
  }
  std::string rest = common.substr(words.back().size());
  if (candidates.size() == 1) rest += " ";
  if (!rest.empty()) {
    return el_insertstr(editor, rest.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
  }
  fmt::print("\n{}\n", fmt::join(candidates, "  "));
  std::fflush(stdout);
  return CC_REDISPLAY;
}

std::string HistoryFile() {
  if (const char* state = std::getenv("XDG_STATE_HOME"))
    return std::string(state) + "/kvctl_history";
  if (const char* home = std::getenv("HOME")) return std::string(home) + "/.kvctl_history";
  return "";
}

void RunInteractively(Session& session) {
  EditLine* editor = el_init("kvctl", stdin, stdout, stderr);
  History* past = history_init();
  HistEvent event;
  history(past, &event, H_SETSIZE, kHistoryLines);
  history(past, &event, H_SETUNIQUE, 1);
  const std::string file = HistoryFile();
  if (!file.empty()) history(past, &event, H_LOAD, file.c_str());
  el_set(editor, EL_PROMPT, Prompt);
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_HIST, history, past);
  el_set(editor, EL_SIGNAL, 1);
  el_set(editor, EL_ADDFN, "complete", "complete the word", CompleteLine);
  el_set(editor, EL_BIND, "^I", "complete", nullptr);
  for (;;) {
    int count = 0;
    const char* line = el_gets(editor, &count);
    if (line == nullptr || count <= 0) {
      session.PrintLine("");
      break;
    }
    std::string text(line, static_cast<std::size_t>(count));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    if (!text.empty()) history(past, &event, H_ENTER, text.c_str());
    if (!RunLine(session, text)) break;
  }
  if (!file.empty()) history(past, &event, H_SAVE, file.c_str());
  history_end(past);
  el_end(editor);
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
    if (isatty(STDIN_FILENO) == 1) {
      RunInteractively(session);
    } else {
      RunScript(session);
    }
  });
}

}  // namespace flotilla::kvctl
