// Preloaded into kvd by tests: a disk that hangs.
//
// While the file named by DISK_HANGS exists, no sync returns.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>

namespace {

using SyncFunction = int (*)(int);

int Sync(const char* name, int descriptor) {
  const char* const hangs = std::getenv("DISK_HANGS");
  while (hangs != nullptr && access(hangs, F_OK) == 0) usleep(5000);
  return reinterpret_cast<SyncFunction>(dlsym(RTLD_NEXT, name))(descriptor);
}

}  // namespace

extern "C" int fsync(int descriptor) { return Sync("fsync", descriptor); }
extern "C" int fdatasync(int descriptor) { return Sync("fdatasync", descriptor); }
