// kvctl's administration, completion and version.
#include <gtest/gtest.h>

#include "cmd/kvctl/app.h"
#include "tests/client/memory_server.h"
#include "tests/cmd/kvctl/kvctl_run.h"

namespace flotilla::kvctl {
namespace {

TEST(KvctlStatus, TableOfAllNodes) {
  client::MemoryServer server;
  const Outcome status = Kvctl(server.address(), {"status"});
  EXPECT_EQ(status.exit_code, 0) << status.err;
  EXPECT_NE(status.out.find("NODE  ADDRESS"), std::string::npos);
  EXPECT_NE(status.out.find("n1    " + server.address()), std::string::npos) << status.out;
  EXPECT_NE(status.out.find("leader"), std::string::npos);
  EXPECT_NE(status.out.find("healthy\n"), std::string::npos);
}

TEST(KvctlStatus, JsonHasEveryNumberAsAString) {
  client::MemoryServer server;
  const Outcome status = Kvctl(server.address(), {"status", "-o", "json"});
  EXPECT_EQ(status.out.find(R"({"healthy":true,"problems":[],"cluster_id":"77","leader_id":"1",)"),
            0u)
      << status.out;
  EXPECT_NE(status.out.find(R"("commit_index":"1234")"), std::string::npos);
  EXPECT_NE(status.out.find(R"("lag":"4")"), std::string::npos);
}

TEST(KvctlMember, ListShowsThem) {
  client::MemoryServer server;
  const Outcome list = Kvctl(server.address(), {"member", "list"});
  EXPECT_EQ(list.out, "1\t" + server.address() + "\tvoter\n");
  EXPECT_NE(Kvctl(server.address(), {"member", "list", "-o", "json"}).out.find("\"voter\":true"),
            std::string::npos);
}

TEST(KvctlMember, AnErrorOfTheServerIsTold) {
  client::MemoryServer server;  // knows no such call
  const Outcome added = Kvctl(server.address(), {"member", "add", "h:1"});
  EXPECT_EQ(added.exit_code, 1);
  EXPECT_EQ(added.err.find("error: "), 0u);
  EXPECT_EQ(Kvctl(server.address(), {"member", "remove", "h:1"}).exit_code, 1);
}

TEST(KvctlCompletion, OffersCommandsAndFlags) {
  EXPECT_EQ(Complete({"sta"}), std::vector<std::string>{"status"});
  EXPECT_EQ(Complete({"member", "re"}), std::vector<std::string>{"remove"});
  EXPECT_EQ(Complete({"put", "--tt"}), std::vector<std::string>{"--ttl"});
  EXPECT_EQ(Complete({"scan", "--pre"}), std::vector<std::string>{"--prefix"});
  EXPECT_GT(Complete({""}).size(), 10u);
  EXPECT_TRUE(Complete({"zzz"}).empty());
}

TEST(KvctlCompletion, ScriptsForThreeShells) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Outcome script = Kvctl("h:1", {"completion", shell});
    EXPECT_EQ(script.exit_code, 0);
    EXPECT_NE(script.out.find("kvctl __complete"), std::string::npos);
  }
  EXPECT_EQ(Kvctl("h:1", {"version"}).out.find("kvctl "), 0u);
}

}  // namespace
}  // namespace flotilla::kvctl
