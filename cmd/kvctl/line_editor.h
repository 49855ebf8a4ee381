// LineEditor: lines typed at a terminal, with history, and completion with Tab.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

struct editline;
struct history;

namespace flotilla::kvctl {

class LineEditor {
 public:
  // What may follow: candidates for the last of the words, which may be empty or a part.
  using Completer = std::function<std::vector<std::string>(const std::vector<std::string>& words)>;

  // `file`: keeps the history; empty: nothing does. One at a time.
  LineEditor(std::string prompt, Completer completer, std::string file);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // From the next line on.
  void SetPrompt(std::string prompt) { prompt_ = std::move(prompt); }
  // Without its end; nothing after Ctrl-D.
  std::optional<std::string> Next();

  // Whether somebody types.
  static bool AtTerminal();

 private:
  struct Callbacks;

  std::string prompt_;
  const Completer completer_;
  const std::string file_;
  ::editline* editor_ = nullptr;
  ::history* past_ = nullptr;
};

// Where kvctl keeps its history; empty: there is no home.
std::string HistoryFile();

}  // namespace flotilla::kvctl
