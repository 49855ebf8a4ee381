#include "raft/sender.h"

#include <optional>
#include <utility>
#include <variant>

#include "base/check.h"

namespace flotilla::raft {

Sender::Sender(GroupId group, NodeId self, std::size_t append_bytes_max, Log* log,
               Transport* transport, Strand* catch_up, std::function<void(Closure)> post,
               std::function<void(Status)> on_fatal, std::function<std::shared_ptr<void>()> hold)
    : group_(group),
      self_(self),
      append_bytes_max_(append_bytes_max),
      log_(log),
      transport_(transport),
      catch_up_(catch_up),
      post_(std::move(post)),
      on_fatal_(std::move(on_fatal)),
      hold_(std::move(hold)) {}

PeerMessage Sender::Wrap(NodeId to, Term term, MessageBody body) const {
  GroupMessage message{.group = group_,
                       .message = {.from = self_, .to = to, .term = term, .body = std::move(body)}};
  return {.from = self_, .to = to, .payload = std::move(message)};
}

void Sender::Add(std::vector<OutgoingMessage> messages) {
  for (OutgoingMessage& message : messages) {
    std::visit(
        [&](auto& body) {
          if constexpr (std::is_same_v<std::decay_t<decltype(body)>, AppendRange>) {
            AddAppend({message.to, message.term, body});
          } else {
            batch_.push_back(Wrap(message.to, message.term, std::move(body)));
          }
        },
        message.body);
  }
}

void Sender::AddAppend(const Order& order) {
  const AppendRange& append = order.append;
  if (append.range.empty()) {
    batch_.push_back(Wrap(order.to, order.term,
                          AppendRequest{.previous_index = append.previous_index,
                                        .previous_term = append.previous_term,
                                        .commit = append.commit,
                                        .entries = {}}));
    return;
  }
  if (catching_up_.contains(order.to)) {
    CatchUp(order);
    return;
  }
  Order rest = order;
  while (!rest.append.range.empty()) {
    auto entries = log_->ReadCached(group_, rest.append.range, append_bytes_max_);
    if (!entries) {
      CatchUp(rest);
      return;
    }
    CHECK(!entries->empty());
    CHECK_EQ(entries->front().index, rest.append.range.first);
    const Entry& last = entries->back();
    const Index previous_index = rest.append.previous_index;
    const Term previous_term = rest.append.previous_term;
    rest.append.previous_index = last.index;
    rest.append.previous_term = last.term;
    rest.append.range.first = last.index.Next();
    batch_.push_back(Wrap(order.to, order.term,
                          AppendRequest{.previous_index = previous_index,
                                        .previous_term = previous_term,
                                        .commit = append.commit,
                                        .entries = *std::move(entries)}));
  }
}

void Sender::CatchUp(const Order& order) {
  ++catching_up_[order.to];
  catch_up_->Post([this, hold = hold_(), rest = order]() mutable {
    Status damage;
    while (!rest.append.range.empty()) {
      auto entries = log_->Read(group_, rest.append.range, append_bytes_max_);
      // A range that was released or overwritten meanwhile is not sent: the core has moved on.
      if (!entries.ok() && ReasonOf(entries.status()) != Reason::kNotReady) {
        damage = entries.status();
      }
      if (!entries.ok() || entries->empty()) break;
      const Entry last = entries->back();
      std::vector<PeerMessage> batch;
      batch.push_back(Wrap(rest.to, rest.term,
                           AppendRequest{.previous_index = rest.append.previous_index,
                                         .previous_term = rest.append.previous_term,
                                         .commit = rest.append.commit,
                                         .entries = *std::move(entries)}));
      transport_->Send(std::move(batch));
      rest.append.previous_index = last.index;
      rest.append.previous_term = last.term;
      rest.append.range.first = last.index.Next();
    }
    post_([this, to = rest.to, damage] {
      if (!damage.ok()) on_fatal_(damage);
      const auto found = catching_up_.find(to);
      CHECK(found != catching_up_.end());
      if (--found->second == 0) catching_up_.erase(found);
    });
  });
}

void Sender::Flush() {
  if (batch_.empty()) return;
  std::vector<PeerMessage> batch;
  batch.swap(batch_);
  transport_->Send(std::move(batch));
}

}  // namespace flotilla::raft
