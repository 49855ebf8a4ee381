// Subject: a data directory with known content, in several states that a stopped node may leave,
// and what a node says when it is started on a damaged copy.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kv/command.h"
#include "raft/core/types.h"
#include "tests/corruption/damage.h"
#include "tests/corruption/image.h"
#include "tests/fuzz/lone_node.h"

namespace flotilla::corruption {

enum class Verdict {
  kRight,         // everything is there: the damage did not matter, or was repaired
  kRefusedStart,  // the node did not start, and said why
  kRefusedRead,   // it started, and an answer was an error that says why
  kGaveUp,        // it started, and ended by itself, saying why
  kPoorRefusal,   // any of these, without naming the file and what to do
  kWrong,         // something is missing, or is not what was written
  kHung,
};

std::string_view NameOf(Verdict verdict);
bool Acceptable(Verdict verdict);

struct Finding {
  Verdict verdict = Verdict::kRight;
  std::string text;  // the error, or what is wrong
};

class Subject {
 public:
  // What a stopped node may leave behind.
  struct State {
    std::string name;
    Image image;
    // Entries of the log, by group. Those from `durable_entries` on are of a write that was under
    // way when the process was killed: they may be gone.
    std::vector<raft::Entry> entries;
    std::size_t durable_entries = 0;
  };

  // Runs a node, writes, and stops it in several ways.
  Subject();

  const std::vector<State>& states() const { return states_; }

  // Starts a node on a damaged copy of the state's image and reads everything back.
  Finding Examine(const State& state, const Image& image, const Damage& damage) const;

 private:
  struct Answered {
    std::string command;
    Timestamp timestamp;
  };

  void Fill(fuzz::LoneNode& node);
  void Write(fuzz::LoneNode& node, const kv::CommandView& command);
  void AddState(const std::string& name, Image image, bool killed);
  Finding ExamineLog(const State& state, const Image& image, const Damage& damage) const;
  Finding ExamineNode(const Image& image, const Damage& damage) const;
  std::optional<Finding> Compare(fuzz::LoneNode& node, const Damage& damage) const;

  std::vector<State> states_;
  std::vector<kv::ScanRow> rows_;
  std::vector<Answered> answered_;  // exactly-once writes, and their first answers
};

}  // namespace flotilla::corruption
