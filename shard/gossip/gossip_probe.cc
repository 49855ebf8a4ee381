// GossipCore: who answers.
#include <algorithm>

#include "shard/gossip/gossip_core.h"

namespace flotilla::gossip {

void GossipCore::RunProbe() {
  while (const std::optional<Relays::Relay> relay = relays_.TakeExpired(now_)) {
    Send(relay->asker, Nack{relay->asker_number});
  }
  if (left_) return;
  if (probe_ && !probe_->asked && now_ >= probe_->ask_helpers_at) AskHelpers();
  if (now_ < next_period_) return;
  next_period_ = AfterPeriods(1);
  if (now_ < next_probe_) {
    // A probe that may take longer holds up no rumours: refutations are among them.
    for (const NodeId node : order_.Some(1, options_.self)) Send(node, Ping{NextNumber()});
    return;
  }
  if (probe_) FailProbe();
  StartProbe();
}

void GossipCore::StartProbe() {
  const auto patience = static_cast<std::uint64_t>(health_.multiplier());
  next_probe_ = AfterPeriods(patience);
  const NodeId target = order_.Next();
  if (!target) return;
  probe_ = Probe{.target = target,
                 .number = NextNumber(),
                 .ask_helpers_at = now_ + options_.probe_timeout_ticks * patience};
  Send(target, Ping{probe_->number});
}

void GossipCore::AskHelpers() {
  probe_->asked = true;
  for (const NodeId helper : order_.Some(options_.helpers, probe_->target)) {
    ++probe_->helpers;
    Send(helper, PingRequest{.number = probe_->number, .target = probe_->target});
  }
}

void GossipCore::FailProbe() {
  const Probe failed = *probe_;
  probe_.reset();
  health_.OnSilence(failed.helpers > 0 ? failed.helpers - failed.nacks : 1);
  MemberTable::Entry* entry = members_.Find(failed.target);
  if (entry == nullptr || entry->standing.state != MemberState::kAlive) return;
  SetStanding(*entry, {.incarnation = entry->standing.incarnation, .state = MemberState::kSuspect});
}

// What is dead here may be alive behind a partition; nobody probes it any more.
void GossipCore::RunReconnect() {
  if (now_ < next_reconnect_) return;
  next_reconnect_ = AfterPeriods(options_.reconnect_periods);
  std::vector<NodeId> lost = members_.Dead();
  for (const NodeId contact : contacts_) {
    if (members_.Find(contact) == nullptr) lost.push_back(contact);
  }
  // However large the cluster is, a node that is down is tried by a few.
  const std::uint64_t tries = lost.size() * options_.reconnects;
  if (tries <= random_.Below(members_.present())) return;
  Send(lost[random_.Below(lost.size())], Ping{NextNumber()});
}

void GossipCore::On(NodeId from, const Ping& ping) { Send(from, Ack{ping.number}); }

void GossipCore::On(NodeId from, const PingRequest& request) {
  if (request.target == options_.self) return Send(from, Ack{request.number});
  const Relays::Relay relay{.number = NextNumber(),
                            .asker = from,
                            .asker_number = request.number,
                            .deadline = now_ + options_.probe_timeout_ticks};
  if (!relays_.Add(relay)) return Send(from, Nack{request.number});
  Send(request.target, Ping{relay.number});
}

void GossipCore::On(NodeId, const Ack& ack) {
  if (probe_ && ack.number == probe_->number) {
    probe_.reset();
    health_.OnSuccess();
  } else if (const std::optional<Relays::Relay> relay = relays_.TakeAnswered(ack.number)) {
    Send(relay->asker, Ack{relay->asker_number});
  }
}

void GossipCore::On(NodeId, const Nack& nack) {
  if (!probe_ || nack.number != probe_->number) return;
  probe_->nacks = std::min(probe_->nacks + 1, probe_->helpers);
}

}  // namespace flotilla::gossip
