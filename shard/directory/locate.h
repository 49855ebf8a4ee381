// Which group serves a request, by an image of the directory.
#pragma once

#include "base/status.h"
#include "shard/directory/image.h"
#include "shard/gateway.h"

namespace flotilla {

struct Location {
  GroupId group;           // serves all of it
  bool scattered = false;  // several groups serve a part each
  Status error;            // nobody can: KEYSPACE_NOT_FOUND
};

// Where the image knows nothing (it is empty until this node has heard of the directory) the first
// data group, which answers or says who knows better.
Location Locate(const DirectoryImage& image, const GatewayRequest& request);

}  // namespace flotilla
