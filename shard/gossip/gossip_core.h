// GossipCore: one node's view of who is alive and how busy, as a deterministic state machine.
//
// Purpose: SWIM (Das, Gupta, Motivala 2002) with suspicion, incarnations and refutation, the local
// health of Lifeguard (Dadgar, Phillips, Currey 2017), and exchange of whole views so that nothing
// stays unheard. No I/O, no clock, no thread: time is Tick(), chance is the seed.
//
// IT NEVER DECIDES ANYTHING THAT NEEDS AGREEMENT. Two nodes may hold different views at any moment,
// a live node may be called dead, a dead one alive. The view is a hint for what may be wrong and
// only costs time then: where to place, whom to ask first. Membership, leadership, ownership and
// fencing belong to consensus.
//
// Place in the picture: Gossip (gossip.h) drives it on a strand; tests drive it by hand. After each
// input the driver takes TakeOutput().
//
// Rules beyond the papers:
// - A death is believed at once by those who have suspected the node for half its time; whoever
//   has not begins to suspect it. So everyone gives it time to refute, also after a partition,
//   when each side tells the other of its deaths.
// - Whoever talks to a node that it does not hold alive tells it so, first of all (Lifeguard's
//   buddy system): that is how one that was dead for others comes back.
// - A dead node is forgotten after a time; news of a death or a departure make nobody known. What
//   remains of it in late messages can make it a member again only as alive or suspect, and then it
//   is probed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "base/random.h"
#include "shard/gossip/local_health.h"
#include "shard/gossip/member_table.h"
#include "shard/gossip/message.h"
#include "shard/gossip/probe_order.h"
#include "shard/gossip/relays.h"
#include "shard/gossip/rumours.h"

namespace flotilla::gossip {

struct GossipCoreOptions {
  NodeId self;
  // Greater than in any earlier life of this node (the wall clock's milliseconds will do); if it is
  // not, the first who knows better makes it so.
  Incarnation incarnation{1};
  // Another one in each life: it also numbers probes, and no answer to an earlier life must match.
  std::uint64_t seed = 1;

  // A member is probed every period. It has `probe_timeout_ticks` to answer itself, then, through
  // helpers, the rest of the period, which is longer than that.
  std::uint64_t period_ticks = 10;
  std::uint64_t probe_timeout_ticks = 3;
  std::size_t helpers = 3;
  // All three numbers are multiplied by the number of bits of n, the members present:
  // a suspect has so many periods to refute,
  std::uint64_t suspicion_factor = 3;
  // a standing or profile is passed on so often, lambda in the paper,
  std::uint32_t retransmit_factor = 3;
  // and so is a load.
  std::uint32_t load_retransmit_factor = 1;
  // The times of probes grow up to 1 + this; 0: no local health.
  int health_score_max = 8;

  // A page of the view is exchanged with somebody so often; each period until the first walk
  // through somebody's view is done.
  std::uint64_t sync_periods = 10;
  // The dead, and contacts that are not known, are tried so often; by about `reconnects` nodes of
  // the whole cluster each.
  std::uint64_t reconnect_periods = 5;
  std::uint64_t reconnects = 3;
  // A node publishes a new load so often at most; more seldom where n / this is greater, so that
  // loads of many nodes do not fill all messages.
  std::uint64_t load_periods = 5;
  std::uint64_t load_reports_per_period_max = 32;
  // A node that is dead or has left is dropped from the view after so many periods.
  std::uint64_t forget_periods = 3600;

  std::size_t message_bytes_max = 4096;
  std::size_t members_max = 4096;
  std::size_t relays_max = 256;
};

class GossipCore {
 public:
  explicit GossipCore(const GossipCoreOptions& options);

  // ---- inputs -----------------------------------------------------------------------------

  // One unit of time has passed.
  void Tick();

  // A message arrived: perhaps late, repeated, out of order.
  void Step(NodeId from, Message message);

  // Who should be there, by consensus (the directory's nodes): asked for their view at the start,
  // and tried again and again while they are not alive here. The first `members_max` are taken.
  void SetContacts(std::vector<NodeId> contacts);

