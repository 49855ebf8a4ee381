#include "shard/placement/plan.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

namespace flotilla {
namespace {

// A line, in columns as wide as the widest of all lines.
struct Line {
  std::string_view purpose;
  std::string what;
  std::string why;
};

// An encoded key without its keyspace, which the shard says; bytes that are not text as \xNN.
std::string KeyText(std::string_view encoded) {
  std::string text;
  for (const char c : encoded.substr(std::min<std::size_t>(4, encoded.size()))) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7f && c != '\\') {
      text.push_back(c);
    } else {
      text += fmt::format("\\x{:02x}", byte);
    }
  }
  return text;
}

std::string Lines(const std::vector<Line>& lines) {
  std::size_t purpose_width = 0;
  std::size_t what_width = 0;
  for (const Line& line : lines) {
    purpose_width = std::max(purpose_width, line.purpose.size());
    what_width = std::max(what_width, line.what.size());
  }
  std::string out;
  for (const Line& line : lines) {
    out += fmt::format("  {:<{}}  {:<{}}  {}\n", line.purpose, purpose_width, line.what, what_width,
                       line.why);
  }
  return out;
}

}  // namespace

std::string_view PurposeText(Purpose purpose) {
  switch (purpose) {
    case Purpose::kRepair:
      return "repair";
    case Purpose::kDrain:
      return "drain";
    case Purpose::kConstraint:
      return "labels";
    case Purpose::kRing:
      return "ring";
    case Purpose::kReplicas:
      return "replicas";
    case Purpose::kLeaders:
      return "leaders";
    case Purpose::kLoad:
      return "load";
  }
  return "?";
}

std::string ActionText(const Action& action) {
  const std::uint64_t group = action.group.value();
  const std::uint64_t from = action.from.value();
  const std::uint64_t to = action.to.value();
  const std::string_view learner = action.learner ? "learner of " : "";
  switch (action.kind) {
    case ActionKind::kAddReplica:
      return fmt::format("add {}shard {} on node {}", learner, group, to);
    case ActionKind::kMoveReplica:
      return fmt::format("move {}shard {} from node {} to node {}", learner, group, from, to);
    case ActionKind::kRemoveReplica:
      return fmt::format("remove {}shard {} from node {}", learner, group, from);
    case ActionKind::kTransferLeader:
      return fmt::format("lead shard {} on node {} instead of node {}", group, to, from);
    case ActionKind::kSplit:
      return fmt::format("split shard {} at {}", group, KeyText(action.key));
    case ActionKind::kMerge:
      return fmt::format("merge shard {} with shard {}", group, action.other.value());
    case ActionKind::kReplaceVoter:
      if (!action.to) return fmt::format("node {} votes on the directory no more", from);
      if (!action.from) return fmt::format("node {} votes on the directory, too", to);
      return fmt::format("node {} votes on the directory instead of node {}", to, from);
  }
  return "?";
}

std::string PlanText(const Plan& plan, std::size_t later_max) {
  std::string out;
  if (plan.Settled()) out += "nothing to do\n";
  std::vector<Line> lines;
  for (const Action& action : plan.actions) {
    lines.push_back({PurposeText(action.purpose), ActionText(action), action.reason});
  }
  if (!lines.empty()) out += fmt::format("now ({}):\n", lines.size()) + Lines(lines);
  lines.clear();
  for (const Action& action : plan.later) {
    if (lines.size() == later_max) break;
    lines.push_back({PurposeText(action.purpose), ActionText(action),
                     fmt::format("{}; waits: {}", action.reason, action.waits_for)});
  }
  if (!lines.empty()) out += fmt::format("later ({}):\n", plan.later.size()) + Lines(lines);
  if (plan.later.size() > lines.size()) {
    out += fmt::format("  and {} more\n", plan.later.size() - lines.size());
  }
  if (!plan.obstacles.empty()) out += fmt::format("cannot ({}):\n", plan.obstacles.size());
  for (const Obstacle& obstacle : plan.obstacles) {
    if (obstacle.shards == 0) {
      out += fmt::format("  {}\n", obstacle.text);
    } else if (obstacle.shards == 1) {
      out += fmt::format("  shard {}: {}\n", obstacle.example.value(), obstacle.text);
    } else {
      out += fmt::format("  {} shards (one is {}): {}\n", obstacle.shards, obstacle.example.value(),
                         obstacle.text);
    }
  }
  return out;
}

}  // namespace flotilla
