// Names: what the user calls nodes, shards and slots, and how they and enums are shown.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cmd/kvctl/session.h"

namespace flotilla::kvctl {

// "3", "n3", or the address of a member.
StatusOr<std::uint64_t> FindNode(Session& session, const std::string& name);

// "JOB_STATE_RUNNING" without its prefix, in lower case, with blanks: "running".
std::string Lower(std::string_view enum_name, std::string_view prefix);

// "n1, n2, n3".
template <class List>
std::string NodeNames(const List& nodes) {
  std::string names;
  for (const std::uint64_t node : nodes) {
    names += (names.empty() ? "n" : ", n") + std::to_string(node);
  }
  return names;
}

// One value as JSON or as words.
class JsonObject;
void Report(Session& session, const JsonObject& json, const std::string& words);

}  // namespace flotilla::kvctl
