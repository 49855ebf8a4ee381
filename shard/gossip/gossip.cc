#include "shard/gossip/gossip.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "shard/gossip/codec.h"

namespace flotilla::gossip {

const Member* GossipView::Find(NodeId node) const {
  const auto place =
      std::lower_bound(members.begin(), members.end(), node,
                       [](const Member& member, NodeId wanted) { return member.node < wanted; });
  return place != members.end() && place->node == node ? &*place : nullptr;
}

std::shared_ptr<Gossip> Gossip::Make(const GossipOptions& options, Executor* executor,
                                     SendFunction send, Listener listener) {
  return std::make_shared<Gossip>(options, executor, std::move(send), std::move(listener));
}

Gossip::Gossip(const GossipOptions& options, Executor* executor, SendFunction send,
               Listener listener)
    : options_(options),
      send_(std::move(send)),
      listener_(std::move(listener)),
      strand_(executor->NewStrand("gossip")),
      core_(options.core) {
  Publish();
}

// The closures hold the object weakly: its strand holds them.
template <class Action>
void Gossip::OnStrand(Action action) {
  strand_->Post([weak = weak_from_this(), action = std::move(action)]() mutable {
    if (const std::shared_ptr<Gossip> self = weak.lock()) action(*self);
  });
}

void Gossip::Start() {
  OnStrand([](Gossip& self) {
    if (self.started_ || self.stopped_) return;
    self.started_ = true;
    self.ScheduleTick();
  });
}

void Gossip::Stop(Closure done) {
  OnStrand([done = std::move(done)](Gossip& self) mutable {
    self.stopped_ = true;
    if (self.timer_ != 0) self.strand_->Cancel(self.timer_);
    done();
  });
}

Status Gossip::SetProfile(Profile profile) {
  // The version that the core puts in may take a few bytes.
  profile.version = FactVersion(kVersionMax);
  const std::size_t bytes = EncodedBytes(profile);
  if (bytes > kProfileBytesMax) {
    return Error(Reason::kBadRequest,
                 fmt::format("the node's address and labels take {} bytes; at most {} are allowed: "
                             "shorten them",
                             bytes, kProfileBytesMax));
  }
  OnStrand([profile = std::move(profile)](Gossip& self) mutable {
    self.core_.SetProfile(std::move(profile));
    self.Flush();
  });
  return absl::OkStatus();
}

void Gossip::SetLoad(const LoadReport& load) {
  OnStrand([load](Gossip& self) { self.core_.SetLoad(load); });
}

void Gossip::SetContacts(std::vector<NodeId> contacts) {
  OnStrand([contacts = std::move(contacts)](Gossip& self) mutable {
    self.core_.SetContacts(std::move(contacts));
  });
}

void Gossip::Leave(Closure done) {
  OnStrand([done = std::move(done)](Gossip& self) mutable {
    self.core_.Leave();
    self.Flush();
    done();
  });
}

void Gossip::OnMessage(NodeId from, Bytes message) {
  // Not kept until it is read and refused.
  if (message.size() > kMessageBytesMax) {
    received_.fetch_add(1);
    malformed_.fetch_add(1);
    return;
  }
  if (inbox_messages_.fetch_add(1) >= options_.inbox_messages_max) {
    inbox_messages_.fetch_sub(1);
    overflowed_.fetch_add(1);
    return;
  }
  OnStrand([from, message = std::move(message)](Gossip& self) { self.Receive(from, message); });
}

void Gossip::Receive(NodeId from, const Bytes& bytes) {
  inbox_messages_.fetch_sub(1);
  // Before the start this node has nothing to say, and once stopped no more.
  if (!started_ || stopped_) return;
  received_.fetch_add(1);
  StatusOr<Message> message = DecodeMessage(bytes.view());
  if (!message.ok()) {
    malformed_.fetch_add(1);
    return;
  }
  core_.Step(from, *std::move(message));
  Flush();
}

void Gossip::ScheduleTick() {
  timer_ = strand_->After(options_.tick, [weak = weak_from_this()] {
    if (const std::shared_ptr<Gossip> self = weak.lock()) self->OnTick();
  });
}

// Late ticks are not made up for: a node that was paused does not accuse others of its own silence.
void Gossip::OnTick() {
  timer_ = 0;
  if (stopped_) return;
  core_.Tick();
  Flush();
  ScheduleTick();
}

void Gossip::Flush() {
  GossipCore::Output output = core_.TakeOutput();
  if (stopped_) return;
  for (const GossipCore::Outgoing& outgoing : output.messages) {
    Bytes bytes(EncodeMessage(outgoing.message));
    sent_.fetch_add(1);
    sent_bytes_.fetch_add(bytes.size());
    send_(outgoing.to, std::move(bytes));
  }
  if (output.changes.empty()) return;
  Publish();
  listener_(output.changes, *View());
}

void Gossip::Publish() {
  auto view = std::make_shared<GossipView>();
  const std::vector<MemberTable::Entry>& entries = core_.members().entries();
  view->members.assign(entries.begin(), entries.end());
  const std::lock_guard lock(mutex_);
  view_ = std::move(view);
}

std::shared_ptr<const GossipView> Gossip::View() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

GossipStats Gossip::Stats() const {
  return {.received = received_.load(),
          .malformed = malformed_.load(),
          .overflowed = overflowed_.load(),
          .sent = sent_.load(),
          .sent_bytes = sent_bytes_.load()};
}

}  // namespace flotilla::gossip
