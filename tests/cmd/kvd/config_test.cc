#include "cmd/kvd/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace flotilla {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;
using Action = ConfigResult::Action;
using Words = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

class ConfigTest : public ::testing::Test {
 protected:
  ~ConfigTest() override { std::remove(path_.c_str()); }

  // Writes the file that --config names.
  void WriteFile(const std::string& text) { std::ofstream(path_) << text; }

  ConfigResult Load(Words words, const Variables& variables = {}) const {
    return LoadConfig(words, variables, "flotilla 1.2.3");
  }
  // With the file, and what a cluster of one needs.
  ConfigResult LoadFile(Words words = {}, const Variables& variables = {}) const {
    words.insert(words.end(), {"--config", path_, "--bootstrap-expect", "1"});
    return Load(words, variables);
  }

  const std::string path_ = ::testing::TempDir() + "kvd_config_" + std::to_string(getpid());
};

TEST_F(ConfigTest, DefaultsHoldWhenNothingIsSaid) {
  const ConfigResult got = Load({"--bootstrap-expect", "1"});
  EXPECT_THAT(got.mistakes, IsEmpty());
  EXPECT_EQ(got.action, Action::kRun);
  EXPECT_EQ(got.config.data_dir, "flotilla-data");
  EXPECT_EQ(got.config.listen, "127.0.0.1:7101");
  EXPECT_EQ(got.config.http_listen, "127.0.0.1:7201");
  EXPECT_EQ(got.config.advertise, got.config.listen);
  EXPECT_EQ(got.config.bootstrap_expect, 1u);
  EXPECT_TRUE(got.config.promote_joined);
  EXPECT_FALSE(got.config.leases);
  EXPECT_EQ(got.config.election_timeout, std::chrono::milliseconds(150));
  EXPECT_EQ(got.config.replace_after, std::chrono::minutes(5));
  EXPECT_EQ(got.config.quiesce_after, std::chrono::seconds(3));
  EXPECT_EQ(got.config.block_cache, 0u);
  EXPECT_EQ(got.config.requests_max, 100'000u);
  EXPECT_EQ(got.config.log_format, LogFormat::kText);
}

TEST_F(ConfigTest, VariablesWinOverTheFileAndFlagsOverBoth) {
  WriteFile("data_dir = \"file\"\nlog_level = \"debug\"\nreplace_after = \"1m\"\n");
  const ConfigResult got = LoadFile({"--replace-after", "3m"}, {{"FLOTILLA_LOG_LEVEL", "warning"},
                                                                {"FLOTILLA_REPLACE_AFTER", "2m"}});
  ASSERT_THAT(got.mistakes, IsEmpty());
  EXPECT_EQ(got.config.data_dir, "file");
  EXPECT_EQ(got.config.log_level, "warning");
  EXPECT_EQ(got.config.replace_after, std::chrono::minutes(3));
}

TEST_F(ConfigTest, TheFlagForTheFileWinsOverTheVariable) {
  WriteFile("data_dir = \"right\"\n");
  EXPECT_EQ(LoadFile({}, {{"FLOTILLA_CONFIG", "/nowhere"}}).config.data_dir, "right");
  const ConfigResult got = Load({"--bootstrap-expect=1"}, {{"FLOTILLA_CONFIG", path_}});
  EXPECT_THAT(got.mistakes, IsEmpty());
  EXPECT_EQ(got.config.data_dir, "right");
}

TEST_F(ConfigTest, EveryKindOfValueIsReadFromTheFile) {
  WriteFile(
      "wal_segment = \"2MiB\"\nleases = true\nthreads = 7\nlog_format = \"json\"\n"
      "join = [\"a:1\", \"b:2\"]\nelection_timeout = \"1s\"\nblock_cache = 4096\n");
  const ConfigResult got = LoadFile();
  ASSERT_THAT(got.mistakes, IsEmpty());
  EXPECT_EQ(got.config.wal_segment, 2u << 20);
  EXPECT_TRUE(got.config.leases);
  EXPECT_EQ(got.config.threads, 7u);
  EXPECT_EQ(got.config.log_format, LogFormat::kJson);
  EXPECT_THAT(got.config.join, ElementsAre("a:1", "b:2"));
  EXPECT_EQ(got.config.election_timeout, std::chrono::seconds(1));
  EXPECT_EQ(got.config.block_cache, 4096u);
}

TEST_F(ConfigTest, JoinTakesCommasAndRepetition) {
  EXPECT_THAT(Load({"--join", "a:1, b:2", "--join", "c:3"}).config.join,
              ElementsAre("a:1", "b:2", "c:3"));
}

TEST_F(ConfigTest, LabelsAndWeight) {
  const std::map<std::string, std::string> both{{"disk", "ssd"}, {"zone", "a"}};
  EXPECT_EQ(Load({"--labels", "zone=a, disk=ssd"}).config.labels, both);
  EXPECT_EQ(Load({"--labels", "zone=a", "--labels", "disk=ssd"}).config.labels, both);
  WriteFile("labels = [\"zone=a\", \"disk=ssd\"]\nweight = 250\n");
  const ConfigResult got = LoadFile();
  EXPECT_THAT(got.mistakes, IsEmpty());
  EXPECT_EQ(got.config.labels, both);
  EXPECT_EQ(got.config.weight, 250u);
  for (const char* bad : {"--labels=zone", "--labels==a", "--labels=zone=", "--labels=a=1,a=2",
                          "--weight=19", "--weight=1001", "--weight=-1", "--replace-after=9s",
                          "--split-size=1KiB", "--split-load=99"}) {
    EXPECT_THAT(Load({bad, "--bootstrap-expect=1"}).mistakes, SizeIs(1)) << bad;
  }
}

TEST_F(ConfigTest, ARepeatedFlagCountsAsItsLast) {
  const ConfigResult got = Load({"--bootstrap-expect=1", "--data-dir=a", "--data-dir=b"});
  EXPECT_THAT(got.mistakes, IsEmpty());
  EXPECT_EQ(got.config.data_dir, "b");
}

TEST_F(ConfigTest, UnknownNamesAreReportedWithTheLikelyOneAndWhereTheyStand) {
  WriteFile("\n  data_dirr = \"x\"\nsomething_else_entirely = 3\n");
  const ConfigResult got =
      LoadFile({"--lsten", "127.0.0.1:1", "--no-such-thing=5", "stray"}, {{"FLOTILLA_JION", "x"}});
  EXPECT_THAT(
      got.mistakes,
      UnorderedElementsAre(
          AllOf(StartsWith(path_ + ":2:3: unknown option `data_dirr`"),
                HasSubstr("did you mean `data_dir`?")),
          AllOf(StartsWith(path_ + ":3:1: unknown option"), Not(HasSubstr("did you mean"))),
          AllOf(StartsWith("FLOTILLA_JION: unknown"), HasSubstr("did you mean `FLOTILLA_JOIN`?")),
          AllOf(StartsWith("--lsten: unknown flag"), HasSubstr("did you mean `--listen`?")),
          AllOf(StartsWith("--no-such-thing: unknown flag"), Not(HasSubstr("did you mean"))),
          HasSubstr("`stray`: no argument is expected")));
}

TEST_F(ConfigTest, BadValuesNameWhereTheyStandAndWhatIsAccepted) {
  WriteFile("replace_after = \"5 parsecs\"\nblock_cache = \"1MB\"\nthreads = \"many\"\n");
  const ConfigResult got = LoadFile(
      {"--log-level", "loud", "--log-format", "xml", "--leases", "yes", "--memtable", "-1"},
      {{"FLOTILLA_REQUEST_TIMEOUT", "10"}});
  EXPECT_THAT(
      got.mistakes,
      UnorderedElementsAre(
          AllOf(StartsWith(path_ + ":1:1: replace-after: "), HasSubstr("150ms")),
          AllOf(StartsWith(path_ + ":2:1: block-cache: `1MB`"), HasSubstr("64MiB")),
          AllOf(StartsWith(path_ + ":3:1: threads: "), HasSubstr("whole number")),
          AllOf(StartsWith("FLOTILLA_REQUEST_TIMEOUT: "), HasSubstr("`10` is not a duration")),
          AllOf(StartsWith("--log-level: "), HasSubstr("trace, debug")),
          AllOf(StartsWith("--log-format: "), HasSubstr("neither text nor json")),
          AllOf(StartsWith("--leases: "), HasSubstr("neither true nor false")),
          AllOf(StartsWith("--memtable: "), HasSubstr("is not a size"))));
}

TEST_F(ConfigTest, ValuesOfTheWrongShapeAreRefusedWithTheirPlace) {
  WriteFile("threads = 1.5\n[replace_after]\nx = 1\n");
  EXPECT_THAT(LoadFile().mistakes,
              UnorderedElementsAre(
                  AllOf(StartsWith(path_ + ":1:1: `threads` takes"), HasSubstr("a whole number")),
                  StartsWith(path_ + ":2:")));
}

TEST_F(ConfigTest, AFileThatIsNotTomlIsOneMistakeWithItsPlace) {
  WriteFile("data_dir = \"a\"\nlisten = = 3\n");
  EXPECT_THAT(LoadFile().mistakes, ElementsAre(StartsWith(path_ + ":2:")));
}

TEST_F(ConfigTest, AFileThatCannotBeReadSaysSo) {
  EXPECT_THAT(Load({"--config", "/nowhere/kvd.toml", "--bootstrap-expect=1"}).mistakes,
              ElementsAre(AllOf(StartsWith("/nowhere/kvd.toml: "), HasSubstr("--config"))));
}

TEST_F(ConfigTest, CombinationsThatCannotWorkAreRefused) {
  const auto mistakes = [this](Words words) {
    words.push_back("--bootstrap-expect=1");
    return Load(words).mistakes;
  };
  EXPECT_THAT(mistakes({"--election-timeout=90ms", "--heartbeat-interval=50ms"}),
              ElementsAre(HasSubstr("--election-timeout: election-timeout: must be at least twice "
                                    "the heartbeat interval")));
  EXPECT_THAT(mistakes({"--heartbeat-interval=0"}), ElementsAre(HasSubstr("at least 1ms")));
  EXPECT_THAT(mistakes({"--election-timeout=5ms", "--heartbeat-interval=1ms"}),
              ElementsAre(HasSubstr("at least 15ms")));
  EXPECT_THAT(mistakes({"--request-timeout=0"}), ElementsAre(HasSubstr("above 0")));
  EXPECT_THAT(mistakes({"--requests-max=0"}), ElementsAre(HasSubstr("above 0")));
  EXPECT_THAT(mistakes({"--wal-segment=64KiB"}), ElementsAre(HasSubstr("at least 1MiB")));
  EXPECT_THAT(mistakes({"--data-dir", ""}), ElementsAre(HasSubstr("names no directory")));
  EXPECT_THAT(mistakes({"--listen=n1:1", "--http-listen=n1:1"}),
              ElementsAre(HasSubstr("`n1:1` is --listen already")));
  EXPECT_THAT(mistakes({"--listen=0.0.0.0:1"}),
              ElementsAre(AllOf(StartsWith("--listen: "), HasSubstr("--advertise"))));
  EXPECT_THAT(mistakes({"--advertise=[::]:1"}), ElementsAre(StartsWith("--advertise: ")));
  EXPECT_THAT(mistakes({"--listen=0.0.0.0:1", "--advertise=n1:1"}), IsEmpty());
}

TEST_F(ConfigTest, AddressesNeedAHostAndAPort) {
  for (const char* bad : {"n1", "n1:", ":7101", "n1:http", "n1:0", "n1:65536", "n1:1x"}) {
    for (const char* flag : {"--listen", "--http-listen", "--advertise", "--join"}) {
      EXPECT_THAT(Load({"--bootstrap-expect=1", flag, bad}).mistakes,
                  ElementsAre(AllOf(StartsWith(flag), HasSubstr("write HOST:PORT"))))
          << flag << " " << bad;
    }
  }
  EXPECT_THAT(Load({"--bootstrap-expect=1", "--listen", "[::1]:7101"}).mistakes, IsEmpty());
}

TEST_F(ConfigTest, ANodeThatKnowsNobodyMustBeToldToFound) {
  EXPECT_THAT(Load({}).mistakes, ElementsAre(HasSubstr("--bootstrap-expect")));
  EXPECT_THAT(Load({"--bootstrap-expect=3"}).mistakes,
              ElementsAre(HasSubstr("addresses to find them by")));
  EXPECT_THAT(Load({"--join=n1:1"}).mistakes, IsEmpty());
  EXPECT_THAT(Load({"--join=n1:1", "--bootstrap-expect=3"}).mistakes, IsEmpty());
}

TEST_F(ConfigTest, AllMistakesOfAllSourcesComeAtOnce) {
  WriteFile("replace_after = \"x\"\nunknown = 1\n");
  const ConfigResult got = Load({"--config", path_, "--threads=x", "--oops", "--wal-segment=1KiB"},
                                {{"FLOTILLA_MEMTABLE", "x"}, {"FLOTILLA_NOPE", ""}});
  EXPECT_THAT(got.mistakes, SizeIs(8)) << ::testing::PrintToString(got.mistakes);
}

// 150ms would be less than twice this heartbeat, but it is not what anybody asked for.
TEST_F(ConfigTest, ABadValueIsReportedOnceNotAgainByItsCombinations) {
  EXPECT_THAT(
      Load({"--bootstrap-expect=1", "--election-timeout=1", "--heartbeat-interval=500ms"}).mistakes,
      ElementsAre(HasSubstr("`1` is not a duration")));
  EXPECT_THAT(Load({"--bootstrap-expect=one"}).mistakes, ElementsAre(HasSubstr("whole number")));
}

TEST_F(ConfigTest, PrintConfigSaysWhatHoldsAndWhereItCameFrom) {
  WriteFile("\ndata_dir = \"a\\\"b\"\n");
  const ConfigResult got =
      LoadFile({"--print-config", "--replace-after=1h"}, {{"FLOTILLA_THREADS", "2"}});
  EXPECT_EQ(got.action, Action::kPrintConfig);
  const auto line = [&](const std::string& key) {
    const std::size_t at = got.text.find(key + " ");
    return at == std::string::npos ? "" : got.text.substr(at, got.text.find('\n', at) - at);
  };
  EXPECT_THAT(line("data_dir"), EndsWith("# " + path_ + ":2:1"));
  EXPECT_THAT(line("threads"), AllOf(HasSubstr("\"2\""), EndsWith("# FLOTILLA_THREADS")));
  EXPECT_THAT(line("replace_after"), AllOf(HasSubstr("\"1h\""), EndsWith("# --replace-after")));
  EXPECT_THAT(line("wal_segment"), AllOf(HasSubstr("\"64MiB\""), EndsWith("# default")));

  // And it is a file that says the same.
  WriteFile(got.text);
  const ConfigResult again = Load({"--config", path_});
  EXPECT_THAT(again.mistakes, IsEmpty());
  EXPECT_EQ(again.config.data_dir, "a\"b");
  EXPECT_EQ(again.config.replace_after, std::chrono::hours(1));
}

TEST_F(ConfigTest, CheckConfigOnlyChecks) {
  EXPECT_EQ(Load({"--check-config", "--bootstrap-expect=1"}).action, Action::kCheckConfig);
  EXPECT_THAT(Load({"--check-config"}).mistakes, SizeIs(1));
}

TEST_F(ConfigTest, HelpAndVersionEndAtOnce) {
  const ConfigResult help = Load({"--help"});
  EXPECT_EQ(help.action, Action::kExit);
  EXPECT_THAT(help.text, AllOf(HasSubstr("--data-dir"), HasSubstr("[flotilla-data]")));
  const ConfigResult version = Load({"--version"});
  EXPECT_EQ(version.action, Action::kExit);
  EXPECT_EQ(version.text, "flotilla 1.2.3\n");
}

TEST_F(ConfigTest, AFlagWithoutItsValueIsAMistake) {
  EXPECT_THAT(Load({"--bootstrap-expect=1", "--data-dir"}).mistakes,
              ElementsAre(AllOf(HasSubstr("--data-dir"), HasSubstr("kvd --help"))));
}

}  // namespace
}  // namespace flotilla
