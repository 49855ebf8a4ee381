// Image: the files of a node's data directory, as plain data that a trial may change.
#pragma once

#include <map>
#include <string>

#include "tests/sim/sim_file_system.h"

namespace flotilla::corruption {

using Image = std::map<std::string, std::string>;  // path -> content

// Everything below `directory`.
Image ReadImage(sim::SimFileSystem& files, const std::string& directory);
// Makes the directories that the paths name.
void WriteImage(const Image& image, sim::SimFileSystem& files);

}  // namespace flotilla::corruption
