#include "cmd/kvd/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>
#include <sstream>

namespace flotilla {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

struct Sample {
  std::string name;
  std::string labels;
  double value = 0;
};

// What a scrape would make of the page, held to the letter of the text format 0.0.4.
class Page {
 public:
  explicit Page(const std::string& text) {
    EXPECT_TRUE(text.ends_with('\n'));
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) Read(line);
  }

  double Value(const std::string& name, const std::string& labels = "") const {
    for (const Sample& sample : samples_) {
      if (sample.name == name && sample.labels == labels) return sample.value;
    }
    ADD_FAILURE() << "no sample " << name << "{" << labels << "}";
    return -1;
  }
  const std::vector<Sample>& samples() const { return samples_; }
  const std::map<std::string, std::string>& types() const { return types_; }

 private:
  void Read(const std::string& line) {
    static const std::regex help("# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)");
    static const std::regex type(
        "# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)");
    static const std::regex sample(
        "([a-zA-Z_:][a-zA-Z0-9_:]*)(\\{(([a-zA-Z_][a-zA-Z0-9_]*=\"([^\"\\\\]|\\\\.)*\",?)+)\\})? "
        "([-+]?[0-9.]+(e[-+]?[0-9]+)?|[+-]Inf|NaN)");
    std::smatch match;
    if (std::regex_match(line, match, help)) {
      EXPECT_TRUE(helped_.insert(match[1]).second) << "twice: " << line;
    } else if (std::regex_match(line, match, type)) {
      EXPECT_TRUE(types_.emplace(match[1], match[2]).second) << "twice: " << line;
      family_ = match[1];
    } else if (std::regex_match(line, match, sample)) {
      samples_.push_back({match[1], match[3], std::stod(match[6])});
      EXPECT_TRUE(seen_.insert(match[1].str() + match[2].str()).second) << "twice: " << line;
      EXPECT_TRUE(helped_.contains(family_) && OfFamily(match[1])) << line;
    } else {
      ADD_FAILURE() << "not a line of the format: " << line;
    }
  }

  bool OfFamily(const std::string& name) const {
    if (types_.at(family_) != "histogram") return name == family_;
    return name == family_ + "_bucket" || name == family_ + "_sum" || name == family_ + "_count";
  }

  std::set<std::string> helped_;
  std::map<std::string, std::string> types_;
  std::set<std::string> seen_;
  std::string family_;
  std::vector<Sample> samples_;
};

NodeInfo BusyNode() {
  NodeInfo node;
  node.node = NodeId(3);
  node.log.segments = 4;
  node.log.appended_bytes = 1'000'000'000'000;
  node.log.sync_time_total = std::chrono::milliseconds(1500);
  for (const std::uint64_t id : {1, 2}) {
    GroupInfo& group = node.groups.emplace_back();
    group.group = GroupId(id);
    group.core.role = id == 2 ? raft::Role::kLeader : raft::Role::kFollower;
    group.core.term = raft::Term(7);
    group.core.last = raft::Index(100);
    if (id == 1) continue;
    for (const std::uint64_t follower : {1, 2}) {
      raft::FollowerProgress progress;
      progress.node = NodeId(follower);
      progress.match = raft::Index(90 + follower);
      group.core.followers.push_back(progress);
    }
  }
  return node;
}

TEST(MetricsPage, AFreshNodeIsAValidPage) {
  const Page page(MetricsPage::Render(RequestMetrics(), NodeInfo()));
  EXPECT_EQ(page.Value("flotilla_node_id"), 0);
  EXPECT_EQ(page.Value("flotilla_requests_total", "method=\"Get\",result=\"ok\""), 0);
  EXPECT_GT(page.Value("process_cpu_seconds_total"), 0);
  EXPECT_GT(page.Value("process_resident_memory_bytes"), 1 << 20);
}

TEST(MetricsPage, ABusyNodeIsAValidPage) {
  const Page page(MetricsPage::Render(RequestMetrics(), BusyNode()));
  EXPECT_EQ(page.Value("flotilla_node_id"), 3);
  EXPECT_EQ(page.Value("flotilla_log_segments"), 4);
  EXPECT_EQ(page.Value("flotilla_log_appended_bytes_total"), 1e12);
  EXPECT_EQ(page.Value("flotilla_log_sync_seconds_total"), 1.5);
  EXPECT_EQ(page.Value("flotilla_raft_leader", "group=\"1\""), 0);
  EXPECT_EQ(page.Value("flotilla_raft_leader", "group=\"2\""), 1);
  EXPECT_EQ(page.Value("flotilla_raft_term", "group=\"2\""), 7);
  EXPECT_EQ(page.Value("flotilla_raft_follower_lag_entries", "group=\"2\",follower=\"1\""), 9);
  EXPECT_EQ(page.Value("flotilla_raft_follower_lag_entries", "group=\"2\",follower=\"2\""), 8);
}

