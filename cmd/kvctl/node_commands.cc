// node list|drain|activate|decommission, timestamp.
#include <fmt/format.h>

#include <algorithm>

#include "base/types.h"
#include "cmd/kvctl/app.h"
#include "cmd/kvctl/jobs.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/names.h"
#include "cmd/kvctl/table.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

std::string RoleOf(const v1::NodeDescriptor& node) {
  return Lower(v1::NodeRole_Name(node.role()), "NODE_ROLE_");
}

// Empty where the node that was asked has heard nothing.
const v1::NodeReport& ReportOf(const v1::ListNodesResponse& nodes, std::uint64_t node) {
  for (const v1::NodeReport& report : nodes.reports()) {
    if (report.node_id() == node) return report;
  }
  return v1::NodeReport::default_instance();
}

std::string StateOf(const v1::NodeReport& report) {
  if (report.liveness() == v1::LIVENESS_UNSPECIFIED) return "unknown";
  return Lower(v1::Liveness_Name(report.liveness()), "LIVENESS_");
}

std::map<std::string, std::string> Sorted(const v1::NodeDescriptor& node) {
  return {node.labels().begin(), node.labels().end()};
}

Status ListNodes(Session& session) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  ASSIGN_OR_RETURN(const v1::ListNodesResponse nodes, admin->ListNodes());
  const Format format = session.FormatFor(true);
  JsonArray json;
  Table table({"node", "address", "state", "role", "labels", ">weight", ">replicas", ">leaders",
               ">req/s", ">data", ">disk"});
  for (const v1::NodeDescriptor& node : nodes.descriptors()) {
    const v1::NodeReport& report = ReportOf(nodes, node.node_id());
    JsonObject labels;
    std::string words;
    for (const auto& [name, value] : Sorted(node)) {
      labels.Text(name, value);
      words += fmt::format("{}{}={}", words.empty() ? "" : ",", name, value);
    }
    json.Add(JsonObject()
                 .Number64("node_id", node.node_id())
                 .Text("address", node.address())
                 .Text("state", StateOf(report))
                 .Text("role", RoleOf(node))
                 .Raw("labels", labels.str())
                 .Number64("weight", node.weight())
                 .Number64("replicas", report.replicas())
                 .Number64("leaders", report.leaders())
                 .Number64("requests_per_second", report.requests_per_second())
                 .Number64("bytes_stored", report.bytes_stored())
                 .Number64("disk_bytes", report.disk_bytes())
                 .str());
    if (format == Format::kPlain) {
      session.PrintLine(fmt::format("{}\t{}\t{}\t{}\t{}", node.node_id(), node.address(),
                                    StateOf(report), RoleOf(node), words));
    }
    const bool told = report.disk_bytes() != 0;
    const auto number = [&](std::uint64_t value) { return told ? fmt::format("{}", value) : "-"; };
    const auto bytes = [&](std::uint64_t value) { return told ? HumanBytes(value) : "-"; };
    table.Add({fmt::format("n{}", node.node_id()), node.address(), StateOf(report), RoleOf(node),
               words.empty() ? "-" : words, fmt::format("{}", node.weight()),
               number(report.replicas()), number(report.leaders()),
               number(report.requests_per_second()), bytes(report.bytes_stored()),
               bytes(report.disk_bytes())});
  }
  if (format == Format::kJson) session.PrintLine(JsonObject().Raw("nodes", json.str()).str());
  if (format == Format::kTable) session.Print(table.Render(session.Color()));
  return absl::OkStatus();
}

struct DrainFlags {
  std::string node;
  bool dry_run = false;
  bool wait = true;
};

template <class Response>
Status Told(Session& session, const Response& response, const DrainFlags& flags) {
  if (!flags.dry_run) return Begun(session, response.job_id(), flags.wait);
  std::string_view plan = response.plan();
  while (!plan.empty() && plan.back() == '\n') plan.remove_suffix(1);
  Report(session, JsonObject().Text("plan", plan),
         plan.empty() ? "nothing would be moved" : std::string(plan));
  return absl::OkStatus();
}

