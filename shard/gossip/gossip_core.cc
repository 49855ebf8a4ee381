#include "shard/gossip/gossip_core.h"

#include <algorithm>
#include <bit>
#include <utility>
#include <variant>

#include "base/check.h"
#include "shard/gossip/codec.h"

namespace flotilla::gossip {
namespace {

// A member with a profile of any size fits into every message.
constexpr std::size_t kMessageBytesMin = kEnvelopeBytesMax + 2 * kProfileBytesMax;
static_assert(kMessageBytesMin <= GossipCoreOptions{}.message_bytes_max);
static_assert(GossipCoreOptions{}.message_bytes_max <= kMessageBytesMax);

template <class Tag>
Strong<Tag> Beyond(Strong<Tag> version) {
  return std::min(version.Next(), Strong<Tag>(kVersionMax));
}

}  // namespace

GossipCore::GossipCore(const GossipCoreOptions& options)
    : options_(options),
      random_(options.seed),
      now_(1),
      members_(options.members_max),
      order_(random_.Fork()),
      health_(options.health_score_max),
      relays_(options.relays_max),
      next_number_(random_.Next() >> 1) {
  CHECK(options_.self);
  CHECK(options_.incarnation && options_.incarnation.value() < kVersionMax);
  CHECK_GT(options_.probe_timeout_ticks, 0u);
  CHECK_GT(options_.period_ticks, 2 * options_.probe_timeout_ticks);
  CHECK_GE(options_.message_bytes_max, kMessageBytesMin);
  CHECK_LE(options_.message_bytes_max, kMessageBytesMax);
  CHECK_GT(options_.members_max, 0u);
  CHECK(options_.sync_periods > 0 && options_.reconnect_periods > 0 && options_.load_periods > 0 &&
        options_.load_reports_per_period_max > 0);
  const Standing standing{.incarnation = options_.incarnation, .state = MemberState::kAlive};
  members_.Insert(options_.self, standing);
  rumours_.Add(StandingRumour{.node = options_.self, .standing = standing});
  // Nodes that start together do not act together.
  next_period_ = now_ + (1 + random_.Below(options_.period_ticks));
  next_sync_ = next_period_;
  next_reconnect_ =
      next_period_ + random_.Below(options_.reconnect_periods * options_.period_ticks);
}

void GossipCore::Tick() {
  ++now_;
  RunDeadlines();
  RunProbe();
  if (left_) return;
  RunReconnect();
  RunSync();
  RunLoad();
}

void GossipCore::Step(NodeId from, Message message) {
  if (!from || from == options_.self) return;
  HearStanding(from, message.sender);
  for (const Rumour& rumour : message.rumours) {
    std::visit([this](const auto& one) { Hear(one); }, rumour);
  }
  std::visit([this, from](const auto& body) { On(from, body); }, message.body);
}

GossipCore::Output GossipCore::TakeOutput() { return std::exchange(output_, {}); }

void GossipCore::SetContacts(std::vector<NodeId> contacts) {
  contacts_.clear();
  for (const NodeId node : contacts) {
    if (contacts_.size() < options_.members_max && node && node != options_.self) {
      contacts_.insert(node);
    }
  }
}

// ---- what is believed --------------------------------------------------------------------------

// Null: no room.
MemberTable::Entry* GossipCore::Meet(NodeId node, Standing standing) {
  const MemberTable::Inserted inserted = members_.Insert(node, {});
  if (inserted.evicted) {
    rumours_.Remove(inserted.evicted);
    Tell(inserted.evicted, ChangeKind::kForgotten);
  }
  if (inserted.entry == nullptr) return nullptr;
  order_.Add(node);
  Tell(node, ChangeKind::kAlive);
  SetStanding(*inserted.entry, standing);
  return inserted.entry;
}

void GossipCore::SetStanding(MemberTable::Entry& entry, Standing standing) {
  const Standing before = entry.standing;
  const bool self = entry.node == options_.self;
  // A node that has left does not forget itself.
  members_.SetStanding(entry, standing, self ? GossipTick() : DeadlineOf(standing.state));
  if (!self && before.present() != standing.present()) {
    if (standing.present()) {
      order_.Add(entry.node);
    } else {
      order_.Remove(entry.node);
    }
  }
  if (spreading_ || self) {
    rumours_.Add(StandingRumour{.node = entry.node, .standing = standing});
  }
  if (before.state == standing.state) return;
  constexpr ChangeKind kKinds[] = {ChangeKind::kAlive, ChangeKind::kSuspect, ChangeKind::kDead,
                                   ChangeKind::kLeft};
  Tell(entry.node, kKinds[static_cast<std::size_t>(standing.state)]);
}

GossipTick GossipCore::DeadlineOf(MemberState state) const {
  switch (state) {
    case MemberState::kAlive:
      return GossipTick();
    case MemberState::kSuspect:
      return AfterPeriods(options_.suspicion_factor * LogOfPresent());
    case MemberState::kDead:
    case MemberState::kLeft:
      return AfterPeriods(options_.forget_periods);
  }
  return GossipTick();
}

void GossipCore::RunDeadlines() {
  while (const std::optional<NodeId> node = members_.TakeExpired(now_)) {
    MemberTable::Entry& entry = *members_.Find(*node);
    if (entry.standing.state == MemberState::kSuspect) {
      SetStanding(entry, {.incarnation = entry.standing.incarnation, .state = MemberState::kDead});
    } else {
      members_.Remove(*node);
      rumours_.Remove(*node);
      Tell(*node, ChangeKind::kForgotten);
    }
  }
}

void GossipCore::HearStanding(NodeId node, Standing heard) {
  if (node == options_.self) return Refute(heard);
  MemberTable::Entry* entry = members_.Find(node);
  if (entry == nullptr) {
    if (heard.present()) Meet(node, heard);
    return;
  }
  if (heard <= entry->standing) return;
  if (heard.state == MemberState::kDead && entry->standing.present()) {
    const Standing suspect{.incarnation = heard.incarnation, .state = MemberState::kSuspect};
    if (entry->standing < suspect) return SetStanding(*entry, suspect);
    // It is suspected already. Everyone who does buries it in time; that others did is reason
    // enough once half of the time has passed.
    const std::uint64_t half_ticks =
        options_.suspicion_factor * LogOfPresent() * options_.period_ticks / 2;
    if (entry->deadline > now_ + half_ticks) return;
  }
  SetStanding(*entry, heard);
}

// Only this node raises its incarnation, and each time it is said to be anything but alive, or to
// have lived longer than it has: in an earlier life.
void GossipCore::Refute(Standing heard) {
  const Standing own = Self().standing;
  if (left_ || heard <= own) return;
  if (heard.state != MemberState::kAlive) health_.OnAccused();
  SetStanding(Self(), {.incarnation = Beyond(heard.incarnation), .state = MemberState::kAlive});
}

void GossipCore::Hear(const ProfileRumour& rumour) {
  MemberTable::Entry* entry = members_.Find(rumour.node);
  if (entry == nullptr) return;
  const ProfilePtr known = entry->profile;
  if (known != nullptr && *rumour.profile <= *known) return;
  if (rumour.node == options_.self) {
    // An earlier life's.
    if (known != nullptr) PublishProfile(*known, Beyond(rumour.profile->version));
    return;
  }
  entry->profile = rumour.profile;
  if (spreading_) rumours_.Add(rumour);
  Tell(rumour.node, ChangeKind::kProfile);
}

void GossipCore::Hear(const LoadRumour& rumour) {
  MemberTable::Entry* entry = members_.Find(rumour.node);
  if (entry == nullptr) return;
  const LoadPtr known = entry->load;
  if (known != nullptr && *rumour.load <= *known) return;
  if (rumour.node == options_.self) {
    if (known != nullptr) PublishLoad(*known, Beyond(rumour.load->version));
    return;
  }
  entry->load = rumour.load;
  if (spreading_) rumours_.Add(rumour);
  Tell(rumour.node, ChangeKind::kLoad);
}

// ---- what this node says of itself -------------------------------------------------------------

// The first version of a life follows its incarnation, so that a later life's are greater, too.
void GossipCore::SetProfile(Profile profile) {
  const ProfilePtr known = Self().profile;
  PublishProfile(std::move(profile), known != nullptr ? Beyond(known->version)
                                                      : FactVersion(options_.incarnation.value()));
}

void GossipCore::PublishProfile(Profile profile, FactVersion version) {
  profile.version = version;
  CHECK_LE(EncodedBytes(profile), kProfileBytesMax);
  Self().profile = std::make_shared<const Profile>(std::move(profile));
  rumours_.Add(ProfileRumour{.node = options_.self, .profile = Self().profile});
  Tell(options_.self, ChangeKind::kProfile);
}

void GossipCore::SetLoad(const LoadReport& load) { load_ = load; }

void GossipCore::RunLoad() {
  if (!load_ || now_ < next_load_) return;
  const LoadPtr known = Self().load;
  if (known != nullptr) load_->version = known->version;
  if (known == nullptr || *known != *load_) {
    PublishLoad(*load_, known != nullptr ? Beyond(known->version)
                                         : FactVersion(options_.incarnation.value()));
    next_load_ = AfterPeriods(std::max<std::uint64_t>(
        options_.load_periods, members_.present() / options_.load_reports_per_period_max));
  }
  load_.reset();
}

void GossipCore::PublishLoad(LoadReport load, FactVersion version) {
  load.version = version;
  Self().load = std::make_shared<const LoadReport>(load);
  rumours_.Add(LoadRumour{.node = options_.self, .load = Self().load});
  Tell(options_.self, ChangeKind::kLoad);
}

void GossipCore::Leave() {
  if (left_) return;
  left_ = true;
  probe_.reset();
  const Incarnation incarnation = Self().standing.incarnation;
  SetStanding(Self(), {.incarnation = incarnation, .state = MemberState::kLeft});
  // As many as would have heard it from this node in time.
  const std::size_t others = RumourLimits().sends_max;
  for (const NodeId node : order_.Some(others, options_.self)) Send(node, Ping{NextNumber()});
}

// ---- what is sent ------------------------------------------------------------------------------

void GossipCore::Send(NodeId to, decltype(Message::body) body, Rumouring rumouring) {
  Message message{.sender = Self().standing, .body = std::move(body), .rumours = {}};
  const MemberTable::Entry* entry = members_.Find(to);
  if (entry != nullptr && entry->standing.state != MemberState::kAlive) {
    message.rumours.push_back(StandingRumour{.node = to, .standing = entry->standing});
  }
  if (rumouring == Rumouring::kYes) {
    rumours_.Take(options_.message_bytes_max - kEnvelopeBytesMax, RumourLimits(), message.rumours);
  }
  output_.messages.push_back({.to = to, .message = std::move(message)});
}

// ---- times and numbers -------------------------------------------------------------------------

std::uint64_t GossipCore::LogOfPresent() const {
  return static_cast<std::uint64_t>(std::bit_width(std::max<std::size_t>(members_.present(), 1)));
}

GossipTick GossipCore::AfterPeriods(std::uint64_t periods) const {
  return now_ + periods * options_.period_ticks;
}

Rumours::Limits GossipCore::RumourLimits() const {
  const auto log = static_cast<std::uint32_t>(LogOfPresent());
  return {.sends_max = options_.retransmit_factor * log,
          .load_sends_max = options_.load_retransmit_factor * log};
}

}  // namespace flotilla::gossip
