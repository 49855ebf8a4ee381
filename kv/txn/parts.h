// The parts of a transaction, and the session whose write it carries out, as commands and records
// have them:
//   parts:   count, then of each: prefixed first key, prefixed last key
//   session: client fixed64 | sequence | acknowledged_below | since fixed64
//   the transaction's: session | affected
#pragma once

#include <string>
#include <vector>

#include "base/coding.h"
#include "kv/txn/types.h"

namespace flotilla::kv {

void AppendTxnParts(std::string& out, const std::vector<TxnPart>& parts);
bool ReadTxnParts(Reader& reader, std::vector<TxnPart>& parts);
void AppendSession(std::string& out, const Session& session);
// False also when it has no client.
bool ReadSession(Reader& reader, Session& session);
void AppendTxnSession(std::string& out, const TxnSession& session);
bool ReadTxnSession(Reader& reader, TxnSession& session);

}  // namespace flotilla::kv
