#include "cmd/kvctl/table.h"

#include <gtest/gtest.h>

namespace flotilla::kvctl {
namespace {

TEST(KvctlTable, ColumnsAreAsWideAsTheyMustBe) {
  Table table({"node", ">lag", "note"});
  table.Add({"n1", "5", "x"});
  table.Add({"n1000", "12345", ""});
  EXPECT_EQ(table.Render(false),
            "NODE     LAG  NOTE\n"
            "n1         5  x\n"
            "n1000  12345\n");
}

TEST(KvctlTable, ColourAndUnicodeDoNotShiftColumns) {
  Table table({"a", "b"});
  table.Add({"\033[31mred\033[0m", "x"});
  table.Add({"gr\xc3\xbcn", "y"});
  EXPECT_EQ(table.Render(false), "A     B\n\033[31mred\033[0m   x\ngr\xc3\xbcn  y\n");
}

}  // namespace
}  // namespace flotilla::kvctl
