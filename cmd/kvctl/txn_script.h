// TxnScript: the lines of `kvctl txn`, one after another.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "client/client.h"
#include "cmd/kvctl/session.h"

namespace flotilla::kvctl {

// What a line may say; for people.
extern const char kTxnCommands[];

class TxnScript {
 public:
  // `options`: of transactions that `begin` says nothing else of. `interactive`: says `ok`, too.
  TxnScript(Session& session, const client::TransactionOptions& options, bool interactive)
      : session_(session), options_(options), interactive_(interactive) {}

  // Runs a command; an empty one and a comment (#) do nothing. After an error that ends the
  // transaction there is none.
  Status Run(const std::string& command);
  // The script is over: what is open is rolled back. BAD_REQUEST when it would have written.
  Status Finish();

  bool open() const { return txn_ != nullptr; }
  // For Tab.
  static std::vector<std::string> Complete(const std::vector<std::string>& words);

 private:
  using Words = std::vector<std::string>;

  Status RunWords(const Words& words);
  Status Begin(const Words& words);
  Status Get(const Words& keys, const client::TxnCallOptions& options);
  Status Scan(const Words& bounds, const client::TxnCallOptions& options);
  Status RollBack(const Words& words);
  Status Commit();
  // A transaction, begun with `options_` if there is none.
  StatusOr<client::Transaction*> Open();
  // What the node says of the writes so far.
  Status Taken();
  void Say(std::string_view words);

  Session& session_;
  const client::TransactionOptions options_;
  const bool interactive_;
  std::unique_ptr<client::Transaction> txn_;
  bool wrote_ = false;
};

// The commands of a line: semicolons outside of quotes and comments separate them.
std::vector<std::string> CommandsOf(std::string_view line);

// "read-committed"; BAD_REQUEST when it is no level.
StatusOr<client::Isolation> IsolationNamed(const std::string& name);

}  // namespace flotilla::kvctl
