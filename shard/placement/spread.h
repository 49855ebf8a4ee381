// What a keyspace asks of the nodes that hold its replicas: how many, with which labels, apart by
// which. Pure functions, the same for the ring and for the balancer. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shard/directory/descriptors.h"

namespace flotilla {

struct PlacementRule {
  std::uint32_t replicas = 3;
  std::vector<std::string> apart;
  Labels require;
};

PlacementRule RuleOf(const KeyspaceDescriptor& keyspace);

// A label that a node lacks counts as the empty value, and all nodes that lack it as one place:
// nobody knows whether they are apart.
const std::string& LabelOf(const NodeRecord& node, const std::string& label);

// Has all of these labels.
bool Satisfies(const NodeRecord& node, const Labels& require);

// How many pairs of these nodes share a value of a label in `apart`; a pair that shares two counts
// twice. Fewest where replicas are spread as evenly over the values as can be.
std::uint32_t Conflicts(const std::vector<const NodeRecord*>& nodes,
                        const std::vector<std::string>& apart);

// "zone=a, disk=ssd".
std::string LabelsText(const Labels& labels);

}  // namespace flotilla
