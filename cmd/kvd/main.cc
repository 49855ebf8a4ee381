// kvd: one node of a Flotilla cluster.

#include <absl/synchronization/mutex.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cmd/kvd/config.h"
#include "cmd/kvd/server.h"

extern char** environ;

namespace flotilla {
namespace {

constexpr char kVersion[] = "flotilla 0.1.0";
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

std::map<std::string, std::string> FlotillaVariables() {
  std::map<std::string, std::string> variables;
  for (char** one = environ; *one != nullptr; ++one) {
    const std::string text(*one);
    const std::size_t equals = text.find('=');
    if (text.starts_with("FLOTILLA_") && equals != std::string::npos) {
      variables[text.substr(0, equals)] = text.substr(equals + 1);
    }
  }
  return variables;
}

int Run(const Config& config) {
  // Debian's abseil has every mutex of gRPC's watched for the order in which it is locked.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT}) sigaddset(&signals, signal);
  // Before any thread starts, so that all of them leave the signals to this one.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  auto server = Server::Start(config, kVersion, [](const Status& status) {
    // The disk cannot be trusted any more: what was acknowledged is on other disks, and this
    // process must not say another word.
    std::fprintf(stderr, "error: %s\n", std::string(MessageOf(status)).c_str());
    std::fflush(stderr);
    std::_Exit(kExitFailed);
  });
  if (!server.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(MessageOf(server.status())).c_str());
    return kExitFailed;
  }
  int signal = 0;
  sigwait(&signals, &signal);
  (*server)->Stop();
  return 0;
}

}  // namespace
}  // namespace flotilla

int main(int argc, char** argv) {
  using flotilla::ConfigResult;
  const ConfigResult loaded =
      flotilla::LoadConfig(std::vector<std::string>(argv + 1, argv + argc),
                           flotilla::FlotillaVariables(), flotilla::kVersion);
  for (const std::string& mistake : loaded.mistakes) {
    std::fprintf(stderr, "error: %s\n", mistake.c_str());
  }
  if (!loaded.mistakes.empty()) return flotilla::kExitUsage;
  std::fputs(loaded.text.c_str(), stdout);
  return loaded.action == ConfigResult::Action::kRun ? flotilla::Run(loaded.config) : 0;
}
