#include "cmd/kvctl/mistakes.h"

#include <gtest/gtest.h>

namespace flotilla::kvctl {
namespace {

TEST(KvctlMistakes, FindsWhatWasProbablyMeant) {
  const std::vector<std::string> commands = {"put", "get", "status", "member"};
  EXPECT_EQ(Nearest("stauts", commands), "status");
  EXPECT_EQ(Nearest("membre", commands), "member");
  EXPECT_EQ(Nearest("pot", commands), "put");
  EXPECT_EQ(Nearest("frobnicate", commands), "");
}

}  // namespace
}  // namespace flotilla::kvctl
