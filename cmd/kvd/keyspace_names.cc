#include "cmd/kvd/keyspace_names.h"

#include <spdlog/fmt/fmt.h>

#include <optional>

namespace flotilla {

StatusOr<kv::KeyspaceId> KeyspaceNames::Find(const std::string& name) {
  if (name.empty()) return kv::kDefaultKeyspace;
  if (name == name_) return id_;
  const std::optional<kv::KeyspaceId> found = gateway_->FindKeyspace(name);
  if (found) {
    name_ = name;
    id_ = *found;
    return id_;
  }
  constexpr std::size_t kShown = 128;
  return Error(Reason::kKeyspaceNotFound,
               (name.size() <= kShown
                    ? fmt::format("there is no keyspace {}", name)
                    : fmt::format("there is no keyspace with a name of {} bytes", name.size())) +
                   ": create it, or name another");
}

}  // namespace flotilla