Status Drain(Session& session, const DrainFlags& flags, bool undo) {
  ASSIGN_OR_RETURN(const std::uint64_t node, FindNode(session, flags.node));
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::DrainNodeRequest request;
  request.set_node_id(node);
  request.set_dry_run(flags.dry_run);
  request.set_undo(undo);
  ASSIGN_OR_RETURN(const v1::DrainNodeResponse response, admin->DrainNode(request));
  return Told(session, response, flags);
}

// Who is asked may be who goes, and cannot say how it ended.
Status LearnOthers(Session& session) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  ASSIGN_OR_RETURN(const v1::ListNodesResponse nodes, admin->ListNodes());
  std::vector<std::string>& endpoints = session.flags.endpoints;
  for (const v1::MemberStatus& node : nodes.nodes()) {
    const bool known = std::ranges::find(endpoints, node.address()) != endpoints.end();
    if (!known) endpoints.push_back(node.address());
  }
  return absl::OkStatus();
}

Status Decommission(Session& session, const DrainFlags& flags) {
  ASSIGN_OR_RETURN(const std::uint64_t node, FindNode(session, flags.node));
  RETURN_IF_ERROR(LearnOthers(session));
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::DecommissionNodeRequest request;
  request.set_node_id(node);
  request.set_dry_run(flags.dry_run);
  ASSIGN_OR_RETURN(const v1::DecommissionNodeResponse response, admin->DecommissionNode(request));
  return Told(session, response, flags);
}

Status ShowTimestamp(Session& session) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  ASSIGN_OR_RETURN(const v1::GetTimestampResponse now,
                   admin->Directory(&v1::Directory::Stub::GetTimestamp, {}));
  const std::uint64_t ms = now.timestamp() >> kTimestampCounterBits;
  const std::uint64_t counter = now.timestamp() & ((1u << kTimestampCounterBits) - 1);
  const std::string time = UtcTime(ms);
  Report(session,
         JsonObject()
             .Number64("timestamp", now.timestamp())
             .Text("time", time)
             .Number64("counter", counter),
         session.IsTerminal() ? fmt::format("{} ({} + {})", now.timestamp(), time, counter)
                              : fmt::format("{}", now.timestamp()));
  return absl::OkStatus();
}

}  // namespace

void AddNodeCommands(CLI::App& app, Session& session) {
  const auto run = [&session](const Status& status) {
    if (!status.ok()) session.Fail(status);
  };
  auto flags = std::make_shared<DrainFlags>();
  CLI::App* node = app.add_subcommand("node", "Nodes as the balancer sees them");
  node->require_subcommand(1);
  const auto add = [&](const char* name, const char* help) {
    CLI::App* command = node->add_subcommand(name, help);
    command->add_option("NODE", flags->node, "its number or address")->required();
    return command;
  };
  const auto add_drain = [&](const char* name, const char* help) {
    CLI::App* command = add(name, help);
    command->add_flag("--dry-run", flags->dry_run, "only say what would be moved, and why");
    command->add_flag("!--no-wait", flags->wait, "do not wait for the job's end");
    return command;
  };
  CLI::App* command = node->add_subcommand("list", "Show them: role, labels, weight");
  command->callback([=, &session] { run(ListNodes(session)); });
  command = add_drain("drain", "Move everything off a node; it may come back");
  command->callback([=, &session] { run(Drain(session, *flags, false)); });
  command = add("activate", "Let a drained node take replicas again");
  command->callback([=, &session] { run(Drain(session, *flags, true)); });
  command = add_drain("decommission", "Move everything off a node, for ever");
  command->callback([=, &session] { run(Decommission(session, *flags)); });

  command = app.add_subcommand("timestamp", "Print a new timestamp of the cluster's clock");
  command->callback([=, &session] { run(ShowTimestamp(session)); });
}

}  // namespace flotilla::kvctl
