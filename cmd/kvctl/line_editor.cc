#include "cmd/kvctl/line_editor.h"

#include <fmt/format.h>
#include <histedit.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

constexpr int kHistoryLines = 1000;

}  // namespace

struct LineEditor::Callbacks {
  static LineEditor& Of(EditLine* editor) {
    void* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return *static_cast<LineEditor*>(self);
  }

  static char* Prompt(EditLine* editor) { return Of(editor).prompt_.data(); }

  // Tab: what all candidates have in common, else their list.
  static unsigned char Complete(EditLine* editor, int) {
    const LineInfo* line = el_line(editor);
    const std::string typed(line->buffer, line->cursor);
    std::string error;
    auto words = SplitWords(typed, &error).value_or(std::vector<std::string>());
    if (words.empty() || typed.empty() || typed.back() == ' ') words.emplace_back();
    const auto candidates = Of(editor).completer_(words);
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
};

LineEditor::LineEditor(std::string prompt, Completer completer, std::string file)
    : prompt_(std::move(prompt)), completer_(std::move(completer)), file_(std::move(file)) {
  editor_ = el_init("kvctl", stdin, stdout, stderr);
  past_ = history_init();
  HistEvent event;
  ::history(past_, &event, H_SETSIZE, kHistoryLines);
  ::history(past_, &event, H_SETUNIQUE, 1);
  if (!file_.empty()) ::history(past_, &event, H_LOAD, file_.c_str());
  el_set(editor_, EL_CLIENTDATA, this);
  el_set(editor_, EL_PROMPT, Callbacks::Prompt);
  el_set(editor_, EL_EDITOR, "emacs");
  el_set(editor_, EL_HIST, ::history, past_);
  el_set(editor_, EL_SIGNAL, 1);
  el_set(editor_, EL_ADDFN, "complete", "complete the word", Callbacks::Complete);
  el_set(editor_, EL_BIND, "^I", "complete", nullptr);
}

LineEditor::~LineEditor() {
  HistEvent event;
  if (!file_.empty()) ::history(past_, &event, H_SAVE, file_.c_str());
  history_end(past_);
  el_end(editor_);
}

std::optional<std::string> LineEditor::Next() {
  int count = 0;
  const char* line = el_gets(editor_, &count);
  if (line == nullptr || count <= 0) return std::nullopt;
  std::string text(line, static_cast<std::size_t>(count));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  HistEvent event;
  if (!text.empty()) ::history(past_, &event, H_ENTER, text.c_str());
  return text;
}

bool LineEditor::AtTerminal() { return isatty(STDIN_FILENO) == 1; }

std::string HistoryFile() {
  if (const char* state = std::getenv("XDG_STATE_HOME"))
    return std::string(state) + "/kvctl_history";
  if (const char* home = std::getenv("HOME")) return std::string(home) + "/.kvctl_history";
  return "";
}

}  // namespace flotilla::kvctl
