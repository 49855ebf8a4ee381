#include <spdlog/fmt/fmt.h>

#include <cmath>
#include <string_view>

#include "tests/shard/gossip/measure.h"

namespace flotilla::gossip {
namespace {

constexpr int kPanelWidth = 400;
constexpr int kPanelHeight = 290;
constexpr int kLeft = 44;
constexpr int kTop = 62;
constexpr int kRight = 20;
constexpr int kBottom = 48;

std::string Text(double x, double y, std::string_view anchor, int size, std::string_view words,
                 std::string_view color = "#222") {
  return fmt::format(
      "<text x='{:.1f}' y='{:.1f}' text-anchor='{}' font-size='{}' fill='{}'>{}</text>\n", x, y,
      anchor, size, color, words);
}

struct Line {
  std::string_view name;
  std::string_view color;
  double (*value)(const Measurement&);
  std::string_view dashes = "none";
  // Where the numbers stand beside the dots.
  double label_offset = -8;
  bool labels = true;
};

// One picture over n, the abscissa logarithmic.
class Panel {
 public:
  Panel(const std::vector<Measurement>& measurements, int column, std::string title, double high)
      : measurements_(measurements), x_(column * kPanelWidth), title_(title), high_(high) {}

  std::string Draw(const std::vector<Line>& lines) const {
    std::string out = Text(x_ + kLeft, 24, "start", 15, title_);
    for (int step = 0; step <= 4; ++step) {
      const double value = high_ * step / 4;
      out += fmt::format("<line x1='{}' y1='{:.1f}' x2='{}' y2='{:.1f}' stroke='#ddd'/>\n",
                         x_ + kLeft, Y(value), x_ + kPanelWidth - kRight, Y(value));
      out += Text(x_ + kLeft - 6, Y(value) + 4, "end", 11, fmt::format("{:g}", value));
    }
    for (const Measurement& one : measurements_) {
      out += Text(X(one), kPanelHeight - kBottom + 26, "middle", 11, fmt::format("{}", one.nodes));
    }
    out += Text(x_ + kPanelWidth - kRight, kPanelHeight - 8, "end", 11, "nodes");
    double legend = x_ + kLeft;
    for (const Line& line : lines) {
      out += Draw(line);
      out += Text(legend, 44, "start", 12, line.name, line.color);
      legend += 14 + 6.2 * static_cast<double>(line.name.size());
    }
    return out;
  }

 private:
  double X(const Measurement& one) const {
    const double first = std::log2(measurements_.front().nodes);
    const double share =
        (std::log2(one.nodes) - first) / (std::log2(measurements_.back().nodes) - first);
    return x_ + kLeft + 14 + share * (kPanelWidth - kLeft - kRight - 28);
  }
  double Y(double value) const {
    return kPanelHeight - kBottom - value / high_ * (kPanelHeight - kTop - kBottom);
  }

  std::string Draw(const Line& line) const {
    std::string points;
    std::string dots;
    for (const Measurement& one : measurements_) {
      const double value = line.value(one);
      points += fmt::format("{:.1f},{:.1f} ", X(one), Y(value));
      if (!line.labels) continue;
      dots += fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='3' fill='{}'/>\n", X(one), Y(value),
                          line.color);
      dots += Text(X(one), Y(value) + line.label_offset, "middle", 10, fmt::format("{:.1f}", value),
                   line.color);
    }
    return fmt::format(
               "<polyline points='{}' fill='none' stroke='{}' stroke-width='2' "
               "stroke-dasharray='{}'/>\n",
               points, line.color, line.dashes) +
           dots;
  }

  const std::vector<Measurement>& measurements_;
  const int x_;
  const std::string title_;
  const double high_;
};

}  // namespace

std::string ToSvg(const std::vector<Measurement>& measurements) {
  const int width = 3 * kPanelWidth;
  std::string out = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' width='{0}' height='{1}' viewBox='0 0 {0} {1}' "
      "font-family='sans-serif'>\n<rect width='{0}' height='{1}' fill='white'/>\n",
      width, kPanelHeight);
  out +=
      Panel(measurements, 0, "rounds until a rumour has reached all", 12)
          .Draw({{"longest", "#e08a00", [](const Measurement& one) { return one.spread_max; }},
                 {"mean", "#0b6e99", [](const Measurement& one) { return one.spread_mean; }, "none",
                  14},
                 {"log2 n", "#999999", [](const Measurement& one) { return std::log2(one.nodes); },
                  "4 4", 0, false}});
  out += Panel(measurements, 1, "rounds after a crash", 40)
             .Draw({{"all hold it dead", "#a02020",
                     [](const Measurement& one) { return one.all_bury; }},
                    {"all suspect it", "#e08a00",
                     [](const Measurement& one) { return one.all_suspect; }},
                    {"the first does", "#0b6e99",
                     [](const Measurement& one) { return one.first_suspects; }, "none", 14}});
  out += Panel(measurements, 2, "messages of a node in a round", 12)
             .Draw({{"the busiest", "#e08a00",
                     [](const Measurement& one) { return static_cast<double>(one.messages_max); }},
                    {"mean", "#0b6e99", [](const Measurement& one) { return one.messages_mean; }}});
  return out + "</svg>\n";
}

}  // namespace flotilla::gossip
