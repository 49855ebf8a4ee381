// Feeds seeds and kept inputs to a fuzz target, in builds without libFuzzer.
//
//   fuzz_NAME [FILE | DIRECTORY]...       the seeds, then every file
//   fuzz_NAME --write-seeds DIRECTORY     writes the seeds there

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "tests/fuzz/fuzz.h"

namespace flotilla::fuzz {
namespace {

namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  CHECK(file.good()) << path << " cannot be read";
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteSeeds(const fs::path& directory) {
  fs::create_directories(directory);
  int number = 0;
  for (const std::string& seed : Seeds()) {
    std::ofstream file(directory / ("seed-" + std::to_string(number++)), std::ios::binary);
    file << seed;
    CHECK(file.good()) << "cannot write to " << directory;
  }
}

std::vector<fs::path> FilesUnder(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

int Main(const std::vector<std::string>& arguments) {
  if (arguments.size() == 2 && arguments[0] == "--write-seeds") {
    WriteSeeds(arguments[1]);
    return 0;
  }
  Fuzz("");
  for (const std::string& seed : Seeds()) Fuzz(seed);
  int count = 0;
  for (const std::string& argument : arguments) {
    for (const fs::path& path : FilesUnder(argument)) {
      // Named first: an abort says no more.
      std::clog << path.string() << std::endl;
      Fuzz(ReadFile(path));
      ++count;
    }
  }
  std::clog << count << " inputs passed\n";
  return 0;
}

}  // namespace
}  // namespace flotilla::fuzz

int main(int argc, char** argv) { return flotilla::fuzz::Main({argv + 1, argv + argc}); }
