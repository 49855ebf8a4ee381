// Rows: keys and what was found there, as JSON.
#pragma once

#include <string>

#include "client/options.h"

namespace flotilla::kvctl {

std::string GetJson(const std::string& key, const client::GetResult& result);
std::string RowJson(const client::Row& row, bool keys_only);

}  // namespace flotilla::kvctl