TEST(MetricsPage, AThousandGroupsAreSummedAndNotListed) {
  NodeInfo node = BusyNode();
  const GroupInfo led = node.groups.back();
  node.groups.clear();
  for (std::uint64_t id = 1000; id > 0; --id) {
    GroupInfo& group = node.groups.emplace_back(id % 10 == 0 ? led : GroupInfo());
    group.group = GroupId(id);
    group.core.leader = NodeId(id == 5 ? 0 : 3);
    group.core.quiescent = id > 100;
    group.sizes.disk_bytes = 1000;
  }
  const std::string text = MetricsPage::Render(RequestMetrics(), node);
  const Page page(text);
  EXPECT_EQ(page.Value("flotilla_groups"), 1000);
  EXPECT_EQ(page.Value("flotilla_groups_led"), 100);
  EXPECT_EQ(page.Value("flotilla_groups_quiescent"), 900);
  EXPECT_EQ(page.Value("flotilla_groups_without_leader"), 1);
  EXPECT_EQ(page.Value("flotilla_groups_disk_bytes"), 1e6);
  EXPECT_EQ(page.Value("flotilla_groups_follower_lag_entries_max"), 9);
  EXPECT_EQ(page.Value("flotilla_raft_leader", "group=\"10\""), 1);
  EXPECT_LT(text.size(), 40'000u);
  EXPECT_EQ(text.find("group=\"17\""), std::string::npos);
}

TEST(MetricsPage, RequestsAreCountedByMethodAndResult) {
  RequestMetrics metrics;
  metrics.Count(Method::kPut, absl::OkStatus(), microseconds(300));
  metrics.Count(Method::kPut, Error(Reason::kNoQuorum, "x"), seconds(3));
  metrics.Count(Method::kScan, absl::OkStatus(), Duration(0));
  metrics.CountPipelined(5);
  const Page page(MetricsPage::Render(metrics, NodeInfo()));
  EXPECT_EQ(page.Value("flotilla_requests_total", "method=\"Put\",result=\"ok\""), 1);
  EXPECT_EQ(page.Value("flotilla_requests_total", "method=\"Put\",result=\"error\""), 1);
  EXPECT_EQ(page.Value("flotilla_requests_total", "method=\"Scan\",result=\"ok\""), 1);
  EXPECT_EQ(page.Value("flotilla_requests_total", "method=\"Get\",result=\"ok\""), 0);
  EXPECT_EQ(page.Value("flotilla_pipelined_requests_total"), 5);
}

TEST(MetricsPage, HistogramsAreCumulativeAndEndWithAll) {
  RequestMetrics metrics;
  metrics.Count(Method::kGet, absl::OkStatus(), microseconds(100));  // a bound is within
  metrics.Count(Method::kGet, absl::OkStatus(), microseconds(101));
  metrics.Count(Method::kGet, absl::OkStatus(), seconds(2));
  metrics.Count(Method::kGet, absl::OkStatus(), seconds(60));
  const Page page(MetricsPage::Render(metrics, NodeInfo()));
  const auto bucket = [&](const std::string& bound) {
    return page.Value("flotilla_request_duration_seconds_bucket",
                      "method=\"Get\",le=\"" + bound + "\"");
  };
  EXPECT_EQ(bucket("0.0001"), 1);
  EXPECT_EQ(bucket("0.00025"), 2);
  EXPECT_EQ(bucket("0.5"), 2);
  EXPECT_EQ(bucket("2.5"), 3);
  EXPECT_EQ(bucket("+Inf"), 4);
  EXPECT_EQ(page.Value("flotilla_request_duration_seconds_count", "method=\"Get\""), 4);
  EXPECT_NEAR(page.Value("flotilla_request_duration_seconds_sum", "method=\"Get\""), 62.000201,
              1e-9);
}

TEST(MetricsPage, NamesFollowTheConventionsOfTheirTypes) {
  const Page page(MetricsPage::Render(RequestMetrics(), BusyNode()));
  for (const auto& [name, type] : page.types()) {
    EXPECT_EQ(name.ends_with("_total"), type == "counter") << name;
    EXPECT_TRUE(name.starts_with("flotilla_") || name.starts_with("process_")) << name;
    if (type == "histogram") EXPECT_TRUE(name.ends_with("_seconds")) << name;
  }
}

TEST(RequestTimer, CountsFromItsConstruction) {
  struct SteppedClock final : Clock {
    MonoTime Now() const override { return now; }
    microseconds WallNow() const override { return {}; }
    MonoTime now{seconds(5)};
  } clock;
  RequestMetrics metrics;
  const RequestTimer timer(&metrics, Method::kDelete, &clock);
  clock.now += seconds(2);
  timer.Done(absl::OkStatus());
  const Page page(MetricsPage::Render(metrics, NodeInfo()));
  EXPECT_EQ(page.Value("flotilla_request_duration_seconds_sum", "method=\"Delete\""), 2);
}

}  // namespace
}  // namespace flotilla
