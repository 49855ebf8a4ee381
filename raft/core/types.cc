#include "raft/core/types.h"

#include "base/coding.h"

namespace flotilla::raft {
namespace {

// Version 1: four sets (voters, outgoing, learners, learners_next), each a count and ascending
// node ids, then the context with its length. All integers are varints.
constexpr std::uint8_t kConfigurationVersion = 1;
// More members than any group has: a larger count is not a configuration.
constexpr std::uint64_t kMembersMax = 1024;

void AppendNodes(std::string& out, const std::set<NodeId>& nodes) {
  AppendVarint(out, nodes.size());
  for (NodeId node : nodes) AppendVarint(out, node.value());
}

bool ReadNodes(Reader& reader, std::set<NodeId>& nodes) {
  nodes.clear();
  std::uint64_t count = 0;
  if (!reader.Varint(count) || count > kMembersMax) return false;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t node = 0;
    if (!reader.Varint(node) || node == 0) return false;
    if (!nodes.empty() && node <= nodes.rbegin()->value()) return false;
    nodes.insert(nodes.end(), NodeId{node});
  }
  return true;
}

}  // namespace

std::string EncodeConfiguration(const Configuration& configuration) {
  std::string out;
  out.push_back(static_cast<char>(kConfigurationVersion));
  AppendNodes(out, configuration.voters);
  AppendNodes(out, configuration.outgoing);
  AppendNodes(out, configuration.learners);
  AppendNodes(out, configuration.learners_next);
  AppendPrefixed(out, configuration.context);
  return out;
}

bool DecodeConfiguration(std::string_view bytes, Configuration& configuration) {
  Reader reader(bytes);
  std::uint8_t version = 0;
  std::string_view context;
  if (!reader.Byte(version) || version != kConfigurationVersion) return false;
  if (!ReadNodes(reader, configuration.voters) || !ReadNodes(reader, configuration.outgoing) ||
      !ReadNodes(reader, configuration.learners) ||
      !ReadNodes(reader, configuration.learners_next)) {
    return false;
  }
  if (!reader.Prefixed(context) || !reader.empty()) return false;
  configuration.context = context;
  return true;
}

}  // namespace flotilla::raft
