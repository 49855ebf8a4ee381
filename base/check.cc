#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace flotilla::check_internal {

Failure::Failure(const char* file, int line, const char* expression) {
  message_ << file << ":" << line << ": check failed: " << expression << " ";
}

Failure::~Failure() {
  message_ << "\n";
  const std::string text = message_.str();
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
  std::abort();
}

}  // namespace flotilla::check_internal
