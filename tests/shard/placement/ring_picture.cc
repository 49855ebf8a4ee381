// Three panels: whom a joiner takes from, how much moves, and how even it is afterwards.

#include <spdlog/fmt/fmt.h>

#include <algorithm>

#include "tests/shard/placement/ring_study.h"

namespace flotilla {
namespace {

constexpr int kPanelWidth = 400;
constexpr int kPanelHeight = 280;
constexpr int kLeft = 52;
constexpr int kTop = 58;
constexpr int kRight = 14;
constexpr int kBottom = 40;
constexpr std::uint64_t kBarsBefore = 9;
constexpr std::uint64_t kNodesMax = 50;
constexpr std::string_view kBlue = "#0b6e99";
constexpr std::string_view kOrange = "#e08a00";
constexpr std::string_view kGrey = "#777777";

std::string Text(double x, double y, std::string_view anchor, int size, std::string_view words) {
  return fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='{}' font-size='{}'>{}</text>\n", x,
                     y, anchor, size, words);
}

// Linear axes; y from 0 to `top`.
class Panel {
 public:
  Panel(int number, double x_low, double x_high, double y_top)
      : x_(number * kPanelWidth), x_low_(x_low), x_high_(x_high), y_top_(y_top) {}

  double X(double value) const {
    const double share = (value - x_low_) / (x_high_ - x_low_);
    return x_ + kLeft + share * (kPanelWidth - kLeft - kRight);
  }
  double Y(double value) const {
    return kPanelHeight - kBottom - value / y_top_ * (kPanelHeight - kTop - kBottom);
  }

  std::string Frame(std::string_view title, std::string_view subtitle, double y_step,
                    std::string_view unit) const {
    std::string out = Text(x_ + kLeft, 22, "start", 15, title);
    out += Text(x_ + kLeft, 41, "start", 12, subtitle);
    for (double y = 0; y <= y_top_ + y_step / 2; y += y_step) {
      out += fmt::format("<line x1='{}' y1='{:.1f}' x2='{}' y2='{:.1f}' stroke='#ddd'/>\n",
                         x_ + kLeft, Y(y), x_ + kPanelWidth - kRight, Y(y));
      out += Text(x_ + kLeft - 6, Y(y) + 4, "end", 11, fmt::format("{:g}{}", y, unit));
    }
    return out;
  }
  std::string Tick(double x, std::string_view words) const {
    return Text(X(x), kPanelHeight - kBottom + 16, "middle", 11, words);
  }
  std::string Caption(std::string_view words) const {
    return Text(x_ + (kLeft + kPanelWidth - kRight) / 2.0, kPanelHeight - 8, "middle", 11, words);
  }
  std::string Dot(double x, double y, std::string_view color) const {
    return fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='2.5' fill='{}'/>\n", X(x), Y(y), color);
  }
  std::string Line(const std::vector<std::pair<double, double>>& points) const {
    std::string out = "<polyline points='";
    for (const auto& [x, y] : points) out += fmt::format("{:.1f},{:.1f} ", X(x), Y(y));
    return out + fmt::format("' fill='none' stroke='{}' stroke-dasharray='4 3'/>\n", kGrey);
  }

 private:
  const int x_;
  const double x_low_;
  const double x_high_;
  const double y_top_;
};

std::string DrawGivers(const Join& join) {
  const Panel panel(0, 0.5, kBarsBefore + 0.5, 20);
  std::string out =
      panel.Frame(fmt::format("Node {} joins: what it takes from each", kBarsBefore + 1),
                  "% of what it takes; dashed: an even share", 5, "%");
  for (const auto& [node, given] : join.given_by) {
    const double percent = 100.0 * given / join.moved_to_joiner;
    const auto x = static_cast<double>(node.value());
    out += fmt::format(
        "<rect x='{:.1f}' y='{:.1f}' width='{:.1f}' height='{:.1f}' fill='{}'><title>{} of {} "
        "replicas</title></rect>\n",
        panel.X(x - 0.35), panel.Y(percent), panel.X(x + 0.35) - panel.X(x - 0.35),
        panel.Y(0) - panel.Y(percent), kBlue, given, join.moved_to_joiner);
    out += panel.Tick(x, fmt::format("{}", node.value()));
  }
  const double even = 100.0 / kBarsBefore;
  out += panel.Line({{0.5, even}, {kBarsBefore + 0.5, even}});
  return out + panel.Caption("node");
}

std::string DrawMoved(const std::vector<Join>& joins) {
  const Panel panel(1, 0, kNodesMax, 40);
  std::string out = panel.Frame("Replicas that move when one node joins",
                                "% of all; dashed: 1/n; between other nodes: none", 10, "%");
  std::vector<std::pair<double, double>> ideal;
  for (const Join& join : joins) {
    const auto nodes = static_cast<double>(join.before + 1);
    ideal.emplace_back(nodes, 100.0 / nodes);
    out += panel.Dot(nodes, 100.0 * join.moved_to_joiner / join.replicas, kBlue);
    out += panel.Dot(nodes, 100.0 * join.moved_elsewhere / join.replicas, kOrange);
  }
  out += panel.Line(ideal);
  for (int nodes = 0; nodes <= 50; nodes += 10) out += panel.Tick(nodes, fmt::format("{}", nodes));
  return out + panel.Caption("nodes n, after the join");
}

std::string DrawBalance(const std::vector<Join>& joins) {
  const Panel panel(2, 0, kNodesMax, 1.5);
  std::string out =
      panel.Frame("The fullest and the emptiest node", "replicas over their mean", 0.25, "");
  for (const Join& join : joins) {
    const auto nodes = static_cast<double>(join.before + 1);
    out += panel.Dot(nodes, join.fullest, kOrange);
    out += panel.Dot(nodes, join.emptiest, kBlue);
  }
  out += panel.Line({{0, 1}, {kNodesMax, 1}});
  for (int nodes = 0; nodes <= 50; nodes += 10) out += panel.Tick(nodes, fmt::format("{}", nodes));
  return out + panel.Caption("nodes n");
}

}  // namespace

std::string DrawRing() {
  std::vector<Join> joins;
  for (std::uint64_t before = 3; before < kNodesMax; ++before) joins.push_back(StudyJoin(before));
  constexpr int kWidth = 3 * kPanelWidth;
  constexpr int kHeight = kPanelHeight + 24;
  std::string out = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' width='{0}' height='{1}' viewBox='0 0 {0} {1}' "
      "font-family='sans-serif' fill='#222'>\n<rect width='{0}' height='{1}' fill='white'/>\n",
      kWidth, kHeight);
  out += DrawGivers(StudyJoin(kBarsBefore)) + DrawMoved(joins) + DrawBalance(joins);
  out += Text(12, kHeight - 8, "start", 11,
              fmt::format("{} shards with {} replicas each, {} virtual nodes per node",
                          kStudyShards, kStudyReplicas, kVirtualNodes));
  return out + "</svg>\n";
}

}  // namespace flotilla