  // What this node says of itself; at most kProfileBytesMax encoded. The version given is not used.
  void SetProfile(Profile profile);
  // Published at the pace of the options; the newest counts. The version given is not used.
  void SetLoad(const LoadReport& load);

  // Says farewell to enough others; from then on this node accuses and probes nobody, and only
  // answers. Once, and for good.
  void Leave();

  // ---- outputs ----------------------------------------------------------------------------

  struct Outgoing {
    NodeId to;
    Message message;  // encoded, at most message_bytes_max
  };
  struct Output {
    std::vector<Outgoing> messages;
    std::vector<Change> changes;  // in the order that they happened in
  };
  Output TakeOutput();

  // ---- looking in -------------------------------------------------------------------------

  // By node; this node is among them.
  const MemberTable& members() const { return members_; }
  bool left() const { return left_; }
  // Has been through somebody's whole view.
  bool joined() const { return !joining_; }
  int health_multiplier() const { return health_.multiplier(); }
  std::size_t waiting_rumours() const { return rumours_.size(); }

 private:
  struct Probe {
    NodeId target;
    ProbeNumber number;
    GossipTick ask_helpers_at;
    bool asked = false;
    int helpers = 0;
    int nacks = 0;
  };

  // gossip_core.cc: what is believed
  MemberTable::Entry& Self() { return *members_.Find(options_.self); }
  MemberTable::Entry* Meet(NodeId node, Standing standing);
  void SetStanding(MemberTable::Entry& entry, Standing standing);
  void RunDeadlines();
  void HearStanding(NodeId node, Standing heard);
  void Hear(const StandingRumour& rumour) { HearStanding(rumour.node, rumour.standing); }
  void Hear(const ProfileRumour& rumour);
  void Hear(const LoadRumour& rumour);
  void Refute(Standing heard);
  void PublishProfile(Profile profile, FactVersion version);
  void PublishLoad(LoadReport load, FactVersion version);
  void RunLoad();
  GossipTick DeadlineOf(MemberState state) const;
  void Tell(NodeId node, ChangeKind kind) { output_.changes.push_back({node, kind}); }

  // gossip_probe.cc: who answers
  void RunProbe();
  void StartProbe();
  void AskHelpers();
  void FailProbe();
  void RunReconnect();
  void On(NodeId from, const Ping& ping);
  void On(NodeId from, const PingRequest& request);
  void On(NodeId from, const Ack& ack);
  void On(NodeId from, const Nack& nack);
  ProbeNumber NextNumber() { return ++next_number_; }

  // gossip_sync.cc: what was missed
  void RunSync();
  Page MakePage(NodeId first, NodeId end) const;
  void Merge(const Page& page);
  void On(NodeId from, const SyncRequest& request);
  void On(NodeId from, const SyncReply& reply);

  // gossip_core.cc: what is sent
  // With what is to be passed on, or but for the first of all rules, without.
  enum class Rumouring : std::uint8_t { kYes, kNo };
  void Send(NodeId to, decltype(Message::body) body, Rumouring rumouring = Rumouring::kYes);
  Rumours::Limits RumourLimits() const;
  // The number of bits of n.
  std::uint64_t LogOfPresent() const;
  GossipTick AfterPeriods(std::uint64_t periods) const;

  const GossipCoreOptions options_;
  Random random_;
  GossipTick now_;
  MemberTable members_;
  ProbeOrder order_;  // those that are present, but for this node
  Rumours rumours_;
  LocalHealth health_;
  Relays relays_;
  std::set<NodeId> contacts_;
  Output output_;
  bool left_ = false;

  std::optional<Probe> probe_;
  ProbeNumber next_number_;
  GossipTick next_period_;
  GossipTick next_probe_;  // some periods later for one who doubts itself
  GossipTick next_reconnect_;

  bool joining_ = true;
  // What was learned by asking need not be passed on while everything is asked for.
  bool spreading_ = true;
  NodeId sync_cursor_;
  GossipTick next_sync_;

  std::optional<LoadReport> load_;  // to be published
  GossipTick next_load_;
};

}  // namespace flotilla::gossip
