// Json: writes the JSON that kvctl prints.
//
// Conventions (they are part of kvctl's interface): bytes are base64, with a twin NAME_text where
// they are printable; 64-bit integers are strings, since many readers keep 53 bits.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {

// With the quotes. Invalid UTF-8 becomes \ufffd.
std::string JsonString(std::string_view text);

// The fields of one object, in the order of their adding.
class JsonObject {
 public:
  JsonObject& Text(std::string_view name, std::string_view text) {
    return Raw(name, JsonString(text));
  }
  JsonObject& Bytes(std::string_view name, std::string_view bytes) {
    Raw(name, JsonString(ToBase64(bytes)));
    if (IsPrintable(bytes)) Text(std::string(name) + "_text", bytes);
    return *this;
  }
  JsonObject& Number64(std::string_view name, std::uint64_t number) {
    return Raw(name, fmt::format("\"{}\"", number));
  }
  JsonObject& Number(std::string_view name, double number) {
    return Raw(name, fmt::format("{:g}", number));
  }
  JsonObject& Bool(std::string_view name, bool value) {
    return Raw(name, value ? "true" : "false");
  }
  // `json` is JSON already.
  JsonObject& Raw(std::string_view name, std::string_view json) {
    if (!fields_.empty()) fields_ += ",";
    fields_ += JsonString(name);
    fields_ += ":";
    fields_ += json;
    return *this;
  }

  std::string str() const { return "{" + fields_ + "}"; }

 private:
  std::string fields_;
};

class JsonArray {
 public:
  JsonArray& Add(std::string_view json) {
    if (!items_.empty()) items_ += ",";
    items_ += json;
    return *this;
  }
  std::string str() const { return "[" + items_ + "]"; }

 private:
  std::string items_;
};

}  // namespace flotilla::kvctl
