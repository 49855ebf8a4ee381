// The parts of a transaction, as commands and records have them:
//   count, then of each: prefixed first key, prefixed last key
#pragma once

#include <string>
#include <vector>

#include "base/coding.h"
#include "kv/txn/types.h"

namespace flotilla::kv {

void AppendTxnParts(std::string& out, const std::vector<TxnPart>& parts);
bool ReadTxnParts(Reader& reader, std::vector<TxnPart>& parts);

}  // namespace flotilla::kv
