#include "base/units.h"

#include <fmt/format.h>

#include <charconv>

namespace flotilla {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr Unit kSizes[] = {{"TiB", 1ull << 40},
                           {"GiB", 1ull << 30},
                           {"MiB", 1ull << 20},
                           {"KiB", 1ull << 10},
                           {"B", 1},
                           {"", 1}};
constexpr Unit kDurations[] = {
    {"h", 3'600'000'000'000}, {"m", 60'000'000'000}, {"s", 1'000'000'000},
    {"ms", 1'000'000},        {"us", 1'000},         {"ns", 1}};

template <std::size_t N>
bool Parse(std::string_view text, const Unit (&units)[N], std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return false;
  const std::string_view name(end, static_cast<std::size_t>(text.data() + text.size() - end));
  for (const Unit& unit : units) {
    if (name != unit.name) continue;
    return !__builtin_mul_overflow(value, unit.factor, &value);
  }
  return false;
}

}  // namespace

StatusOr<std::uint64_t> ParseSize(std::string_view text) {
  std::uint64_t value = 0;
  if (Parse(text, kSizes, value)) return value;
  return Error(Reason::kBadRequest,
               fmt::format("`{}` is not a size: write 64MiB (B, KiB, MiB, GiB, TiB)", text));
}

StatusOr<Duration> ParseDuration(std::string_view text) {
  std::uint64_t value = 0;
  if (text == "0") return Duration(0);
  if (Parse(text, kDurations, value) && value <= INT64_MAX) {
    return Duration(static_cast<std::int64_t>(value));
  }
  return Error(Reason::kBadRequest,
               fmt::format("`{}` is not a duration: write 150ms (us, ms, s, m, h)", text));
}

}  // namespace flotilla
