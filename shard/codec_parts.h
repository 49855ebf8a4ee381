// What the codecs of this folder share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/coding.h"
#include "base/status.h"

namespace flotilla {

// Of what nodes of one version tell each other.
inline constexpr std::uint8_t kForwardFormat = 1;
inline constexpr std::uint64_t kForwardedMax = 1'000'000;

inline Status Malformed() {
  return Error(Reason::kBadRequest, "a peer sent a malformed forwarded batch");
}

inline void AppendByte(std::string& out, std::uint8_t byte) {
  out.push_back(static_cast<char>(byte));
}

inline bool ReadText(Reader& reader, std::string& text) {
  std::string_view view;
  if (!reader.Prefixed(view)) return false;
  text = view;
  return true;
}

}  // namespace flotilla
