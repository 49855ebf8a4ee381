// The command line: one function that parses and runs it, and one that completes it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cmd/kvctl/session.h"

namespace flotilla::kvctl {

// Runs one command (without the program's name) and returns its exit code. A mistake in the flags
// prints one line and where to read on.
int RunCommandLine(Session& session, const std::vector<std::string>& words);

// What may follow: candidates for the last of `words`, which may be empty or a part.
std::vector<std::string> Complete(const std::vector<std::string>& words);

// ---- the families of commands; each adds its own to the app ------------------------------------

void AddDataCommands(CLI::App& app, Session& session);        // put, get, delete, cas
void AddScanCommand(CLI::App& app, Session& session);         // scan
void AddCountCommands(CLI::App& app, Session& session);       // count, sum
void AddBatchCommand(CLI::App& app, Session& session);        // batch
void AddTxnCommands(CLI::App& app, Session& session);         // txn
void AddLockCommands(CLI::App& app, Session& session);        // lock
void AddHistoryCommand(CLI::App& app, Session& session);      // history
void AddVacuumCommands(CLI::App& app, Session& session);      // vacuum
void AddStatusCommand(CLI::App& app, Session& session);       // status
void AddMemberCommands(CLI::App& app, Session& session);      // member, leader, snapshot
void AddNodeCommands(CLI::App& app, Session& session);        // node, timestamp
void AddKeyspaceCommands(CLI::App& app, Session& session);    // keyspace
void AddShardCommands(CLI::App& app, Session& session);       // shard
void AddGroupCommands(CLI::App& app, Session& session);       // group
void AddJobCommands(CLI::App& app, Session& session);         // job
void AddBenchCommand(CLI::App& app, Session& session);        // bench
void AddShellCommand(CLI::App& app, Session& session);        // shell
void AddCompletionCommands(CLI::App& app, Session& session);  // completion, version

}  // namespace flotilla::kvctl
