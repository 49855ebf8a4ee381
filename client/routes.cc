#include "client/routes.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "client/retry.h"

namespace flotilla::client {
namespace {

// Rest of an address that has failed: it grows with each failure.
constexpr Duration kRestMin = std::chrono::milliseconds(50);
constexpr Duration kRestMax = std::chrono::seconds(1);
// Batches for one replica before the next one has its turn: fewer would make the batches small.
constexpr std::uint32_t kReplicaUses = 32;
// Members beyond this are not remembered; no group has as many.
constexpr std::size_t kPlacesMax = 256;

}  // namespace

Routes::Routes(const std::vector<std::string>& endpoints, Random random) : random_(random) {
  CHECK(!endpoints.empty()) << "a client needs at least one endpoint";
  for (const std::string& endpoint : endpoints) {
    if (Find(endpoint) != nullptr) continue;
    Place place;
    place.address = endpoint;
    place.endpoint = true;
    places_.push_back(std::move(place));
  }
  current_ = random_.Below(places_.size());
  replica_ = random_.Below(places_.size());
}

std::optional<std::string> Routes::ForLeader(MonoTime now) {
  if (!leader_.empty()) {
    const Place* leader = Find(leader_);
    if (leader != nullptr && Usable(*leader, now)) return leader_;
  }
  const auto found = NextUsable(current_, now);
  if (!found) return std::nullopt;
  current_ = *found;
  return places_[current_].address;
}

std::optional<std::string> Routes::ForGroup(GroupId group, MonoTime now) {
  const auto leader = leaders_.find(group);
  if (leader != leaders_.end()) {
    for (const Place& place : places_) {
      if (place.node == leader->second && Usable(place, now)) return place.address;
    }
  }
  return ForLeader(now);
}

bool Routes::Leads(GroupId group, NodeId node) {
  if (!node) return false;
  NodeId& leader = leaders_[group];
  if (leader == node) return false;
  leader = node;
  ++version_;
  return std::none_of(places_.begin(), places_.end(),
                      [&](const Place& place) { return place.node == node; });
}

void Routes::ForgetLeader(GroupId group) { version_ += leaders_.erase(group); }

void Routes::ForgetLeaders() {
  leaders_.clear();
  ++version_;
}

std::optional<std::string> Routes::ForReplica(MonoTime now) {
  if (++replica_uses_ > kReplicaUses) {
    replica_uses_ = 0;
    ++replica_;
  }
  const auto found = NextUsable(replica_ % places_.size(), now);
  if (!found) return std::nullopt;
  replica_ = *found;
  return places_[replica_].address;
}

bool Routes::AnyBut(std::string_view address, MonoTime now) const {
  return std::any_of(places_.begin(), places_.end(), [&](const Place& place) {
    return place.address != address && Usable(place, now);
  });
}

MonoTime Routes::NextTry() const {
  MonoTime next = MonoTime::max();
  for (const Place& place : places_) {
    if (place.failures > 0) next = std::min(next, place.rests_until);
  }
  return next;
}

void Routes::Failed(const std::string& address, const Status& error, MonoTime now) {
  Place* place = Find(address);
  if (place == nullptr) return;
  ++place->failures;
  place->rests_until = now + Backoff(place->failures, kRestMin, kRestMax, random_);
  place->error = error;
  if (leader_ == address) leader_.clear();
  ++version_;
}

void Routes::Worked(const std::string& address) {
  Place* const place = Find(address);
  if (place == nullptr || place->failures == 0) return;
  place->failures = 0;
  ++version_;
}

void Routes::LeaderIs(const std::string& address) {
  ++version_;
  leader_ = address;
  leader_node_ = NodeId();
  if (address.empty()) {
    current_ = (current_ + 1) % places_.size();
    return;
  }
  if (Find(address) != nullptr || places_.size() >= kPlacesMax) return;
  Place place;
  place.address = address;
  places_.push_back(std::move(place));
}

bool Routes::Answered(NodeId node, const std::string& address) {
  if (!node || (node == leader_node_ && leader_ == address)) return false;
  leader_node_ = node;
  ++version_;
  const auto at = std::find_if(places_.begin(), places_.end(),
                               [&](const Place& place) { return place.node == node; });
  if (at == places_.end()) return true;
  // The user's spelling of an address serves as well as the cluster's.
  const Place* asked = Find(address);
  leader_ = asked != nullptr && asked->node == node ? address : at->address;
  return false;
}

void Routes::SetMembers(const std::vector<MemberAddress>& members) {
  ++version_;
  std::erase_if(places_, [&](const Place& place) {
    return !place.endpoint && std::none_of(members.begin(), members.end(), [&](const auto& member) {
      return member.address == place.address;
    });
  });
  for (const MemberAddress& member : members) {
    if (member.address.empty() || places_.size() >= kPlacesMax) continue;
    Place* place = Find(member.address);
    if (place == nullptr) {
      places_.emplace_back().address = member.address;
      place = &places_.back();
    }
    place->node = member.node;
    if (leader_node_ && member.node == leader_node_) leader_ = member.address;
  }
  current_ %= places_.size();
}

Status Routes::Unreachable() const {
  std::string list;
  for (const Place& place : places_) {
    if (!list.empty()) list += "; ";
    list += place.failures > 0 ? std::string(MessageOf(place.error)) : place.address;
  }
  return Error(Reason::kUnreachable, list);
}

Routes::Place* Routes::Find(std::string_view address) {
  const auto it = std::find_if(places_.begin(), places_.end(),
                               [&](const Place& place) { return place.address == address; });
  return it == places_.end() ? nullptr : &*it;
}

std::optional<std::size_t> Routes::NextUsable(std::size_t from, MonoTime now) const {
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const std::size_t at = (from + i) % places_.size();
    if (Usable(places_[at], now)) return at;
  }
  return std::nullopt;
}

}  // namespace flotilla::client
