// status.
#include <fmt/format.h>

#include "cmd/kvctl/app.h"
#include "cmd/kvctl/asking.h"
#include "cmd/kvctl/health.h"
#include "cmd/kvctl/interrupt.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/names.h"
#include "cmd/kvctl/table.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

std::string StateName(v1::NodeState state) {
  return Lower(v1::NodeState_Name(state), "NODE_STATE_");
}

std::string ToJson(const ClusterView& view) {
  JsonArray nodes;
  for (const StatusLine& line : view.lines) {
    JsonObject json;
    json.Number64("node_id", line.node_id)
        .Text("address", line.address)
        .Bool("reachable", line.reachable);
    if (!line.reachable) {
      nodes.Add(json.Text("error", line.error).str());
      continue;
    }
    json.Text("state", StateName(line.node.state()))
        .Text("version", line.node.version())
        .Text("http_address", line.node.http_address())
        .Number64("uptime_seconds", static_cast<std::uint64_t>(line.node.uptime().seconds()))
        .Number64("memory_bytes", line.node.memory_bytes())
        .Number64("log_live_bytes", line.node.log().live_bytes())
        .Number64("group_id", line.group.group_id())
        .Number64("leader_id", line.group.leader_id());
    AddPart(line, json);
    nodes.Add(json.str());
  }
  JsonArray problems;
  for (const std::string& problem : view.problems) problems.Add(JsonString(problem));
  return JsonObject()
      .Bool("healthy", view.problems.empty())
      .Raw("problems", problems.str())
      .Number64("cluster_id", view.cluster_id)
      .Number64("leader_id", view.leader_id)
      .Raw("nodes", nodes.str())
      .str();
}

std::string Painted(const Session& session, const char* code, const std::string& text) {
  return session.Color() ? fmt::format("\033[{}m{}\033[0m", code, text) : text;
}

std::string ToTable(const Session& session, const ClusterView& view) {
  Table table({"node", "address", "state", "role", ">term", ">commit", ">applied", ">lag", ">keys",
               ">disk", ">log", "uptime"});
  for (const StatusLine& line : view.lines) {
    const std::string name = line.node_id != 0 ? fmt::format("n{}", line.node_id) : "?";
    if (!line.reachable) {
      table.Add({name, line.address, Painted(session, "31", "unreachable"), "-", "-", "-", "-", "-",
                 "-", "-", "-", "-"});
      continue;
    }
    const v1::GroupStatus& group = line.group;
    std::string role = RoleName(group.role());
    if (group.role() == v1::ROLE_LEADER) role = Painted(session, "32", role);
    table.Add(
        {name, line.address, StateName(line.node.state()), role, fmt::format("{}", group.term()),
         fmt::format("{}", group.commit_index()), fmt::format("{}", group.applied_index()),
         line.lag ? fmt::format("{}", *line.lag) : "-", fmt::format("~{}", group.keys_estimate()),
         HumanBytes(group.disk_bytes()), HumanBytes(line.node.log().live_bytes()),
         HumanSeconds(static_cast<std::uint64_t>(line.node.uptime().seconds()))});
  }
  return table.Render(session.Color());
}

Status Show(Session& session) {
  ASSIGN_OR_RETURN(const ClusterView view, AskEveryNode(session));
  if (session.FormatFor(true) == Format::kJson) {
    session.PrintLine(ToJson(view));
  } else {
    session.Print(ToTable(session, view));
    session.Print("\n");
    if (view.problems.empty()) {
      session.PrintLine(Painted(session, "32", "healthy"));
    } else {
      for (const std::string& problem : view.problems) {
        session.PrintLine(Painted(session, "31", "unhealthy: ") + problem);
      }
    }
  }
  if (!view.problems.empty()) session.exit_code = kUnhealthy;
  return absl::OkStatus();
}

void Watch(Session& session) {
  Interrupt interrupt;
  do {
    session.exit_code = kDone;
    // Clears the screen and goes to its top.
    if (session.IsTerminal()) session.Print("\033[H\033[2J");
    const Status status = Show(session);
    if (!status.ok()) session.Fail(status);
    std::fflush(stdout);
  } while (!interrupt.WaitFor(std::chrono::seconds(1)));
}

}  // namespace

void AddStatusCommand(CLI::App& app, Session& session) {
  auto watch = std::make_shared<bool>(false);
  CLI::App* command =
      app.add_subcommand("status", "Show every node; exit code 9 when something is wrong");
  command->add_flag("--watch", *watch, "again every second, until Ctrl-C");
  command->callback([=, &session] {
    if (*watch) return Watch(session);
    const Status status = Show(session);
    if (!status.ok()) session.Fail(status);
  });
}

}  // namespace flotilla::kvctl
