// shard list|show|split|merge|move|explain.
#include <fmt/format.h>

#include "cmd/kvctl/app.h"
#include "cmd/kvctl/jobs.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/names.h"
#include "cmd/kvctl/shards.h"
#include "cmd/kvctl/table.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

using Stub = v1::Directory::Stub;

struct ShardFlags {
  std::uint64_t shard = 0;
  std::string key;
  std::uint32_t slot = 0;
  std::string node;
  std::string from;
  std::string to;
  bool wait = true;
};

std::string Nodes(const v1::Shard& shard) {
  std::string nodes = NodeNames(shard.voters());
  if (shard.learners_size() > 0) nodes += " + " + NodeNames(shard.learners());
  return nodes;
}

std::string Leader(const v1::Shard& shard) {
  const std::uint64_t leader = shard.load().leader_id();
  return leader == 0 ? "?" : fmt::format("n{}", leader);
}

template <class List>
std::string IdsJson(const List& nodes) {
  JsonArray json;
  for (const std::uint64_t node : nodes) json.Add(fmt::format("\"{}\"", node));
  return json.str();
}

JsonObject ToJson(const v1::Shard& shard) {
  JsonObject json;
  json.Number64("group_id", shard.group_id()).Text("keyspace", shard.keyspace());
  if (Hashed(shard)) {
    json.Number64("first_slot", shard.first_slot())
        .Number64("past_last_slot", shard.past_last_slot());
  } else {
    json.Bytes("start", shard.start()).Bytes("end", shard.end());
  }
  json.Number64("epoch", shard.epoch())
      .Raw("voters", IdsJson(shard.voters()))
      .Raw("learners", IdsJson(shard.learners()))
      .Bool("pinned", shard.pinned());
  if (shard.has_load()) {
    json.Number64("leader_id", shard.load().leader_id())
        .Number64("bytes", shard.load().bytes())
        .Number64("keys", shard.load().keys())
        .Number("reads_per_second", shard.load().reads_per_second())
        .Number("writes_per_second", shard.load().writes_per_second());
  }
  return json;
}

Status ListShards(Session& session, const std::string& node) {
  v1::ListShardsRequest request;
  request.set_keyspace(session.flags.keyspace);
  if (!node.empty()) {
    ASSIGN_OR_RETURN(const std::uint64_t id, FindNode(session, node));
    request.set_node_id(id);
  }
  ASSIGN_OR_RETURN(const std::vector<v1::Shard> shards, FetchShards(session, request));
  const Format format = session.FormatFor(true);
  if (format == Format::kJson) {
    JsonArray json;
    for (const v1::Shard& shard : shards) json.Add(ToJson(shard).str());
    session.PrintLine(JsonObject().Raw("shards", json.str()).str());
    return absl::OkStatus();
  }
  Table table({">shard", "keyspace", "from", "to", ">epoch", "replicas", "leader", ">size",
               ">reads/s", ">writes/s"});
  for (const v1::Shard& shard : shards) {
    if (format == Format::kPlain) {
      session.PrintLine(fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}", shard.group_id(),
                                    shard.keyspace(), From(session, shard), To(session, shard),
                                    shard.epoch(), Nodes(shard), Leader(shard)));
      continue;
    }
    const v1::ShardLoad& load = shard.load();
    table.Add({fmt::format("{}", shard.group_id()), shard.keyspace(), From(session, shard),
               To(session, shard), fmt::format("{}", shard.epoch()), Nodes(shard), Leader(shard),
               load.bytes() == 0 ? "-" : HumanBytes(load.bytes()),
               fmt::format("{:.0f}", load.reads_per_second()),
               fmt::format("{:.0f}", load.writes_per_second())});
  }
  if (format == Format::kTable) session.Print(table.Render(session.Color()));
  return absl::OkStatus();
}

void AddRows(const Session& session, const v1::Shard& shard, Table& table) {
  table.Add({"keyspace", shard.keyspace()});
  table.Add({"shard", fmt::format("{}", shard.group_id())});
  table.Add({"from", From(session, shard)});
  table.Add({"to", To(session, shard)});
  table.Add({"epoch", fmt::format("{}", shard.epoch())});
  table.Add({"voters", NodeNames(shard.voters())});
  if (shard.learners_size() > 0) table.Add({"learners", NodeNames(shard.learners())});
  table.Add({"leader", Leader(shard)});
  if (shard.has_load()) {
    table.Add({"size",
               fmt::format("{}, ~{} keys", HumanBytes(shard.load().bytes()), shard.load().keys())});
  }
  if (shard.pinned()) table.Add({"pinned", "yes: put there by hand"});
}

Status ShowShard(Session& session, std::uint64_t id) {
  v1::ListShardsRequest request;
  request.set_group_id(id);
  ASSIGN_OR_RETURN(const std::vector<v1::Shard> shards, FetchShards(session, request));
  if (shards.empty()) return Error(Reason::kShardNotFound, fmt::format("there is no shard {}", id));
  if (session.FormatFor(false) == Format::kJson) {
    session.PrintLine(ToJson(shards[0]).str());
    return absl::OkStatus();
  }
  Table table({"field", "value"});
  AddRows(session, shards[0], table);
  session.Print(table.Render(session.Color()));
  return absl::OkStatus();
}

