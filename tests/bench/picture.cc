#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tests/bench/report.h"

namespace flotilla::bench {
namespace {

constexpr int kPanelWidth = 400;
constexpr int kPanelHeight = 260;
constexpr int kColumns = 3;
constexpr int kLeft = 64;
constexpr int kTop = 34;
constexpr int kRight = 12;
constexpr int kBottom = 40;
constexpr int kLegendHeight = 36;

struct Series {
  std::string_view system;
  std::string_view api;
  std::string_view color;
};
constexpr Series kSeries[] = {{"flotilla", "batch", "#0b6e99"},
                              {"flotilla", "unary", "#e08a00"},
                              {"etcd", "unary", "#777777"}};

std::string Text(double x, double y, std::string_view anchor, int size, std::string_view words) {
  return fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='{}' font-size='{}'>{}</text>\n", x,
                     y, anchor, size, words);
}

std::string Short(double number) {
  return number >= 1000 ? fmt::format("{:g}k", number / 1000) : fmt::format("{:g}", number);
}

// One operation: throughput, both axes logarithmic.
class Panel {
 public:
  Panel(const std::vector<Row>& rows, const std::string& op, int x, int y) : x_(x), y_(y) {
    for (const Row& row : rows) {
      if (row.op != op || row.ops_per_s <= 0) continue;
      rows_.push_back(row);
      low_ = std::min(low_, std::floor(std::log10(row.ops_per_s)));
      high_ = std::max(high_, std::ceil(std::log10(row.ops_per_s)));
      right_ = std::max(right_, std::log2(row.outstanding));
    }
    op_ = op;
  }

  std::string Draw() const {
    std::string out = Text(x_ + kLeft, y_ + 20, "start", 15, op_);
    for (double power = low_; power <= high_; ++power) {
      const double y = Y(std::pow(10, power));
      out += fmt::format("<line x1='{}' y1='{:.1f}' x2='{}' y2='{:.1f}' stroke='#ddd'/>\n",
                         x_ + kLeft, y, x_ + kPanelWidth - kRight, y);
      out += Text(x_ + kLeft - 6, y + 4, "end", 11, Short(std::pow(10, power)));
    }
    std::map<std::uint32_t, bool> ticks;
    for (const Row& row : rows_) ticks[row.outstanding] = true;
    for (const auto& [tick, unused] : ticks) {
      out += Text(X(tick), y_ + kPanelHeight - kBottom + 16, "middle", 11, Short(tick));
    }
    for (const Series& series : kSeries) out += Line(series);
    return out;
  }

 private:
  double X(double outstanding) const {
    const double share = right_ > 0 ? std::log2(outstanding) / right_ : 0;
    return x_ + kLeft + 8 + share * (kPanelWidth - kLeft - kRight - 16);
  }
  double Y(double ops) const {
    const double share = (std::log10(ops) - low_) / std::max(1.0, high_ - low_);
    return y_ + kPanelHeight - kBottom - share * (kPanelHeight - kTop - kBottom);
  }

  std::string Line(const Series& series) const {
    std::string points;
    std::string dots;
    for (const Row& row : rows_) {
      if (row.system != series.system || row.api != series.api) continue;
      points += fmt::format("{:.1f},{:.1f} ", X(row.outstanding), Y(row.ops_per_s));
      dots += fmt::format(
          "<circle cx='{:.1f}' cy='{:.1f}' r='3.5' fill='{}'><title>{:.0f} ops/s, p99 {:.0f} "
          "us</title></circle>\n",
          X(row.outstanding), Y(row.ops_per_s), series.color, row.ops_per_s, row.p99_us);
    }
    return fmt::format("<polyline points='{}' fill='none' stroke='{}' stroke-width='2'/>\n", points,
                       series.color) +
           dots;
  }

  const int x_;
  const int y_;
  std::string op_;
  std::vector<Row> rows_;
  double low_ = 9;
  double high_ = 0;
  double right_ = 0;
};

}  // namespace

std::string ToSvg(const std::vector<Row>& rows) {
  std::vector<std::string> ops;
  for (const Row& row : rows) {
    if (std::find(ops.begin(), ops.end(), row.op) == ops.end()) ops.push_back(row.op);
  }
  const int lines = (static_cast<int>(ops.size()) + kColumns - 1) / kColumns;
  const int width = kColumns * kPanelWidth;
  const int height = lines * kPanelHeight + kLegendHeight;
  std::string out = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' width='{0}' height='{1}' viewBox='0 0 {0} {1}' "
      "font-family='sans-serif' fill='#222'>\n<rect width='{0}' height='{1}' fill='white'/>\n",
      width, height);
  out += Text(12, 22, "start", 13, "operations per second over outstanding requests:");
  int legend = 330;
  for (const Series& series : kSeries) {
    out += fmt::format("<circle cx='{}' cy='18' r='5' fill='{}'/>\n", legend, series.color);
    out += Text(legend + 10, 22, "start", 13, fmt::format("{} {}", series.system, series.api));
    legend += 130;
  }
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const int column = static_cast<int>(i) % kColumns;
    const int line = static_cast<int>(i) / kColumns;
    out += Panel(rows, ops[i], column * kPanelWidth, kLegendHeight + line * kPanelHeight).Draw();
  }
  return out + "</svg>\n";
}

}  // namespace flotilla::bench
