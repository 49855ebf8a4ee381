// Builds on nothing but its command line: runs the example program against a small server.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "tests/client/memory_server.h"

namespace {

std::string program;

TEST(ClientExample, RunsToItsEnd) {
  flotilla::client::MemoryServer server;
  const std::string command = program + " --endpoints " + server.address() + " 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  char buffer[256];
  while (fgets(buffer, sizeof buffer, pipe) != nullptr) output += buffer;
  EXPECT_EQ(pclose(pipe), 0) << output;
  EXPECT_NE(output.find("an apple is red"), std::string::npos) << output;
  EXPECT_NE(output.find("the counter stands at 3"), std::string::npos) << output;
  EXPECT_NE(output.find("example/fruit/cherry is dark red"), std::string::npos) << output;
  EXPECT_NE(output.find("removed 4 keys"), std::string::npos) << output;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1) program = argv[1];
  return RUN_ALL_TESTS();
}
