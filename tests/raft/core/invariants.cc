#include "tests/raft/core/invariants.h"

#include <algorithm>

#include "base/check.h"

namespace flotilla::raft {
namespace {

bool MajorityHas(const std::set<NodeId>& voters, const Invariants::Has& has) {
  const auto count = std::count_if(voters.begin(), voters.end(), has);
  return static_cast<std::size_t>(count) > voters.size() / 2;
}

}  // namespace

void Invariants::OnLeader(Term term, NodeId node, const TermAt& term_at) {
  const auto [known, first] = leaders_.emplace(term, node);
  CHECK(known->second == node) << "two leaders of term " << term.value() << ": "
                               << known->second.value() << " and " << node.value();
  if (!first) return;
  for (const auto& [index, entry] : committed_) {
    if (entry.term >= term) continue;
    const Term has = term_at(index);
    CHECK(!has || has == entry.term)
        << "leader " << node.value() << " of term " << term.value() << " lacks committed entry "
        << index.value() << " of term " << entry.term.value();
  }
}

void Invariants::OnCommitted(NodeId node, const Entry& entry) {
  highest_commit_ = std::max(highest_commit_, entry.index);
  const auto [known, first] = committed_.emplace(entry.index, entry);
  CHECK(first || known->second == entry)
      << "node " << node.value() << " committed another entry at " << entry.index.value()
      << ": term " << entry.term.value() << " in place of " << known->second.term.value();
}

void Invariants::OnLeaderCommit(Index commit, const Configuration& configuration, const Has& has) {
  if (commit <= highest_commit_) return;
  highest_commit_ = commit;
  CHECK(MajorityHas(configuration.voters, has))
      << "entry " << commit.value() << " was committed without a quorum of disks";
  if (!configuration.joint()) return;
  CHECK(MajorityHas(configuration.outgoing, has))
      << "entry " << commit.value() << " was committed without the old half's disks";
}

void Invariants::CheckLogsMatch(const std::vector<Entry>& a, const std::vector<Entry>& b) {
  if (a.empty() || b.empty()) return;
  const Index first = std::max(a.front().index, b.front().index);
  const Index last = std::min(a.back().index, b.back().index);
  bool agreed = false;
  for (Index index = last; index >= first; index = index.Previous()) {
    const Entry& x = a[index - a.front().index];
    const Entry& y = b[index - b.front().index];
    const bool same = x.term == y.term;
    CHECK(same || !agreed) << "logs agree after " << index.value() << " but not there";
    CHECK(!same || x == y) << "two entries of index " << index.value() << " and one term differ";
    agreed = agreed || same;
  }
}

void Invariants::OnReadAsked(NodeId node, std::uint64_t context) {
  const bool fresh = reads_.emplace(std::pair(node, context), highest_commit_).second;
  CHECK(fresh) << "the test used context " << context << " twice";
}

void Invariants::OnReadConfirmed(NodeId node, std::uint64_t context, Index index) {
  const auto read = reads_.find({node, context});
  CHECK(read != reads_.end()) << "read " << context << " was answered twice";
  CHECK_GE(index, read->second) << "a read that was asked after the commit does not see it";
  reads_.erase(read);
}

void Invariants::OnReadRefused(NodeId node, std::uint64_t context) {
  CHECK_EQ(reads_.erase({node, context}), 1u) << "read " << context << " was answered twice";
}

void Invariants::OnCrash(NodeId node) {
  std::erase_if(reads_, [&](const auto& read) { return read.first.first == node; });
}

}  // namespace flotilla::raft
