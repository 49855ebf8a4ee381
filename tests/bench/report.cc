#include "tests/bench/report.h"

#include <fmt/format.h>

#include <algorithm>

namespace flotilla::bench {
namespace {

const Row* EtcdsRow(const std::vector<Row>& rows, const Row& row) {
  const auto it = std::find_if(rows.begin(), rows.end(), [&](const Row& other) {
    return other.system == "etcd" && other.op == row.op && other.outstanding == row.outstanding;
  });
  return it == rows.end() ? nullptr : &*it;
}

std::string Ratio(double ours, double theirs) {
  return theirs > 0 ? fmt::format("{:.2f}x", ours / theirs) : "-";
}

}  // namespace

std::string ToJson(const Row& row) {
  return fmt::format(
      R"({{"system":"{}","api":"{}","op":"{}","outstanding":{},"ops_per_s":{:.1f},"p50_us":{:.1f},)"
      R"("p99_us":{:.1f},"p999_us":{:.1f},"server_cpu_us_per_op":{:.2f}}})",
      row.system, row.api, row.op, row.outstanding, row.ops_per_s, row.p50_us, row.p99_us,
      row.p999_us, row.server_cpu_us_per_op);
}

std::string ToTable(const std::vector<Row>& rows) {
  std::string out = fmt::format(
      "{:<9} {:>5}  {:<8} {:<5} {:>10} {:>10} {:>10} {:>10} {:>10}   {:>8} {:>8} {:>8}\n", "op",
      "outst", "system", "api", "ops/s", "p50 us", "p99 us", "p99.9 us", "cpu us/op", "ops/s",
      "p99", "cpu");
  std::string last;
  for (const Row& row : rows) {
    const std::string group = fmt::format("{} {}", row.op, row.outstanding);
    if (!last.empty() && group != last) out += "\n";
    last = group;
    const Row* etcd = row.system == "etcd" ? nullptr : EtcdsRow(rows, row);
    std::string ratios;
    if (etcd != nullptr) {
      ratios = fmt::format("{:>8} {:>8} {:>8}", Ratio(row.ops_per_s, etcd->ops_per_s),
                           Ratio(row.p99_us, etcd->p99_us),
                           Ratio(row.server_cpu_us_per_op, etcd->server_cpu_us_per_op));
    }
    out += fmt::format(
        "{:<9} {:>5}  {:<8} {:<5} {:>10.0f} {:>10.0f} {:>10.0f} {:>10.0f} {:>10.1f}   {}\n", row.op,
        row.outstanding, row.system, row.api, row.ops_per_s, row.p50_us, row.p99_us, row.p999_us,
        row.server_cpu_us_per_op, ratios);
  }
  out += "\nThe last three columns are multiples of etcd's.\n";
  return out;
}

}  // namespace flotilla::bench
