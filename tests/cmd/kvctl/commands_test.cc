// kvctl's data commands, against a small server in this process: output, exit codes, mistakes.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "tests/client/memory_server.h"
#include "tests/cmd/kvctl/kvctl_run.h"

namespace flotilla::kvctl {
namespace {

class KvctlCommands : public testing::Test {
 protected:
  Outcome Run(const std::vector<std::string>& words) { return Kvctl(server_.address(), words); }

  std::string File(const std::string& content) {
    const std::string path = testing::TempDir() + "/kvctl_commands_test";
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  client::MemoryServer server_;
};

TEST_F(KvctlCommands, PutThenGetTheValueAlone) {
  Outcome put = Run({"put", "k", "v"});
  EXPECT_EQ(put.exit_code, 0) << put.err;
  EXPECT_EQ(put.out, "ok\n");
  const Outcome get = Run({"get", "k"});
  EXPECT_EQ(get.exit_code, 0);
  EXPECT_EQ(get.out, "v");
  EXPECT_EQ(get.err, "");
}

TEST_F(KvctlCommands, TheFlagsOfAShellGoBeforeTheEnvironment) {
  setenv("KVCTL_ENDPOINTS", "127.0.0.1:1", /*overwrite=*/1);
  const Outcome put = KvctlShellLine(server_.address(), {"put", "k", "v"});
  unsetenv("KVCTL_ENDPOINTS");
  EXPECT_EQ(put.exit_code, 0) << put.err;
}

TEST_F(KvctlCommands, AMissingKeyHasItsOwnExitCode) {
  const Outcome get = Run({"get", "nope"});
  EXPECT_EQ(get.exit_code, 3);
  EXPECT_EQ(get.out, "");
  EXPECT_NE(get.err.find("error: key nope does not exist\nhint:  "), std::string::npos) << get.err;
  EXPECT_EQ(Run({"delete", "nope"}).exit_code, 3);
}

TEST_F(KvctlCommands, JsonOfGet) {
  Run({"put", "k1", "v"});
  const Outcome get = Run({"get", "k1", "-o", "json"});
  EXPECT_EQ(get.out.find(R"({"key":"azE=","key_text":"k1","found":true,"value":"dg==",)"
                         R"("value_text":"v","version":")"),
            0u)
      << get.out;
  EXPECT_EQ(Run({"get", "x", "-o", "json"}).out,
            "{\"key\":\"eA==\",\"key_text\":\"x\",\"found\":false}\n");
}

TEST_F(KvctlCommands, SeveralKeysAtOnce) {
  Run({"put", "a", "1"});
  Run({"put", "b", "2"});
  const Outcome both = Run({"get", "a", "b"});
  EXPECT_EQ(both.out, "a\t1\nb\t2\n");
  EXPECT_EQ(both.exit_code, 0);
  const Outcome one = Run({"get", "a", "c", "-o", "table"});
  EXPECT_EQ(one.exit_code, 3);
  EXPECT_NE(one.out.find("KEY  VALUE"), std::string::npos);
  EXPECT_NE(one.out.find("(not found)"), std::string::npos);
}

TEST_F(KvctlCommands, ValuesFromFilesAreTakenByteForByte) {
  const std::string binary("\0\xff\n\r\0", 5);
  const std::string path = File(binary);
  EXPECT_EQ(Run({"put", "k", "--file", path}).exit_code, 0);
  EXPECT_EQ(Run({"get", "k"}).out, binary);
  EXPECT_EQ(Run({"put", "k", "--file", path + ".missing"}).exit_code, 2);
  EXPECT_EQ(Run({"put", "k", "v", "--file", path}).exit_code, 2);
  EXPECT_EQ(Run({"put", "k"}).exit_code, 2);
}

TEST_F(KvctlCommands, HexBothWays) {
  EXPECT_EQ(Run({"--hex", "put", "00ff", "0a"}).exit_code, 0);
  EXPECT_EQ(Run({"get", "00ff", "--hex"}).out, "0a\n");
  EXPECT_EQ(Run({"scan", "--hex"}).out, "00ff\t0a\n");
  EXPECT_EQ(Run({"--hex", "get", "xyz"}).exit_code, 2);
}

TEST_F(KvctlCommands, CasTellsAConflictAndTheActualVersion) {
  EXPECT_EQ(Run({"cas", "k", "v1", "--if-absent"}).exit_code, 0);
  const Outcome again = Run({"cas", "k", "v2", "--if-absent"});
  EXPECT_EQ(again.exit_code, 4);
  EXPECT_NE(again.err.find("hint:  the key is at version "), std::string::npos) << again.err;
  EXPECT_EQ(Run({"cas", "k", "v2", "--if-value", "v1"}).exit_code, 0);
  EXPECT_EQ(Run({"cas", "k", "v3", "--if-version", "1"}).exit_code, 4);
  EXPECT_EQ(Run({"cas", "k", "--delete", "--if-exists"}).exit_code, 0);
  EXPECT_EQ(Run({"get", "k"}).exit_code, 3);
  EXPECT_EQ(Run({"cas", "k", "v"}).exit_code, 2);
  EXPECT_EQ(Run({"cas", "k", "v", "--if-absent", "--if-exists"}).exit_code, 2);
}

TEST_F(KvctlCommands, ScanInEveryFormat) {
  for (const char* key : {"a/1", "a/2", "a/3", "b/1"}) Run({"put", key, "v"});
  EXPECT_EQ(Run({"scan", "--prefix", "a/"}).out, "a/1\tv\na/2\tv\na/3\tv\n");
  EXPECT_EQ(Run({"scan", "--prefix", "a/", "--limit", "2", "--reverse", "--keys-only"}).out,
            "a/3\na/2\n");
  EXPECT_EQ(Run({"scan", "--from", "a/2", "--to", "b"}).out, "a/2\tv\na/3\tv\n");
  const Outcome json = Run({"scan", "--prefix", "b", "-o", "json"});
  EXPECT_NE(json.out.find(R"("key_text":"b/1")"), std::string::npos);
  EXPECT_NE(json.out.find(R"("count":"1","complete":true)"), std::string::npos);
  EXPECT_NE(Run({"scan", "-o", "table"}).out.find("KEY  VALUE"), std::string::npos);
  EXPECT_EQ(Run({"scan", "--prefix", "a", "--from", "b"}).exit_code, 2);
}

TEST_F(KvctlCommands, DeleteByKeyPrefixAndRange) {
  for (const char* key : {"a/1", "a/2", "b/1", "c"}) Run({"put", key, "v"});
  EXPECT_EQ(Run({"delete", "c"}).out, "ok\n");
  EXPECT_EQ(Run({"delete", "--prefix", "a/"}).out, "deleted 2\n");
  EXPECT_EQ(Run({"delete", "--from", "b", "--to", "c", "-o", "json"}).out, "{\"deleted\":\"1\"}\n");
  EXPECT_EQ(Run({"delete"}).exit_code, 2);
  EXPECT_EQ(Run({"delete", "k", "--prefix", "a"}).exit_code, 2);
}

TEST_F(KvctlCommands, BatchFromAFile) {
  Run({"put", "gone", "v"});
  const std::string path =
      File("# a comment\nput a 'one two'\n\nput b \"x\\ty\"\ndelete gone\ndelete-range y z\n");
  const Outcome batch = Run({"batch", "-f", path});
  EXPECT_EQ(batch.out, "ok: 4 operations\n") << batch.err;
  EXPECT_EQ(Run({"get", "a"}).out, "one two");
  EXPECT_EQ(Run({"get", "b"}).out, "x\ty");
  EXPECT_EQ(Run({"get", "gone"}).exit_code, 3);
  const Outcome wrong = Run({"batch", "-f", File("put a 1\nput b\n")});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_NE(wrong.err.find(":2: expected"), std::string::npos) << wrong.err;
}

TEST_F(KvctlCommands, KeysThatLookLikeFlagsOrCommandsWork) {
  EXPECT_EQ(Run({"put", "--", "-k", "-v"}).exit_code, 0);
  EXPECT_EQ(Run({"get", "--", "-k"}).out, "-v");
  EXPECT_EQ(Run({"put", "status", "get"}).exit_code, 0);
  EXPECT_EQ(Run({"get", "status"}).out, "get");
  EXPECT_EQ(Run({"put", "empty", ""}).exit_code, 0);
  EXPECT_EQ(Run({"get", "empty"}).exit_code, 0);
}

TEST_F(KvctlCommands, BenchRemovesItsKeys) {
  const Outcome bench = Run({"bench", "--duration", "50ms", "--outstanding", "4", "--keys", "10"});
  EXPECT_EQ(bench.exit_code, 0) << bench.err;
  EXPECT_NE(bench.out.find("per second"), std::string::npos);
  EXPECT_EQ(Run({"scan"}).out, "");
}

TEST(KvctlMistakesOnTheCommandLine, AreOneLineAndWhereToReadOn) {
  const Outcome flag = Kvctl("127.0.0.1:1", {"put", "a", "b", "--outpt", "json"});
  EXPECT_EQ(flag.exit_code, 2);
  EXPECT_EQ(flag.err,
            "error: unknown option --outpt; did you mean --output?\n"
            "hint:  see `kvctl put --help`\n");
  EXPECT_EQ(Kvctl("127.0.0.1:1", {"stauts"}).exit_code, 2);
  EXPECT_EQ(Kvctl("127.0.0.1:1", {}).exit_code, 2);
  EXPECT_EQ(Kvctl("127.0.0.1:1", {"get", "k", "-o", "xml"}).exit_code, 2);
  EXPECT_EQ(Kvctl("127.0.0.1:1", {"get", "k", "--timeout", "soon"}).exit_code, 2);
  EXPECT_EQ(Kvctl("nowhere", {"get", "k"}).exit_code, 2);
  EXPECT_EQ(Kvctl("127.0.0.1:1", {"put", "--help"}).exit_code, 0);
}

TEST(KvctlUnreachable, NamesTheAddressAndTheSystemsError) {
  const Outcome get = Kvctl("127.0.0.1:1", {"get", "k"});
  EXPECT_EQ(get.exit_code, 5);
  EXPECT_NE(get.err.find("127.0.0.1:1: Connection refused"), std::string::npos) << get.err;
  EXPECT_NE(get.err.find("hint:"), std::string::npos);
  EXPECT_EQ(Kvctl("127.0.0.1:1", {"status"}).exit_code, 5);
  EXPECT_EQ(Kvctl("127.0.0.1:1", {"member", "list"}).exit_code, 5);
}

}  // namespace
}  // namespace flotilla::kvctl
