// flotilla_corruption: damages data directories at random, and sees what a node makes of each.
//
//   --trials N    one byte of one file each; a fifth as many with worse damage follow
//   --trial I     one of them, with all that is known about it
//
// Trials run in child processes, so that a signal or a hang is a finding, too.

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <map>
#include <set>
#include <vector>

#include "base/check.h"
#include "tests/corruption/subject.h"

namespace flotilla::corruption {
namespace {

constexpr unsigned kTrialSecondsMax = 60;

struct Trial {
  std::uint64_t number = 0;
  bool single_byte = true;
};

struct Tally {
  std::map<FileKind, std::map<Verdict, int>> counts;
  int failures = 0;
};

Finding RunTrial(const Subject& subject, const Trial& trial, Damage& damage) {
  const Subject::State& state = subject.states()[trial.number % subject.states().size()];
  Image image = state.image;
  damage = DamageImage(trial.number, trial.single_byte, image);
  damage.text += fmt::format(" ({})", state.name);
  return subject.Examine(state, image, damage);
}

class Runner {
 public:
  Runner(const Subject& subject, bool verbose) : subject_(subject), verbose_(verbose) {
    void* const memory =
        mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    shared_ = new (memory) Shared();
  }

  // Runs all; a child that dies is followed by one for the rest.
  Tally Run(const std::vector<Trial>& trials) {
    for (std::size_t next = 0; next < trials.size();) {
      shared_->at.store(next);
      std::fflush(stdout);
      const pid_t child = fork();
      CHECK_GE(child, 0);
      if (child == 0) RunChild(trials, next);
      int ended = 0;
      CHECK_EQ(waitpid(child, &ended, 0), child);
      next = shared_->at.load();
      if (next == trials.size()) break;
      Damage damage;
      Image image = subject_.states()[trials[next].number % subject_.states().size()].image;
      damage = DamageImage(trials[next].number, trials[next].single_byte, image);
      const bool hung = WIFSIGNALED(ended) && WTERMSIG(ended) == SIGALRM;
      Note(trials[next], damage,
           {hung ? Verdict::kHung : Verdict::kWrong,
            hung ? "no end within a minute" : fmt::format("the process died (status {})", ended)});
      ++next;
    }
    Tally tally;
    for (std::size_t file = 0; file < kKinds; ++file) {
      for (std::size_t verdict = 0; verdict < kVerdicts; ++verdict) {
        const int count = shared_->counts[file][verdict].load();
        if (count == 0) continue;
        tally.counts[static_cast<FileKind>(file)][static_cast<Verdict>(verdict)] = count;
        if (!Acceptable(static_cast<Verdict>(verdict))) tally.failures += count;
      }
    }
    return tally;
  }

 private:
  static constexpr std::size_t kKinds = static_cast<std::size_t>(FileKind::kOther) + 1;
  static constexpr std::size_t kVerdicts = static_cast<std::size_t>(Verdict::kHung) + 1;
  struct Shared {
    std::atomic<std::size_t> at{0};
    std::atomic<int> counts[kKinds][kVerdicts]{};
  };

  [[noreturn]] void RunChild(const std::vector<Trial>& trials, std::size_t first) {
    for (std::size_t i = first; i < trials.size(); ++i) {
      shared_->at.store(i);
      alarm(kTrialSecondsMax);
      Damage damage;
      const Finding finding = RunTrial(subject_, trials[i], damage);
      Note(trials[i], damage, finding);
    }
    shared_->at.store(trials.size());
    std::fflush(stdout);
    _exit(0);
  }

  void Note(const Trial& trial, const Damage& damage, const Finding& finding) {
    ++shared_->counts[static_cast<std::size_t>(damage.file)]
                     [static_cast<std::size_t>(finding.verdict)];
    if (Acceptable(finding.verdict) && !verbose_) return;
    fmt::print("{} {}: {}: {}\n    {}\n", trial.single_byte ? "trial" : "worse trial", trial.number,
               damage.text, NameOf(finding.verdict), finding.text);
    if (!Acceptable(finding.verdict)) {
      fmt::print("    replay: flotilla_corruption --trial {}{}\n", trial.number,
                 trial.single_byte ? "" : " --worse");
    }
    std::fflush(stdout);
  }

  const Subject& subject_;
  const bool verbose_;
  Shared* shared_ = nullptr;
};

int Print(const Tally& tally, std::size_t trials) {
  for (const auto& [file, verdicts] : tally.counts) {
    fmt::print("{:<14}", NameOf(file));
    for (const auto& [verdict, count] : verdicts) fmt::print("  {}: {}", NameOf(verdict), count);
    fmt::print("\n");
  }
  fmt::print("{} trials, {} bad ends\n", trials, tally.failures);
  return tally.failures == 0 ? 0 : 1;
}

}  // namespace

int Main(int argc, char** argv) {
  CLI::App app{"Damages data directories at random, and sees what a node makes of each."};
  std::uint64_t count = 500;
  std::uint64_t one = 0;
  bool worse = false;
  bool verbose = false;
  app.add_option("--trials", count, "with one byte changed; a fifth as many with worse damage");
  app.add_option("--trial", one, "this one alone, from 1");
  app.add_flag("--worse", worse, "the one is of those with worse damage");
  app.add_flag("--verbose", verbose, "say how each ended");
  CLI11_PARSE(app, argc, argv);

  std::vector<Trial> trials;
  if (one != 0) {
    trials.push_back({.number = one, .single_byte = !worse});
  } else {
    for (std::uint64_t i = 1; i <= count; ++i) trials.push_back({.number = i, .single_byte = true});
    for (std::uint64_t i = 1; i <= count / 5; ++i) {
      trials.push_back({.number = i, .single_byte = false});
    }
  }
  const Subject subject;
  return Print(Runner(subject, verbose || one != 0).Run(trials), trials.size());
}

}  // namespace flotilla::corruption

int main(int argc, char** argv) { return flotilla::corruption::Main(argc, argv); }
