// put, get, delete, cas.
#include <fmt/format.h>

#include <charconv>

#include "cmd/kvctl/app.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/rows.h"
#include "cmd/kvctl/table.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

// A value given as an argument, "-" for standard input, or a file.
struct ValueArgument {
  std::optional<std::string> text;
  std::string file;

  StatusOr<std::string> Read(const Session& session) const {
    if (!file.empty() && text) {
      return Error(Reason::kBadRequest, "a value and --file are given: choose one");
    }
    if (!file.empty()) return Session::ReadFile(file);
    if (!text) return Error(Reason::kBadRequest, "no value: give VALUE, - or --file");
    if (*text == "-") return Session::ReadFile("-");
    return session.Argument(*text);
  }
};

StatusOr<client::WriteOptions> TtlOption(const std::string& ttl) {
  client::WriteOptions options;
  if (ttl.empty()) return options;
  const auto duration = ParseDuration(ttl);
  if (!duration) {
    return Error(Reason::kBadRequest,
                 fmt::format("--ttl {} is not a duration: write 500ms, 30s or 2h", ttl));
  }
  options.ttl = std::chrono::duration_cast<std::chrono::milliseconds>(*duration);
  return options;
}

void PrintVersion(Session& session, Timestamp version) {
  if (session.FormatFor(false) == Format::kJson) {
    session.PrintLine(JsonObject().Number64("version", version.value()).str());
  } else {
    session.PrintLine("ok");
    session.Detail(fmt::format("version {}", version.value()));
  }
}

// ---- put
// -----------------------------------------------------------------------------------------

struct PutFlags {
  std::string key;
  ValueArgument value;
  std::string ttl;
};

Status Put(Session& session, const PutFlags& flags) {
  ASSIGN_OR_RETURN(const std::string key, session.Argument(flags.key));
  ASSIGN_OR_RETURN(std::string value, flags.value.Read(session));
  ASSIGN_OR_RETURN(const client::WriteOptions options, TtlOption(flags.ttl));
  ASSIGN_OR_RETURN(auto* const client, session.Client());
  ASSIGN_OR_RETURN(const client::PutResult put, client->Put(key, std::move(value), options));
  PrintVersion(session, put.version);
  return absl::OkStatus();
}

// ---- get
// -----------------------------------------------------------------------------------------

void PrintGot(Session& session, const std::vector<std::string>& keys,
              const std::vector<client::GetResult>& results) {
  const bool many = keys.size() > 1;
  switch (session.FormatFor(many)) {
    case Format::kJson: {
      if (!many) {
        session.PrintLine(GetJson(keys[0], results[0]));
        break;
      }
      JsonArray rows;
      for (std::size_t i = 0; i < keys.size(); ++i) rows.Add(GetJson(keys[i], results[i]));
      session.PrintLine(JsonObject().Raw("results", rows.str()).str());
      break;
    }
    case Format::kTable: {
      Table table({"key", "value", ">version"});
      for (std::size_t i = 0; i < keys.size(); ++i) {
        table.Add({session.Show(keys[i]),
                   results[i].found ? session.Show(results[i].value) : "(not found)",
                   results[i].found ? fmt::format("{}", results[i].version.value()) : "-"});
      }
      session.Print(table.Render(session.Color()));
      break;
    }
    default:
      if (many) {
        for (std::size_t i = 0; i < keys.size(); ++i) {
          if (!results[i].found) continue;
          session.PrintLine(session.Show(keys[i]) + "\t" + session.Show(results[i].value));
        }
      } else if (results[0].found) {
        // The value alone, byte for byte; a newline only where a person or a shell reads it.
        session.Print(session.flags.hex ? ToHex(results[0].value) : results[0].value);
        if (session.IsTerminal() || session.in_shell || session.flags.hex) session.Print("\n");
      }
  }
}

Status Get(Session& session, const std::vector<std::string>& arguments) {
  std::vector<std::string> keys;
  for (const std::string& argument : arguments) {
    ASSIGN_OR_RETURN(keys.emplace_back(), session.Argument(argument));
  }
  ASSIGN_OR_RETURN(auto* const client, session.Client());
  std::vector<client::GetResult> results;
  if (keys.size() == 1) {
    ASSIGN_OR_RETURN(results.emplace_back(), client->Get(keys[0], session.ReadOptions()));
  } else {
    ASSIGN_OR_RETURN(results, client->BatchGet(keys, session.ReadOptions()));
  }
  PrintGot(session, keys, results);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!results[i].found) {
      session.Fail(kNotFound, fmt::format("key {} does not exist", session.Show(keys[i])),
                   "`kvctl scan --prefix ...` lists keys");
    } else {
      session.Detail(
          fmt::format("{}: version {}", session.Show(keys[i]), results[i].version.value()));
    }
  }
  return absl::OkStatus();
}

// ---- delete
// ----------------------------------------------------------------------------------------

struct DeleteFlags {
  std::string key;
  std::string prefix;
  std::string from;
  std::string to;
};

Status DeleteRange(Session& session, const DeleteFlags& flags) {
  if (!flags.key.empty() || (!flags.prefix.empty() && !(flags.from + flags.to).empty())) {
    return Error(Reason::kBadRequest, "give one of KEY, --prefix, and --from with --to");
  }
  ASSIGN_OR_RETURN(const std::string prefix, session.Argument(flags.prefix));
  ASSIGN_OR_RETURN(std::string from, session.Argument(flags.from));
  ASSIGN_OR_RETURN(std::string to, session.Argument(flags.to));
  if (!prefix.empty()) {
    from = prefix;
    to = PrefixEnd(prefix);
  }
  ASSIGN_OR_RETURN(auto* const client, session.Client());
  ASSIGN_OR_RETURN(const client::DeleteRangeResult result, client->DeleteRange(from, to));
  if (session.FormatFor(false) == Format::kJson) {
    session.PrintLine(JsonObject().Number64("deleted", result.deleted).str());
  } else {
    session.PrintLine(fmt::format("deleted {}", result.deleted));
  }
  return absl::OkStatus();
}

