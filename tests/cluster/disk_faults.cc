// Preloaded into kvd by tests: a disk that hangs, or is slow.
//
// While the file named by DISK_HANGS exists, no sync returns; while that named by DIRECTORIES_HANG
// does, no sync of a directory, and the first one that does not makes a file of that name with
// ".met" at its end.
//
// While the file named by DISK_SLOW exists, all writes and syncs of the process queue up for one
// disk as slow as the file says: "MEBIBYTES_PER_SECOND SYNC_MILLISECONDS".
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

namespace {

using Clock = std::chrono::steady_clock;

template <class Function>
Function Next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

bool Exists(const char* path) { return path != nullptr && access(path, F_OK) == 0; }

// What the disk is like now.
struct Disk {
  bool slow = false;
  double bytes_per_second = 0;
  double sync_seconds = 0;
};

Disk LookAtDisk() {
  const char* const path = std::getenv("DISK_SLOW");
  Disk disk;
  if (!Exists(path)) return disk;
  std::FILE* const file = std::fopen(path, "r");
  if (file == nullptr) return disk;
  double mebibytes = 0;
  double milliseconds = 0;
  // Empty for a moment while it is written.
  disk.slow = std::fscanf(file, "%lf %lf", &mebibytes, &milliseconds) == 2 && mebibytes > 0;
  std::fclose(file);
  disk.bytes_per_second = mebibytes * 1048576;
  disk.sync_seconds = milliseconds / 1000;
  return disk;
}

// Waits for its turn, and then for as long as it takes.
void Queue(double seconds) {
  static std::atomic<std::int64_t> free_at{0};
  const std::int64_t now = Clock::now().time_since_epoch().count();
  const auto cost = static_cast<std::int64_t>(seconds * 1e9);
  std::int64_t free = free_at.load();
  std::int64_t done = 0;
  do {
    done = std::max(now, free) + cost;
  } while (!free_at.compare_exchange_weak(free, done));
  std::this_thread::sleep_for(std::chrono::nanoseconds(done - now));
}

void QueueWrite(int descriptor, std::size_t bytes) {
  const Disk disk = LookAtDisk();
  struct stat status{};
  if (!disk.slow || fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) return;
  Queue(static_cast<double>(bytes) / disk.bytes_per_second);
}

void HangDirectory(int descriptor) {
  static const char* const hangs = std::getenv("DIRECTORIES_HANG");
  struct stat status{};
  if (!Exists(hangs) || fstat(descriptor, &status) != 0 || !S_ISDIR(status.st_mode)) return;
  close(open((std::string(hangs) + ".met").c_str(), O_CREAT | O_WRONLY, 0600));
  while (Exists(hangs)) usleep(5000);
}

int Sync(const char* name, int descriptor) {
  static const char* const hangs = std::getenv("DISK_HANGS");
  while (Exists(hangs)) usleep(5000);
  HangDirectory(descriptor);
  if (const Disk disk = LookAtDisk(); disk.slow) Queue(disk.sync_seconds);
  return Next<int (*)(int)>(name)(descriptor);
}

}  // namespace

extern "C" int fsync(int descriptor) { return Sync("fsync", descriptor); }
extern "C" int fdatasync(int descriptor) { return Sync("fdatasync", descriptor); }

extern "C" ssize_t write(int descriptor, const void* data, size_t bytes) {
  QueueWrite(descriptor, bytes);
  return Next<ssize_t (*)(int, const void*, size_t)>("write")(descriptor, data, bytes);
}

extern "C" ssize_t pwrite(int descriptor, const void* data, size_t bytes, off_t offset) {
  QueueWrite(descriptor, bytes);
  return Next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite")(descriptor, data, bytes,
                                                                      offset);
}

extern "C" ssize_t pwrite64(int descriptor, const void* data, size_t bytes, off64_t offset) {
  QueueWrite(descriptor, bytes);
  return Next<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64")(descriptor, data, bytes,
                                                                          offset);
}
