#include <gtest/gtest.h>

#include "cmd/kvctl/histogram.h"
#include "tests/bench/report.h"

namespace flotilla::bench {
namespace {

TEST(BenchHistogram, QuantilesAreWithinABucketsWidth) {
  kvctl::Histogram histogram;
  for (std::uint64_t micros = 1; micros <= 10'000; ++micros) histogram.Add(micros * 1000);
  EXPECT_EQ(histogram.Count(), 10'000u);
  EXPECT_NEAR(histogram.QuantileMicros(0.5), 5000, 5000 * 0.04);
  EXPECT_NEAR(histogram.QuantileMicros(0.99), 9900, 9900 * 0.04);
  EXPECT_NEAR(histogram.QuantileMicros(0), 1, 0.1);
  histogram.Clear();
  EXPECT_EQ(histogram.QuantileMicros(0.5), 0);
  histogram.Add(UINT64_MAX);
  EXPECT_GT(histogram.QuantileMicros(1), 0);
}

TEST(BenchReport, JsonHasTheAgreedFields) {
  const Row row{.system = "flotilla",
                .api = "batch",
                .op = "put",
                .outstanding = 256,
                .ops_per_s = 1234.56,
                .p50_us = 1,
                .p99_us = 2,
                .p999_us = 3,
                .server_cpu_us_per_op = 4.5};
  EXPECT_EQ(ToJson(row),
            R"({"system":"flotilla","api":"batch","op":"put","outstanding":256,"ops_per_s":1234.6,)"
            R"("p50_us":1.0,"p99_us":2.0,"p999_us":3.0,"server_cpu_us_per_op":4.50})");
}

TEST(BenchReport, TableHasRatiosAgainstEtcd) {
  const std::vector<Row> rows = {
      {.system = "flotilla", .api = "batch", .op = "put", .outstanding = 1, .ops_per_s = 300},
      {.system = "etcd", .api = "unary", .op = "put", .outstanding = 1, .ops_per_s = 100}};
  EXPECT_NE(ToTable(rows).find("3.00x"), std::string::npos);
  EXPECT_NE(ToSvg(rows).find("</svg>"), std::string::npos);
}

TEST(BenchSystem, KeysAndValuesHaveTheAgreedSizes) {
  EXPECT_EQ(KeyOf(0).size(), 16u);
  EXPECT_EQ(KeyOf(99'999).size(), 16u);
  EXPECT_LT(KeyOf(99), KeyOf(100));
  EXPECT_EQ(ValueOf(5).size(), 256u);
}

TEST(BenchCpu, OwnProcessHasUsedSome) {
  volatile std::uint64_t sink = 0;
  for (std::uint64_t i = 0; i < 50'000'000; ++i) sink = sink + i;
  EXPECT_GT(CpuMicros({getpid()}), 0);
  EXPECT_EQ(CpuMicros({}), 0);
}

}  // namespace
}  // namespace flotilla::bench
