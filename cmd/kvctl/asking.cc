#include "cmd/kvctl/asking.h"

#include <fmt/format.h>

#include <algorithm>

#include "cmd/kvctl/names.h"

namespace flotilla::kvctl {
namespace {

constexpr Duration kStatusTimeoutMax = std::chrono::milliseconds(900);

}  // namespace

StatusOr<ClusterView> AskEveryNode(Session& session) {
  ASSIGN_OR_RETURN(const Duration timeout, session.Timeout());
  ASSIGN_OR_RETURN(auto* const regular, session.Admin());  // checks the endpoints
  client::Admin admin(regular->endpoints(), std::min(timeout, kStatusTimeoutMax));
  std::vector<NodeAnswer> answers;
  const auto ask = [&](const std::vector<std::string>& addresses) {
    auto statuses = admin.StatusOf(addresses);
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      answers.push_back({addresses[i], std::move(statuses[i])});
    }
  };
  ask(session.flags.endpoints);
  ask(UnaskedMembers(answers));
  ClusterView view = ViewOf(answers);
  const bool any = std::any_of(view.lines.begin(), view.lines.end(),
                               [](const StatusLine& line) { return line.reachable; });
  if (!any) {
    return Error(Reason::kUnreachable, fmt::format("{}", fmt::join(view.problems, "; ")));
  }
  return view;
}

StatusOr<std::set<std::string>> AnsweringNodes(Session& session) {
  ASSIGN_OR_RETURN(const ClusterView view, AskEveryNode(session));
  std::set<std::string> addresses;
  for (const StatusLine& line : view.lines) {
    if (line.reachable) {
      addresses.insert(line.address);
    } else {
      session.Note(fmt::format("not asked: {}", line.error));
    }
  }
  return addresses;
}

std::string RoleName(v1::Role role) { return Lower(v1::Role_Name(role), "ROLE_"); }

void AddPart(const StatusLine& line, JsonObject& json) {
  json.Text("role", RoleName(line.group.role()))
      .Number64("term", line.group.term())
      .Number64("commit_index", line.group.commit_index())
      .Number64("applied_index", line.group.applied_index())
      .Number64("last_index", line.group.last_index())
      .Number64("snapshot_index", line.group.snapshot_index())
      .Number64("keys_estimate", line.group.keys_estimate())
      .Number64("disk_bytes", line.group.disk_bytes());
  if (line.lag) json.Number64("lag", *line.lag);
}

}  // namespace flotilla::kvctl
