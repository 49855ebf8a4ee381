#include "base/planted.h"

#ifdef FLOTILLA_PLANTED

#include <cstdio>
#include <cstdlib>

namespace flotilla {

Plant PlantOfEnvironment() {
  const char* const wanted = std::getenv("FLOTILLA_PLANT");
  if (wanted == nullptr) return Plant::kNone;
  for (const PlantEntry& entry : kPlants) {
    if (entry.name == wanted) return entry.plant;
  }
  std::fprintf(stderr,
               "error: FLOTILLA_PLANT: there is no planted bug `%s`\n"
               "hint:  base/planted.inc has their names\n",
               wanted);
  std::_Exit(kNoSuchPlant);
}

}  // namespace flotilla

#endif
