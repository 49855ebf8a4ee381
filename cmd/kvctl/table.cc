#include "cmd/kvctl/table.h"

#include <algorithm>
#include <cctype>

#include "base/check.h"

namespace flotilla::kvctl {
namespace {

// Characters on the screen: UTF-8 sequences count once, escape codes not at all.
std::size_t Width(const std::string& cell) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < cell.size(); ++i) {
    if (cell[i] == '\033') {
      while (i < cell.size() && cell[i] != 'm') ++i;
    } else if ((static_cast<unsigned char>(cell[i]) & 0xc0) != 0x80) {
      ++width;
    }
  }
  return width;
}

}  // namespace

Table::Table(const std::vector<std::string>& columns) {
  for (const std::string& column : columns) {
    const bool right = column.rfind('>', 0) == 0;
    align_.push_back(right ? Align::kRight : Align::kLeft);
    std::string name = right ? column.substr(1) : column;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    names_.push_back(std::move(name));
  }
}

void Table::Add(std::vector<std::string> cells) {
  CHECK_EQ(cells.size(), names_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::Render(bool bold_header) const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    std::size_t width = names_[i].size();
    for (const auto& row : rows_) width = std::max(width, Width(row[i]));
    widths.push_back(width);
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (i > 0) text += "  ";
      const std::string padding(widths[i] - Width(cells[i]), ' ');
      text += align_[i] == Align::kRight ? padding + cells[i] : cells[i] + padding;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  if (bold_header) out += "\033[1m";
  line(names_);
  if (bold_header) out += "\033[0m";
  for (const auto& row : rows_) line(row);
  return out;
}

}  // namespace flotilla::kvctl
