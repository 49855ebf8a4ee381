// kvd's configuration file.

#include "cmd/kvd/config.h"

#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

namespace flotilla::fuzz {
namespace {

// A file in memory, by a name that can be opened.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content) : descriptor_(memfd_create("kvd.toml", 0)) {
    CHECK_GE(descriptor_, 0);
    CHECK_EQ(write(descriptor_, content.data(), content.size()),
             static_cast<ssize_t>(content.size()));
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  const int descriptor_;
};

ConfigResult Load(std::string_view content) {
  const MemoryFile file(content);
  return LoadConfig({"--config", file.path(), "--print-config"}, {}, "test");
}

}  // namespace

void Fuzz(std::string_view input) {
  const ConfigResult first = Load(input);
  if (!first.mistakes.empty()) return;
  // What it prints is a configuration file that says the same.
  CHECK(first.action == ConfigResult::Action::kPrintConfig);
  const ConfigResult second = Load(first.text);
  CHECK(second.mistakes.empty()) << second.mistakes.front() << "\n" << first.text;
  CHECK(second.config.data_dir == first.config.data_dir);
  CHECK(second.config.join == first.config.join);
  CHECK(second.config.election_timeout == first.config.election_timeout);
  CHECK_EQ(second.config.wal_segment, first.config.wal_segment);
}

std::vector<std::string> Seeds() {
  return {
      "data_dir = \"/var/lib/kvd\"\nlisten = \"127.0.0.1:7101\"\njoin = [\"a:1\", \"b:2\"]\n"
      "bootstrap_expect = 3\nelection_timeout = \"150ms\"\nwal_segment = \"64MiB\"\n"
      "leases = false\nlog_format = \"json\"\n",
      "bootstrap_expect = 1\nheartbeat_interval = \"50ms\"\nthreads = 2\nblock_cache = 1048576\n",
      "[table]\nx = 1979-05-27T07:32:00Z\n", "lissten = \"x\"\n"};
}

}  // namespace flotilla::fuzz
