// history KEY: the versions of a key that are still there.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "base/timestamp.h"
#include "cmd/kvctl/app.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/names.h"
#include "cmd/kvctl/table.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

// Of one request.
constexpr std::uint32_t kPageMax = 1'000;
// Of a value that a table shows.
constexpr std::size_t kShownMax = 40;

struct HistoryFlags {
  std::string key;
  std::uint64_t limit = 20;
};

std::string TimeOf(std::uint64_t timestamp) {
  const std::uint64_t ms = MillisecondsOf(Timestamp(timestamp));
  return fmt::format("{:%F %T}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(ms / 1000)),
                     ms % 1000);
}

std::string Writer(std::uint64_t transaction) {
  return transaction == 0 ? "a plain write" : fmt::format("transaction {}", transaction);
}

std::string KindName(v1::VersionKind kind) {
  return kind == v1::VERSION_KIND_UNSPECIFIED ? "collected"
                                              : Lower(v1::VersionKind_Name(kind), "VERSION_KIND_");
}

// "deleted at 123 by transaction 5".
std::string Fate(const v1::KeyVersion& version) {
  if (!version.has_superseded_by()) {
    return version.kind() == v1::VERSION_KIND_PUT ? "current" : "gone";
  }
  const v1::Successor& by = version.superseded_by();
  switch (by.kind()) {
    case v1::VERSION_KIND_DELETED:
      return fmt::format("deleted at {} by {}", by.timestamp(), Writer(by.transaction_id()));
    case v1::VERSION_KIND_EXPIRED:
      return fmt::format("expired at {}", by.timestamp());
    case v1::VERSION_KIND_PUT:
      return fmt::format("superseded at {} by {}", by.timestamp(), Writer(by.transaction_id()));
    default:
      return fmt::format("superseded before {}", by.timestamp());
  }
}

std::string ToJson(const v1::KeyVersion& version) {
  JsonObject json;
  json.Number64("version", version.timestamp())
      .Text("time", TimeOf(version.timestamp()))
      .Text("kind", KindName(version.kind()))
      .Number64("transaction_id", version.transaction_id());
  if (version.kind() == v1::VERSION_KIND_PUT) json.Bytes("value", version.value());
  if (version.has_expires_at()) {
    json.Number64("expires_at_seconds", static_cast<std::uint64_t>(version.expires_at().seconds()));
  }
  if (version.has_superseded_by()) {
    const v1::Successor& by = version.superseded_by();
    json.Raw("superseded_by", JsonObject()
                                  .Number64("version", by.timestamp())
                                  .Text("kind", KindName(by.kind()))
                                  .Number64("transaction_id", by.transaction_id())
                                  .str());
  }
  return json.str();
}

std::string Shown(const Session& session, const v1::KeyVersion& version) {
  if (version.kind() != v1::VERSION_KIND_PUT) return "(" + KindName(version.kind()) + ")";
  if (version.value().size() <= kShownMax) return session.Show(version.value());
  return fmt::format("{}… ({} bytes)", session.Show(version.value().substr(0, kShownMax)),
                     version.value().size());
}

Status ShowHistory(Session& session, const HistoryFlags& flags) {
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  v1::HistoryRequest request;
  request.mutable_header()->set_keyspace(session.flags.keyspace);
  if (session.flags.consistency == "eventual") request.set_consistency(v1::CONSISTENCY_EVENTUAL);
  ASSIGN_OR_RETURN(*request.mutable_key(), session.Argument(flags.key));
  const Format format = session.FormatFor(true);
  Table table({">version", "time", "by", "value", "then"});
  JsonArray json;
  std::uint64_t left = flags.limit;
  std::uint64_t complete_since = 0;
  for (bool more = true; more && left > 0;) {
    request.set_limit(static_cast<std::uint32_t>(std::min<std::uint64_t>(left, kPageMax)));
    ASSIGN_OR_RETURN(const v1::HistoryResponse page, admin->History(request));
    for (const v1::KeyVersion& version : page.versions()) {
      if (format == Format::kJson) {
        json.Add(ToJson(version));
      } else if (format == Format::kPlain) {
        session.PrintLine(fmt::format("{}\t{}\t{}\t{}\t{}", version.timestamp(),
                                      TimeOf(version.timestamp()), Writer(version.transaction_id()),
                                      version.kind() == v1::VERSION_KIND_PUT
                                          ? session.Show(version.value())
                                          : Shown(session, version),
                                      Fate(version)));
      } else {
        table.Add({fmt::format("{}", version.timestamp()), TimeOf(version.timestamp()),
                   Writer(version.transaction_id()), Shown(session, version), Fate(version)});
      }
    }
    left -= std::min<std::uint64_t>(left, static_cast<std::uint64_t>(page.versions_size()));
    request.set_before(page.next_before());
    complete_since = page.complete_since();
    more = page.next_before() != 0;
  }
  if (format == Format::kJson) {
    session.PrintLine(JsonObject()
                          .Raw("versions", json.str())
                          .Number64("next_before", request.before())
                          .Number64("complete_since", complete_since)
                          .str());
  } else if (format == Format::kTable) {
    session.Print(table.Render(session.Color()));
  }
  if (request.before() != 0) {
    session.Note("there are older versions: ask for more with --limit");
  } else if (complete_since != 0 && format == Format::kTable) {
    session.Note(
        fmt::format("what was superseded by {} may have been collected", TimeOf(complete_since)));
  }
  return absl::OkStatus();
}

}  // namespace

void AddHistoryCommand(CLI::App& app, Session& session) {
  auto flags = std::make_shared<HistoryFlags>();
  CLI::App* command =
      app.add_subcommand("history", "Show the versions of a key that are still there");
  command->add_option("KEY", flags->key, "the key")->required();
  command->add_option("--limit", flags->limit, "versions, from the newest on; default 20")
      ->check(CLI::Range(1, 1'000'000));
  command->callback([=, &session] {
    const Status status = ShowHistory(session, *flags);
    if (!status.ok()) session.Fail(status);
  });
}

}  // namespace flotilla::kvctl
