// Planted bugs: mistakes that real systems made, in the code on purpose, so that `./dev planted`
// can see the simulator, or a scripted test, find each of them.
//
// Only a build with FLOTILLA_PLANTED has them (the preset `planted`); in every other one Planted()
// is false when the code is compiled. There the environment variable FLOTILLA_PLANT names the one
// that is in force in any program.
#pragma once

#include <cstdint>
#include <string_view>

namespace flotilla {

enum class Plant : std::uint8_t {
  kNone,
#define FLOTILLA_PLANT(enumerator, name, meaning) enumerator,
#include "base/planted.inc"
#undef FLOTILLA_PLANT
};

struct PlantEntry {
  Plant plant;
  std::string_view name;
  std::string_view meaning;
};

inline constexpr PlantEntry kPlants[] = {
#define FLOTILLA_PLANT(enumerator, name, meaning) {Plant::enumerator, name, meaning},
#include "base/planted.inc"
#undef FLOTILLA_PLANT
};

#ifdef FLOTILLA_PLANTED
// A program that is to have a bug that there is not ends with this.
inline constexpr int kNoSuchPlant = 2;
// What FLOTILLA_PLANT names; kNone without it.
Plant PlantOfEnvironment();

// The one in force. Set before anything runs.
inline Plant planted = PlantOfEnvironment();
inline bool Planted(Plant plant) { return planted == plant; }
#else
constexpr bool Planted(Plant) { return false; }
#endif

}  // namespace flotilla
