// Fixed-width, varint and length-prefixed coding for our own formats: log records, commands, keys.
//
// Fixed-width integers are little-endian unless the name says otherwise. Readers never trust their
// input: each returns false, and leaves its output unspecified, when the bytes run out or a varint
// is longer than its type. Standard library only.
#pragma once

#include <concepts>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace flotilla {

inline void AppendFixed32(std::string& out, std::uint32_t value) {
  char bytes[4];
  for (int i = 0; i < 4; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  out.append(bytes, sizeof bytes);
}

inline void AppendFixed64(std::string& out, std::uint64_t value) {
  char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  out.append(bytes, sizeof bytes);
}

// Big-endian: the order of the bytes is the order of the numbers.
inline void AppendOrdered64(std::string& out, std::uint64_t value) {
  char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (56 - 8 * i));
  out.append(bytes, sizeof bytes);
}

inline std::uint32_t LoadFixed32(const char* bytes) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return value;
}

inline std::uint64_t LoadFixed64(const char* bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return value;
}

inline std::uint64_t LoadOrdered64(const char* bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

inline void AppendVarint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

inline void AppendPrefixed(std::string& out, std::string_view text) {
  AppendVarint(out, text.size());
  out.append(text);
}

// Consumes from the front of a view.
class Reader {
 public:
  explicit Reader(std::string_view input) : rest_(input) {}

  std::string_view rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }

  bool Byte(std::uint8_t& value) {
    if (rest_.empty()) return false;
    value = static_cast<std::uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    return true;
  }
  bool Fixed32(std::uint32_t& value) {
    if (rest_.size() < 4) return false;
    value = LoadFixed32(rest_.data());
    rest_.remove_prefix(4);
    return true;
  }
  bool Fixed64(std::uint64_t& value) {
    if (rest_.size() < 8) return false;
    value = LoadFixed64(rest_.data());
    rest_.remove_prefix(8);
    return true;
  }
  bool Ordered64(std::uint64_t& value) {
    if (rest_.size() < 8) return false;
    value = LoadOrdered64(rest_.data());
    rest_.remove_prefix(8);
    return true;
  }
  bool Varint(std::uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_[0]);
      if (shift == 63 && byte > 1) return false;
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  // A strong integer of 64 bits (base/strong.h), as a varint.
  template <class Id>
    requires std::same_as<typename Id::rep, std::uint64_t>
  bool Varint(Id& id) {
    std::uint64_t value = 0;
    if (!Varint(value)) return false;
    id = Id(value);
    return true;
  }
  // A view into the input.
  bool Take(std::uint64_t size, std::string_view& text) {
    if (size > rest_.size()) return false;
    text = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  bool Prefixed(std::string_view& text) {
    std::uint64_t size = 0;
    return Varint(size) && Take(size, text);
  }

 private:
  std::string_view rest_;
};

}  // namespace flotilla
