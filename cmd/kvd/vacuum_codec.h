// What a node says of its collector, as messages of the API.
#pragma once

#include "flotilla/v1/cluster.pb.h"
#include "shard/directory/image.h"
#include "shard/node.h"

namespace flotilla {

void EncodeVacuum(const VacuumReport& report, v1::VacuumRunStatus& out);
void EncodeVacuums(const NodeInfo& info, const DirectoryImage& image,
                   v1::VacuumStatusResponse& out);

}  // namespace flotilla
