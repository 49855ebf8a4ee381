// Bytes as text: escapes, hexadecimal, base64, printable or not; numbers and sizes for people.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace flotilla::kvctl {

// Valid UTF-8 without control characters other than tab and newline.
bool IsPrintable(std::string_view bytes);

// As is when printable on one line; else with \n, \t, \\ and \xNN.
std::string Escape(std::string_view bytes);

std::string ToHex(std::string_view bytes);
// Nothing unless it is an even number of hexadecimal digits.
std::optional<std::string> FromHex(std::string_view text);
std::string ToBase64(std::string_view bytes);

// "12.3 MiB", "512 B".
std::string HumanBytes(std::uint64_t bytes);
// "3d 4h", "12m 5s", "8s".
std::string HumanSeconds(std::uint64_t seconds);

// "2026-01-31T12:00:00.250Z", of milliseconds since the epoch.
std::string UtcTime(std::uint64_t ms);

// The words of a line as a shell would see them: blanks separate, "..." and '...' keep together;
// outside of '...' a backslash makes \n, \t, \xNN or the next character itself. Nothing when a
// quote is not closed or an escape is broken; `error` then says which.
std::optional<std::vector<std::string>> SplitWords(std::string_view line, std::string* error);

// The first key after all keys with this prefix; empty: there is none.
std::string PrefixEnd(std::string_view prefix);

}  // namespace flotilla::kvctl
