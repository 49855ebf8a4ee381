// kvctl: the tool for people and scripts. See README.md.
#include <cstdio>
#include <string>
#include <vector>

#include "cmd/kvctl/app.h"

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  // Completion scripts ask with what has been typed so far, which need not make sense.
  if (!words.empty() && words.front() == "__complete") {
    for (const std::string& candidate :
         flotilla::kvctl::Complete({words.begin() + 1, words.end()})) {
      std::puts(candidate.c_str());
    }
    return 0;
  }
  flotilla::kvctl::Session session(stdout, stderr);
  return flotilla::kvctl::RunCommandLine(session, words);
}
