#include "cmd/kvctl/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "cmd/kvctl/json.h"

namespace flotilla::kvctl {

StatusOr<std::uint64_t> FindNode(Session& session, const std::string& name) {
  const std::string_view digits = name.rfind('n', 0) == 0 ? std::string_view(name).substr(1) : name;
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
  if (error == std::errc() && end == digits.data() + digits.size() && id != 0) return id;
  ASSIGN_OR_RETURN(auto* const admin, session.Admin());
  ASSIGN_OR_RETURN(const v1::ListNodesResponse nodes, admin->ListNodes());
  for (const v1::MemberStatus& node : nodes.nodes()) {
    if (node.address() == name) return node.node_id();
  }
  return Error(Reason::kNodeNotFound, fmt::format("no member has the address {}", name));
}

std::string Lower(std::string_view enum_name, std::string_view prefix) {
  std::string name(enum_name.substr(std::min(prefix.size(), enum_name.size())));
  for (char& c : name) c = c == '_' ? ' ' : static_cast<char>(std::tolower(c));
  return name;
}

void Report(Session& session, const JsonObject& json, const std::string& words) {
  session.PrintLine(session.FormatFor(false) == Format::kJson ? json.str() : words);
}

}  // namespace flotilla::kvctl
