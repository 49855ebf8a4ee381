// Table: columns for people, as wide as they must be; no lines, no colour of their own.
#pragma once

#include <string>
#include <vector>

namespace flotilla::kvctl {

class Table {
 public:
  enum class Align : unsigned char { kLeft, kRight };

  // A column named in lower case is aligned left, with a leading '>' right: ">lag".
  explicit Table(const std::vector<std::string>& columns);

  // As many cells as there are columns. Escape codes in cells are not counted as width.
  void Add(std::vector<std::string> cells);

  // Ends with a newline. `bold_header`: with escape codes.
  std::string Render(bool bold_header) const;

 private:
  std::vector<std::string> names_;
  std::vector<Align> align_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace flotilla::kvctl
