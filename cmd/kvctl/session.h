// Session: what the commands of one kvctl run share: global flags, the client, and where output
// goes. The shell runs many commands on one session.
//
// Results go to standard output, messages to standard error.
#pragma once

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "client/admin.h"
#include "client/client.h"

namespace flotilla::kvctl {

// API.md lists them. An error's is that of its reason (base/reasons.inc).
enum ExitCode : int {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kNotFound = 3,
  kConflict = 4,
  kUnavailable = 5,
  kRefused = 6,
  kUnknown = 7,
  kNotAllowed = 8,
  kUnhealthy = 9,
};

enum class Format : unsigned char { kAuto, kTable, kJson, kPlain };

struct GlobalFlags {
  std::vector<std::string> endpoints = {"127.0.0.1:7101", "127.0.0.1:7102", "127.0.0.1:7103"};
  std::string keyspace;
  std::string consistency = "linearizable";
  std::uint64_t at = 0;  // 0: now
  std::string timeout = "5s";
  std::string output;
  bool hex = false;
  bool no_color = false;
  bool verbose = false;
};

class Session {
 public:
  Session(std::FILE* out, std::FILE* err) : out_(out), err_(err) {}

  GlobalFlags flags;
  // Of the command that ran last.
  int exit_code = kDone;
  // Commands follow each other on one output: each ends its own with a newline.
  bool in_shell = false;

  // ---- the cluster; made at first use, and anew when the flags have changed
  // ----------------------
  StatusOr<client::Client*> Client();
  StatusOr<client::Admin*> Admin();
  client::ReadOptions ReadOptions() const;
  // BAD_REQUEST unless it reads like 150ms, 5s, 2m.
  StatusOr<Duration> Timeout() const;

  // ---- input
  // ------------------------------------------------------------------------------------- A key or
  // value as the user wrote it: with --hex, hexadecimal.
  StatusOr<std::string> Argument(const std::string& text) const;
  // A whole file; "-": standard input.
  static StatusOr<std::string> ReadFile(const std::string& path);

  // ---- output
  // ------------------------------------------------------------------------------------ The format
  // asked for; else a table for many things on a terminal, and plain.
  Format FormatFor(bool many) const;
  bool Color() const;
  bool IsTerminal() const;
  void Print(std::string_view text);      // as it is
  void PrintLine(std::string_view text);  // and a newline
  // As people should see it: escaped, or hexadecimal with --hex.
  std::string Show(std::string_view bytes) const;
  // To standard error.
  void Note(std::string_view text);
  // A line on standard error that the next one overwrites; nothing unless it is a terminal.
  void Progress(std::string_view text);
  // To standard error with -v only.
  void Detail(std::string_view text);

  // Prints "error: ..." and "hint:  ..."; returns, and sets, the exit code of the reason.
  int Fail(const Status& status);
  int Fail(int code, std::string_view error, std::string_view hint);

 private:
  std::string ClientKey() const;

  std::FILE* const out_;
  std::FILE* const err_;
  std::string client_key_;  // the flags that client_ and admin_ were made with
  std::unique_ptr<client::Client> client_;
  std::unique_ptr<client::Admin> admin_;
};

// "150ms", "5s", "2m", "1h"; nothing when it is none of these or not positive.
std::optional<Duration> ParseDuration(std::string_view text);

}  // namespace flotilla::kvctl
