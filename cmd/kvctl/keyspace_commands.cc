// keyspace create|list|show|alter|drop.
#include <fmt/format.h>

#include "cmd/kvctl/app.h"
#include "cmd/kvctl/jobs.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/names.h"
#include "cmd/kvctl/table.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

using Stub = v1::Directory::Stub;

struct KeyspaceFlags {
  std::string name;
  std::string partitioning = "range";
  std::uint32_t shards = 0;
  std::vector<std::string> split_at;
  std::uint32_t replicas = 0;
  std::vector<std::string> apart;
  std::vector<std::string> require;
  std::string retention;
  bool yes = false;
  bool wait = true;
};

using RequiredLabels = google::protobuf::Map<std::string, std::string>;

Status ParseLabels(const std::vector<std::string>& pairs, RequiredLabels& labels) {
  for (const std::string& pair : pairs) {
    const std::size_t equals = pair.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return Error(Reason::kBadRequest,
                   fmt::format("--require {} is not a label: write KEY=VALUE", pair));
    }
    labels[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return absl::OkStatus();
}

Status ParseRetention(const std::string& text, google::protobuf::Duration& out) {
  const auto retention = ParseDuration(text);
  if (!retention) {
    return Error(Reason::kBadRequest,
                 fmt::format("--retention {} is not a duration: write 30s, 5m or 2h", text));
  }
  out.set_seconds(retention->count() / 1'000'000'000);
  out.set_nanos(static_cast<std::int32_t>(retention->count() % 1'000'000'000));
  return absl::OkStatus();
}

std::string PartitioningOf(const v1::Keyspace& keyspace) {
  return Lower(v1::Partitioning_Name(keyspace.partitioning()), "PARTITIONING_");
}

std::string RequireOf(const v1::Keyspace& keyspace) {
  std::vector<std::string> pairs;
  for (const auto& [key, value] : keyspace.require()) pairs.push_back(key + "=" + value);
  std::sort(pairs.begin(), pairs.end());
  return fmt::format("{}", fmt::join(pairs, ","));
}

JsonObject ToJson(const v1::Keyspace& keyspace) {
  JsonArray apart;
  for (const std::string& label : keyspace.apart()) apart.Add(JsonString(label));
  std::map<std::string, std::string> sorted(keyspace.require().begin(), keyspace.require().end());
  JsonObject require;
  for (const auto& [key, value] : sorted) require.Text(key, value);
  return JsonObject()
      .Number64("id", keyspace.id())
      .Text("name", keyspace.name())
      .Text("partitioning", PartitioningOf(keyspace))
      .Number64("shards", keyspace.shards())
      .Number64("shards_min", keyspace.shards_min())
      .Number64("replicas", keyspace.replicas())
      .Raw("apart", apart.str())
      .Raw("require", require.str())
      .Number64("retention_seconds", static_cast<std::uint64_t>(keyspace.retention().seconds()))
      .Bool("dropping", keyspace.dropping());
}

void ShowAll(Session& session, const v1::ListKeyspacesResponse& found) {
  const Format format = session.FormatFor(true);
  if (format == Format::kJson) {
    JsonArray json;
    for (const v1::Keyspace& keyspace : found.keyspaces()) json.Add(ToJson(keyspace).str());
    session.PrintLine(JsonObject().Raw("keyspaces", json.str()).str());
    return;
  }
  Table table(
      {"name", "partitioning", ">shards", ">replicas", "apart", "require", "retention", "state"});
  for (const v1::Keyspace& keyspace : found.keyspaces()) {
    const std::string state = keyspace.dropping() ? "dropping" : "open";
    if (format == Format::kPlain) {
      session.PrintLine(fmt::format("{}\t{}\t{}\t{}\t{}", keyspace.name(), PartitioningOf(keyspace),
                                    keyspace.shards(), keyspace.replicas(), state));
      continue;
    }
    table.Add(
        {keyspace.name(), PartitioningOf(keyspace), fmt::format("{}", keyspace.shards()),
         fmt::format("{}", keyspace.replicas()),
         keyspace.apart_size() == 0 ? "-" : fmt::format("{}", fmt::join(keyspace.apart(), ",")),
         keyspace.require().empty() ? "-" : RequireOf(keyspace),
         HumanSeconds(static_cast<std::uint64_t>(keyspace.retention().seconds())), state});
  }
  if (format == Format::kTable) session.Print(table.Render(session.Color()));
}

Status ListKeyspaces(Session& session) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  ASSIGN_OR_RETURN(const v1::ListKeyspacesResponse found,
                   admin->Directory(&Stub::ListKeyspaces, {}));
  ShowAll(session, found);
  return absl::OkStatus();
}

Status ShowKeyspace(Session& session, const std::string& name) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::ListKeyspacesRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const v1::ListKeyspacesResponse found,
                   admin->Directory(&Stub::ListKeyspaces, request));
  if (session.FormatFor(false) == Format::kJson) {
    session.PrintLine(ToJson(found.keyspaces(0)).str());
    return absl::OkStatus();
  }
  const v1::Keyspace& keyspace = found.keyspaces(0);
  Table table({"field", "value"});
  table.Add({"name", keyspace.name()});
  table.Add({"id", fmt::format("{}", keyspace.id())});
  table.Add({"partitioning", PartitioningOf(keyspace)});
  table.Add({"shards", fmt::format("{} (at least {})", keyspace.shards(), keyspace.shards_min())});
  table.Add({"replicas", fmt::format("{}", keyspace.replicas())});
  table.Add({"apart", fmt::format("{}", fmt::join(keyspace.apart(), ","))});
  table.Add({"require", RequireOf(keyspace)});
  table.Add(
      {"retention", HumanSeconds(static_cast<std::uint64_t>(keyspace.retention().seconds()))});
  table.Add({"state", keyspace.dropping() ? "dropping" : "open"});
  session.Print(table.Render(session.Color()));
  return absl::OkStatus();
}

Status CreateKeyspace(Session& session, const KeyspaceFlags& flags) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::CreateKeyspaceRequest request;
  request.set_name(flags.name);
  request.set_partitioning(flags.partitioning == "hash" ? v1::PARTITIONING_HASH
                                                        : v1::PARTITIONING_RANGE);
  request.set_replicas(flags.replicas);
  request.set_shards(flags.shards);
  for (const std::string& key : flags.split_at) {
    ASSIGN_OR_RETURN(*request.add_split_keys(), session.Argument(key));
  }
  for (const std::string& label : flags.apart) request.add_apart(label);
  RETURN_IF_ERROR(ParseLabels(flags.require, *request.mutable_require()));
  if (!flags.retention.empty()) {
    RETURN_IF_ERROR(ParseRetention(flags.retention, *request.mutable_retention()));
  }
  session.Progress("waiting for the shards' leaders");
  const auto created = admin->Directory(&Stub::CreateKeyspace, request);
  session.Progress("");
  RETURN_IF_ERROR(created.status());
  Report(session, ToJson(created->keyspace()),
         fmt::format("created {} with {} shard{}", flags.name, created->keyspace().shards(),
                     created->keyspace().shards() == 1 ? "" : "s"));
  return absl::OkStatus();
}

