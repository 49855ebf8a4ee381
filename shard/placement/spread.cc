#include "shard/placement/spread.h"

namespace flotilla {

PlacementRule RuleOf(const KeyspaceDescriptor& keyspace) {
  return {.replicas = keyspace.replicas, .apart = keyspace.apart, .require = keyspace.require};
}

const std::string& LabelOf(const NodeRecord& node, const std::string& label) {
  static const std::string kNone;
  const auto found = node.labels.find(label);
  return found == node.labels.end() ? kNone : found->second;
}

bool Satisfies(const NodeRecord& node, const Labels& require) {
  for (const auto& [label, value] : require) {
    const auto found = node.labels.find(label);
    if (found == node.labels.end() || found->second != value) return false;
  }
  return true;
}

std::uint32_t Conflicts(const std::vector<const NodeRecord*>& nodes,
                        const std::vector<std::string>& apart) {
  std::uint32_t pairs = 0;
  for (const std::string& label : apart) {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      for (std::size_t j = i + 1; j < nodes.size(); ++j) {
        pairs += LabelOf(*nodes[i], label) == LabelOf(*nodes[j], label);
      }
    }
  }
  return pairs;
}

std::string LabelsText(const Labels& labels) {
  std::string text;
  for (const auto& [label, value] : labels) {
    if (!text.empty()) text += ", ";
    text.append(label).append("=").append(value);
  }
  return text;
}

}  // namespace flotilla
