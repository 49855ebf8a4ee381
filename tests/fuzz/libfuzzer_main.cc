// libFuzzer's way in.

#include <cstddef>
#include <cstdint>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A copy of exactly this size: AddressSanitizer sees every byte that is read beyond it.
  const std::string input(reinterpret_cast<const char*>(data), size);
  flotilla::fuzz::Fuzz(input);
  return 0;
}
