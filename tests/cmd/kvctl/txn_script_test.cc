#include "cmd/kvctl/txn_script.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace flotilla::kvctl {
namespace {

using Words = std::vector<std::string>;

TEST(TxnScript, SemicolonsSeparateCommandsOutsideOfQuotes) {
  EXPECT_EQ(CommandsOf("get a; put b 'c;d';commit"), (Words{"get a", " put b 'c;d'", "commit"}));
  EXPECT_EQ(CommandsOf(R"(put "a\";b" \;x; commit)"), (Words{R"(put "a\";b" \;x)", " commit"}));
  EXPECT_EQ(CommandsOf("get a; # b; c"), (Words{"get a", " "}));
  EXPECT_EQ(CommandsOf("put a#b '#'; get a"), (Words{"put a#b '#'", " get a"}));
  EXPECT_EQ(CommandsOf(""), (Words{""}));
}

TEST(TxnScript, TabKnowsCommandsAndLevels) {
  EXPECT_EQ(TxnScript::Complete({"co"}), (Words{"commit"}));
  EXPECT_EQ(TxnScript::Complete({"begin", "read-c"}), (Words{"read-committed"}));
  EXPECT_EQ(TxnScript::Complete({"rollback", ""}), (Words{"to"}));
  EXPECT_EQ(TxnScript::Complete({"get", "k"}), Words{});
}

TEST(TxnScript, MistakesNeedNoCluster) {
  Session session(stdout, stderr);
  TxnScript script(session, {}, /*interactive=*/false);
  for (const char* mistake :
       {"begin so", "get", "put a", "put a b c", "delete", "scan a b c", "savepoint", "commit now",
        "commit", "rollback", "rollback from s", "jump", "get 'a"}) {
    EXPECT_EQ(ReasonOf(script.Run(mistake)), Reason::kBadRequest) << mistake;
  }
  for (const char* nothing : {"", "  ", "# get"}) EXPECT_TRUE(script.Run(nothing).ok()) << nothing;
  EXPECT_TRUE(script.Finish().ok());
  EXPECT_FALSE(IsolationNamed("strict").ok());
  EXPECT_EQ(*IsolationNamed("repeatable-read"), client::Isolation::kRepeatableRead);
}

}  // namespace
}  // namespace flotilla::kvctl