Status AlterKeyspace(Session& session, const KeyspaceFlags& flags, const CLI::App& given) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::AlterKeyspaceRequest request;
  request.set_name(flags.name);
  if (given.count("--replicas") > 0) request.set_replicas(flags.replicas);
  if (given.count("--apart") > 0) {
    auto& names = *request.mutable_apart();
    for (const std::string& label : flags.apart) {
      if (label != "none") names.add_names(label);
    }
  }
  if (given.count("--require") > 0) {
    auto& values = *request.mutable_require()->mutable_values();
    if (flags.require != std::vector<std::string>{"none"}) {
      RETURN_IF_ERROR(ParseLabels(flags.require, values));
    }
  }
  if (!flags.retention.empty()) {
    RETURN_IF_ERROR(ParseRetention(flags.retention, *request.mutable_retention()));
  }
  ASSIGN_OR_RETURN(const v1::AlterKeyspaceResponse altered,
                   admin->Directory(&Stub::AlterKeyspace, request));
  Report(session, ToJson(altered.keyspace()),
         fmt::format("altered {}; the balancer follows", flags.name));
  return absl::OkStatus();
}

Status DropKeyspace(Session& session, const KeyspaceFlags& flags) {
  if (!flags.yes) {
    return Error(
        Reason::kBadRequest,
        fmt::format("this deletes everything in keyspace {}: repeat it with --yes", flags.name));
  }
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::DropKeyspaceRequest request;
  request.set_name(flags.name);
  ASSIGN_OR_RETURN(const v1::DropKeyspaceResponse dropped,
                   admin->Directory(&Stub::DropKeyspace, request));
  return Begun(session, dropped.job_id(), flags.wait);
}

void AddPolicy(CLI::App& command, KeyspaceFlags& flags) {
  command.add_option("--replicas", flags.replicas, "voters per shard; default: 3");
  command
      .add_option("--apart", flags.apart,
                  "a label whose values replicas do not share, such as zone")
      ->delimiter(',');
  command.add_option("--require", flags.require, "only nodes with this label, KEY=VALUE")
      ->delimiter(',');
  command.add_option("--retention", flags.retention, "how long old versions are kept, such as 1h");
}

}  // namespace

void AddKeyspaceCommands(CLI::App& app, Session& session) {
  const auto run = [&session](const Status& status) {
    if (!status.ok()) session.Fail(status);
  };
  auto flags = std::make_shared<KeyspaceFlags>();
  CLI::App* keyspace = app.add_subcommand("keyspace", "Named sets of keys, each with a policy");
  keyspace->require_subcommand(1);

  CLI::App* command = keyspace->add_subcommand("create", "Create a keyspace");
  command->add_option("NAME", flags->name, "a-z, 0-9, '_', '-' and '.'")->required();
  command->add_option("--partitioning", flags->partitioning, "range or hash")
      ->check(CLI::IsMember({"range", "hash"}));
  command->add_option("--shards", flags->shards, "hash: how many to begin with");
  command->add_option("--split-at", flags->split_at, "range: a key to split at; repeat it");
  AddPolicy(*command, *flags);
  command->callback([=, &session] { run(CreateKeyspace(session, *flags)); });

  command = keyspace->add_subcommand("list", "Show them");
  command->callback([=, &session] { run(ListKeyspaces(session)); });
  command = keyspace->add_subcommand("show", "Show one");
  command->add_option("NAME", flags->name, "its name")->required();
  command->callback([=, &session] { run(ShowKeyspace(session, flags->name)); });

  command = keyspace->add_subcommand("alter", "Change what is given; `none` takes labels away");
  command->add_option("NAME", flags->name, "its name")->required();
  AddPolicy(*command, *flags);
  command->callback([=, &session] { run(AlterKeyspace(session, *flags, *command)); });

  command = keyspace->add_subcommand("drop", "Delete a keyspace with everything in it");
  command->add_option("NAME", flags->name, "its name")->required();
  command->add_flag("--yes", flags->yes, "really");
  command->add_flag("!--no-wait", flags->wait, "do not wait for the job's end");
  command->callback([=, &session] { run(DropKeyspace(session, *flags)); });
}

}  // namespace flotilla::kvctl
