#include "cmd/kvctl/json.h"

namespace flotilla::kvctl {

std::string JsonString(std::string_view text) {
  std::string out = "\"";
  const bool valid = IsPrintable(text);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (byte < 0x20 || byte == 0x7f) {
          out += fmt::format("\\u{:04x}", byte);
        } else if (byte >= 0x80 && !valid) {
          out += "\\ufffd";
        } else {
          out.push_back(c);
        }
    }
  }
  return out + "\"";
}

}  // namespace flotilla::kvctl