Status Delete(Session& session, const DeleteFlags& flags) {
  if (!(flags.prefix + flags.from + flags.to).empty()) return DeleteRange(session, flags);
  if (flags.key.empty()) {
    return Error(Reason::kBadRequest, "what to delete? give KEY, --prefix, or --from and --to");
  }
  ASSIGN_OR_RETURN(const std::string key, session.Argument(flags.key));
  ASSIGN_OR_RETURN(auto* const client, session.Client());
  ASSIGN_OR_RETURN(const client::DeleteResult result, client->Delete(key));
  if (session.FormatFor(false) == Format::kJson) {
    session.PrintLine(JsonObject().Bool("existed", result.existed).str());
  } else if (result.existed) {
    session.PrintLine("ok");
  }
  if (!result.existed) {
    session.Fail(kNotFound, fmt::format("key {} does not exist", session.Show(key)),
                 "nothing was deleted");
  }
  return absl::OkStatus();
}

// ---- cas
// -------------------------------------------------------------------------------------------

struct CasFlags {
  std::string key;
  ValueArgument value;
  std::optional<std::uint64_t> if_version;
  std::optional<std::string> if_value;
  bool if_absent = false;
  bool if_exists = false;
  bool remove = false;
  std::string ttl;
};

StatusOr<client::Condition> ConditionOf(const Session& session, const CasFlags& flags) {
  const int given =
      flags.if_version.has_value() + flags.if_value.has_value() + flags.if_absent + flags.if_exists;
  if (given != 1) {
    return Error(Reason::kBadRequest,
                 "give exactly one of --if-version, --if-value, --if-absent and --if-exists");
  }
  if (flags.if_version) return client::Condition::VersionIs(Timestamp(*flags.if_version));
  if (flags.if_absent) return client::Condition::Absent();
  if (flags.if_exists) return client::Condition::Exists();
  ASSIGN_OR_RETURN(std::string value, session.Argument(*flags.if_value));
  return client::Condition::ValueIs(std::move(value));
}

Status Cas(Session& session, const CasFlags& flags) {
  ASSIGN_OR_RETURN(const std::string key, session.Argument(flags.key));
  ASSIGN_OR_RETURN(client::Condition condition, ConditionOf(session, flags));
  std::optional<std::string> value;
  if (!flags.remove) {
    ASSIGN_OR_RETURN(value, flags.value.Read(session));
  } else if (flags.value.text || !flags.value.file.empty()) {
    return Error(Reason::kBadRequest, "a value and --delete are given: choose one");
  }
  ASSIGN_OR_RETURN(const client::WriteOptions options, TtlOption(flags.ttl));
  ASSIGN_OR_RETURN(auto* const client, session.Client());
  ASSIGN_OR_RETURN(const client::CompareAndSetResult result,
                   client->CompareAndSet(key, std::move(condition), std::move(value), options));
  PrintVersion(session, result.version);
  return absl::OkStatus();
}

}  // namespace

void AddDataCommands(CLI::App& app, Session& session) {
  const auto run = [&session](const Status& status) {
    if (!status.ok()) session.Fail(status);
  };

  auto put = std::make_shared<PutFlags>();
  CLI::App* command = app.add_subcommand("put", "Write a key");
  command->add_option("KEY", put->key)->required();
  command->add_option("VALUE", put->value.text, "the value; - reads standard input");
  command->add_option("--file", put->value.file, "take the value from this file");
  command->add_option("--ttl", put->ttl, "the key expires after this long, such as 30s");
  command->callback([=, &session] { run(Put(session, *put)); });

  auto keys = std::make_shared<std::vector<std::string>>();
  command = app.add_subcommand("get", "Read one key or several");
  command->add_option("KEY", *keys)->required();
  command->callback([=, &session] { run(Get(session, *keys)); });

  auto removal = std::make_shared<DeleteFlags>();
  command = app.add_subcommand("delete", "Delete a key, or all keys of a prefix or range");
  command->add_option("KEY", removal->key);
  command->add_option("--prefix", removal->prefix, "all keys that start so");
  command->add_option("--from", removal->from, "all keys from this one on");
  command->add_option("--to", removal->to, "up to this one, itself not");
  command->callback([=, &session] { run(Delete(session, *removal)); });

  auto cas = std::make_shared<CasFlags>();
  command = app.add_subcommand("cas", "Write or delete a key if a condition holds");
  command->add_option("KEY", cas->key)->required();
  command->add_option("VALUE", cas->value.text, "the value; - reads standard input");
  command->add_option("--file", cas->value.file, "take the value from this file");
  command->add_option("--if-version", cas->if_version, "the key has this version");
  command->add_option("--if-value", cas->if_value, "the key has this value");
  command->add_flag("--if-absent", cas->if_absent, "the key does not exist");
  command->add_flag("--if-exists", cas->if_exists, "the key exists");
  command->add_flag("--delete", cas->remove, "delete the key instead of writing it");
  command->add_option("--ttl", cas->ttl, "the key expires after this long, such as 30s");
  command->callback([=, &session] { run(Cas(session, *cas)); });
}

}  // namespace flotilla::kvctl
