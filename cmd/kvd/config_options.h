// The one table of kvd's options: names, kinds, defaults, meanings.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cmd/kvd/config.h"

namespace flotilla {

struct ConfigOption {
  std::string name;  // of the flag
  std::string kind;  // for people
  std::string fallback;
  std::string help;
  // Parses the text into its field. BAD_REQUEST says what is accepted.
  std::function<Status(Config&, const std::string&)> assign;

  // Flags that are repeated add up; in the file it may be an array.
  bool IsList() const;
  // "data_dir", in the file.
  std::string FileKey() const;
  // "FLOTILLA_DATA_DIR"
  std::string Variable() const;
};

std::vector<ConfigOption> ConfigOptions();

}  // namespace flotilla
