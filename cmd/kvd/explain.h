// Explain: why a key is where it is, in sentences for people.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "shard/directory/image.h"

namespace flotilla {

std::vector<std::string> WhyThere(const DirectoryImage& image, const KeyspaceDescriptor& keyspace,
                                  const ShardDescriptor& shard, std::string_view user_key);

}  // namespace flotilla
