// Which group serves a request, by an image of the directory.
#pragma once

#include "shard/directory/image.h"
#include "shard/gateway.h"

namespace flotilla {

// By the first key that the request names. Where the image knows no shard (it is empty until this
// node has heard of the directory) the first data group, which answers or says who knows better.
GroupId GroupOf(const DirectoryImage& image, const GatewayRequest& request);

}  // namespace flotilla