Status Explain(Session& session, const std::string& text) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::LocateKeyRequest request;
  request.set_keyspace(session.flags.keyspace);
  ASSIGN_OR_RETURN(*request.mutable_key(), session.Argument(text));
  ASSIGN_OR_RETURN(const v1::LocateKeyResponse found, admin->Directory(&Stub::LocateKey, request));
  if (session.FormatFor(false) == Format::kJson) {
    JsonArray why;
    for (const std::string& reason : found.reasons()) why.Add(JsonString(reason));
    JsonObject json;
    json.Bytes("key", request.key()).Text("keyspace", found.keyspace().name());
    if (found.has_slot()) json.Number64("slot", found.slot());
    session.PrintLine(json.Raw("shard", ToJson(found.shard()).str()).Raw("why", why.str()).str());
    return absl::OkStatus();
  }
  Table table({"field", "value"});
  table.Add({"key", session.Show(request.key())});
  if (found.has_slot()) table.Add({"slot", fmt::format("{}", found.slot())});
  AddRows(session, found.shard(), table);
  for (const v1::NodeDescriptor& node : found.nodes()) {
    std::map<std::string, std::string> labels(node.labels().begin(), node.labels().end());
    std::string line = node.address();
    for (const auto& [name, value] : labels) line += fmt::format(" {}={}", name, value);
    table.Add({fmt::format("n{}", node.node_id()), line});
  }
  for (const std::string& reason : found.reasons()) table.Add({"why", reason});
  session.Print(table.Render(session.Color()));
  return absl::OkStatus();
}

Status Split(Session& session, const ShardFlags& flags, const CLI::App& given) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::SplitShardRequest request;
  request.set_group_id(flags.shard);
  if (given.count("--at") > 0) {
    ASSIGN_OR_RETURN(std::string key, session.Argument(flags.key));
    request.set_key(std::move(key));
  }
  if (given.count("--at-slot") > 0) request.set_slot(flags.slot);
  ASSIGN_OR_RETURN(const v1::JobResponse begun, admin->Directory(&Stub::SplitShard, request));
  return Begun(session, begun.job_id(), flags.wait);
}

Status Merge(Session& session, const ShardFlags& flags) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::MergeShardsRequest request;
  request.set_group_id(flags.shard);
  ASSIGN_OR_RETURN(const v1::JobResponse begun, admin->Directory(&Stub::MergeShards, request));
  return Begun(session, begun.job_id(), flags.wait);
}

Status Move(Session& session, const ShardFlags& flags) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::MoveReplicaRequest request;
  request.set_group_id(flags.shard);
  if (!flags.from.empty()) {
    ASSIGN_OR_RETURN(const std::uint64_t from, FindNode(session, flags.from));
    request.set_from_node_id(from);
  }
  if (!flags.to.empty()) {
    ASSIGN_OR_RETURN(const std::uint64_t to, FindNode(session, flags.to));
    request.set_to_node_id(to);
  }
  ASSIGN_OR_RETURN(const v1::JobResponse begun, admin->Directory(&Stub::MoveReplica, request));
  return Begun(session, begun.job_id(), flags.wait);
}

}  // namespace

void AddShardCommands(CLI::App& app, Session& session) {
  const auto run = [&session](const Status& status) {
    if (!status.ok()) session.Fail(status);
  };
  auto flags = std::make_shared<ShardFlags>();
  CLI::App* shard = app.add_subcommand("shard", "Parts of keyspaces, each held by a group");
  shard->require_subcommand(1);
  const auto add = [&](const char* name, const char* help) {
    CLI::App* command = shard->add_subcommand(name, help);
    command->add_option("SHARD", flags->shard, "its number")->required();
    return command;
  };
  const auto add_job = [&](const char* name, const char* help) {
    CLI::App* command = add(name, help);
    command->add_flag("!--no-wait", flags->wait, "do not wait for the job's end");
    return command;
  };

  CLI::App* command = shard->add_subcommand("list", "Show them; of one keyspace with --keyspace");
  command->add_option("--node", flags->node, "only those with a replica there");
  command->callback([=, &session] { run(ListShards(session, flags->node)); });
  command = add("show", "Show one");
  command->callback([=, &session] { run(ShowShard(session, flags->shard)); });
  command = shard->add_subcommand("explain", "Say where a key is, and why");
  command->add_option("KEY", flags->key, "the key; it need not exist")->required();
  command->callback([=, &session] { run(Explain(session, flags->key)); });

  command = add_job("split", "Make two of a shard; in the middle, unless told where");
  CLI::Option* at = command->add_option("--at", flags->key, "range: first key of the new shard");
  command->add_option("--at-slot", flags->slot, "hash: its first slot")->excludes(at);
  command->callback([=, &session] { run(Split(session, *flags, *command)); });
  command = add_job("merge", "Let a shard take in its right neighbour");
  command->callback([=, &session] { run(Merge(session, *flags)); });
  command = add_job("move", "Move a replica to another node");
  command->add_option("--from", flags->from, "a node; without it a replica is added");
  command->add_option("--to", flags->to, "a node; without it the replica is removed");
  command->callback([=, &session] { run(Move(session, *flags)); });
}

}  // namespace flotilla::kvctl
