// Where the shards of a new keyspace begin: hash keyspaces by the ring, range keyspaces on the
// nodes that have the fewest replicas, apart as the keyspace's labels say.
#pragma once

#include "shard/directory/edits.h"

namespace flotilla {

// On nodes that are active, by what the image knows of them; counts what it has placed.
Placement PlaceNewShards(const DirectoryImage& image);

}  // namespace flotilla
