// Words for what cores do, for transcripts and for people.
#pragma once

#include <string>

#include "raft/core/core.h"

namespace flotilla::raft {

std::string Describe(const Message& message);
std::string Describe(const PersistBatch& batch);
std::string Describe(const Entry& entry);
std::string Describe(const Configuration& configuration);
std::string Describe(const LeadershipChange& change);
// One line: role, term, vote, leader, commit, applied, durable, last.
std::string Describe(const CoreStatus& status);

const char* NameOf(Role role);
const char* NameOf(MembershipRefusal refusal);
const char* NameOf(ProposeRefusal refusal);

}  // namespace flotilla::raft
