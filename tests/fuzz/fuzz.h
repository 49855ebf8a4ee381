// What every fuzz target defines, and what it may use.
//
// Place in the picture: a target is one .cc file with Fuzz() and Seeds(). With FLOTILLA_FUZZ it is
// linked to libFuzzer (libfuzzer_main.cc), otherwise to a program that feeds it files
// (corpus_main.cc), so that the corpora are tests of every build.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace flotilla::fuzz {

// Takes any bytes; a CHECK, a sanitizer or a signal says what is wrong. Equal bytes do equal
// things: nothing is kept from one call to the next.
void Fuzz(std::string_view input);

// Well-formed inputs, from which fuzzing starts: `fuzz_NAME --write-seeds DIRECTORY`.
std::vector<std::string> Seeds();

// What was decoded can be encoded, and that says the same: encoding is a fixed point behind the
// first decoding, which may have left things out.
template <class Decode, class Encode>
void ExpectStable(std::string_view input, Decode decode, Encode encode) {
  const auto first = decode(input);
  if (!first.ok()) return;
  const std::string once = encode(*first);
  const auto second = decode(std::string_view(once));
  CHECK(second.ok()) << "what was encoded is not decoded: " << second.status().ToString();
  CHECK(encode(*second) == once);
}

}  // namespace flotilla::fuzz
