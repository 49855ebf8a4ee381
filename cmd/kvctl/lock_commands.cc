// lock list|deadlocks.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "cmd/kvctl/app.h"
#include "cmd/kvctl/asking.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/locks.h"
#include "cmd/kvctl/names.h"
#include "cmd/kvctl/table.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

// What `ask` gets from every node that answers.
template <class Ask, class Take>
Status OfEveryNode(Session& session, Ask ask, Take take) {
  ASSIGN_OR_RETURN(const std::set<std::string> nodes, AnsweringNodes(session));
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  for (const std::string& node : nodes) {
    auto answer = ask(*admin, node);
    if (answer.ok()) {
      take(*answer);
    } else {
      session.Note(fmt::format("not listed: {}", MessageOf(answer.status())));
    }
  }
  return absl::OkStatus();
}

std::string WhatIsLocked(const Session& session, const v1::Lock& lock) {
  if (!lock.ranges()) return session.Show(lock.key());
  if (lock.key().empty() && lock.end().empty()) return "(all)";
  return fmt::format("{} .. {}", session.Show(lock.key()),
                     lock.end().empty() ? "(end)" : session.Show(lock.end()));
}

std::string NodeName(std::uint64_t id) { return id == 0 ? "-" : fmt::format("n{}", id); }

Status ListDeadlocks(Session& session) {
  std::vector<v1::Deadlock> found;
  RETURN_IF_ERROR(OfEveryNode(
      session, [](client::Admin& admin, const auto& node) { return admin.ListDeadlocks(node); },
      [&](const v1::ListDeadlocksResponse& some) {
        found.insert(found.end(), some.deadlocks().begin(), some.deadlocks().end());
      }));
  const auto moment = [](const v1::Deadlock& one) {
    return std::pair(one.at().seconds(), one.at().nanos());
  };
  std::sort(found.begin(), found.end(),
            [&](const auto& a, const auto& b) { return moment(a) < moment(b); });
  const Format format = session.FormatFor(true);
  JsonArray json;
  Table table(
      {"at", ">transaction", "node", "waited for", "keyspace", ">which had", "rolled back"});
  for (const v1::Deadlock& one : found) {
    const std::string at = UtcTime(
        static_cast<std::uint64_t>(one.at().seconds() * 1000 + one.at().nanos() / 1'000'000));
    JsonArray steps;
    for (int i = 0; i < one.steps_size(); ++i) {
      const v1::DeadlockStep& step = one.steps(i);
      const v1::DeadlockStep& next = one.steps((i + 1) % one.steps_size());
      const bool victim = step.transaction_id() == one.victim_transaction_id();
      if (format == Format::kJson) {
        steps.Add(JsonObject()
                      .Number64("transaction_id", step.transaction_id())
                      .Number64("coordinator_node_id", step.coordinator_node_id())
                      .Text("keyspace", step.keyspace())
                      .Bytes("key", step.key())
                      .str());
        continue;
      }
      const std::vector<std::string> cells{i == 0 || format == Format::kPlain ? at : "",
                                           fmt::format("{}", step.transaction_id()),
                                           NodeName(step.coordinator_node_id()),
                                           session.Show(step.key()),
                                           step.keyspace(),
                                           fmt::format("{}", next.transaction_id()),
                                           victim ? "yes" : ""};
      if (format == Format::kTable) {
        table.Add(cells);
      } else {
        session.PrintLine(fmt::format("{}", fmt::join(cells, "\t")));
      }
    }
    if (format != Format::kJson) continue;
    json.Add(JsonObject()
                 .Text("at", at)
                 .Number64("victim_transaction_id", one.victim_transaction_id())
                 .Raw("steps", steps.str())
                 .str());
  }
  if (format == Format::kJson) session.PrintLine(JsonObject().Raw("deadlocks", json.str()).str());
  if (format == Format::kTable) session.Print(table.Render(session.Color()));
  return absl::OkStatus();
}

}  // namespace

Status ListLocks(Session& session, std::uint64_t transaction) {
  std::vector<v1::Lock> locks;
  bool more = false;
  RETURN_IF_ERROR(OfEveryNode(
      session, [](client::Admin& admin, const auto& node) { return admin.ListLocks(node); },
      [&](const v1::ListLocksResponse& some) {
        more |= some.more();
        for (const v1::Lock& lock : some.locks()) {
          if (transaction == 0 || lock.transaction_id() == transaction) locks.push_back(lock);
        }
      }));
  std::sort(locks.begin(), locks.end(), [](const v1::Lock& a, const v1::Lock& b) {
    return std::tuple(a.keyspace(), a.key(), a.transaction_id()) <
           std::tuple(b.keyspace(), b.key(), b.transaction_id());
  });
  const Format format = session.FormatFor(true);
  JsonArray json;
  Table table({"key", "keyspace", ">shard", "lock", ">transaction", "node", ">held", ">waiting"});
  for (const v1::Lock& one : locks) {
    const std::string kind = Lower(v1::LockKind_Name(one.kind()), "LOCK_KIND_");
    const std::int64_t held_ms = one.held().seconds() * 1000 + one.held().nanos() / 1'000'000;
    if (format == Format::kJson) {
      JsonObject lock;
      lock.Text("keyspace", one.keyspace()).Bytes("key", one.key()).Bool("range", one.ranges());
      if (one.ranges()) lock.Bytes("end", one.end());
      json.Add(lock.Number64("shard_id", one.shard_id())
                   .Text("kind", kind)
                   .Number64("transaction_id", one.transaction_id())
                   .Number64("coordinator_node_id", one.coordinator_node_id())
                   .Number64("held_ms", static_cast<std::uint64_t>(held_ms))
                   .Number64("waiting", one.waiting())
                   .str());
      continue;
    }
    const std::vector<std::string> cells{
        WhatIsLocked(session, one),
        one.keyspace(),
        fmt::format("{}", one.shard_id()),
        kind,
        fmt::format("{}", one.transaction_id()),
        NodeName(one.coordinator_node_id()),
        fmt::format("{:.1f}s", static_cast<double>(held_ms) / 1000),
        fmt::format("{}", one.waiting())};
    if (format == Format::kTable) {
      table.Add(cells);
    } else {
      session.PrintLine(fmt::format("{}", fmt::join(cells, "\t")));
    }
  }
  if (format == Format::kJson) session.PrintLine(JsonObject().Raw("locks", json.str()).str());
  if (format == Format::kTable) session.Print(table.Render(session.Color()));
  if (more) session.Note("there are more locks than were listed");
  return absl::OkStatus();
}

void AddLockCommands(CLI::App& app, Session& session) {
  const auto run = [&session](const Status& status) {
    if (!status.ok()) session.Fail(status);
  };
  CLI::App* lock = app.add_subcommand("lock", "What transactions have locked");
  lock->require_subcommand(1);
  CLI::App* command = lock->add_subcommand("list", "Show the locks of all transactions");
  command->callback([=, &session] { run(ListLocks(session, 0)); });
  command =
      lock->add_subcommand("deadlocks", "Show the last transactions that waited for each other");
  command->callback([=, &session] { run(ListDeadlocks(session)); });
}

}  // namespace flotilla::kvctl
