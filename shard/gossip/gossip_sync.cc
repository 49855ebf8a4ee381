// GossipCore: what was missed. Views are compared page by page, with one node after the other.
#include <algorithm>
#include <iterator>
#include <utility>

#include "shard/gossip/codec.h"
#include "shard/gossip/gossip_core.h"

namespace flotilla::gossip {

void GossipCore::RunSync() {
  if (now_ < next_sync_) return;
  next_sync_ = AfterPeriods(joining_ ? 1 : options_.sync_periods);
  const std::vector<NodeId> member = order_.Some(1, options_.self);
  if (!member.empty()) {
    Send(member[0], SyncRequest{MakePage(sync_cursor_, NodeId())}, Rumouring::kNo);
  } else if (!contacts_.empty()) {
    const auto place = static_cast<std::ptrdiff_t>(random_.Below(contacts_.size()));
    const NodeId contact = *std::next(contacts_.begin(), place);
    Send(contact, SyncRequest{MakePage(sync_cursor_, NodeId())}, Rumouring::kNo);
  }
}

// As much from `first` on as a message holds, and nothing from `end` on.
Page GossipCore::MakePage(NodeId first, NodeId end) const {
  const std::vector<MemberTable::Entry>& entries = members_.entries();
  const auto before = [](const MemberTable::Entry& entry, NodeId node) {
    return entry.node < node;
  };
  Page page{.first = first, .end = end, .members = {}};
  std::size_t bytes = kEnvelopeBytesMax;
  for (auto entry = std::lower_bound(entries.begin(), entries.end(), first, before);
       entry != entries.end() && (!end || entry->node < end); ++entry) {
    bytes += EncodedBytes(*entry);
    if (bytes > options_.message_bytes_max) {
      page.end = entry->node;
      break;
    }
    page.members.push_back(*entry);
  }
  return page;
}

void GossipCore::Merge(const Page& page) {
  for (const Member& member : page.members) {
    HearStanding(member.node, member.standing);
    if (member.profile) Hear(ProfileRumour{.node = member.node, .profile = member.profile});
    if (member.load) Hear(LoadRumour{.node = member.node, .load = member.load});
  }
}

void GossipCore::On(NodeId from, const SyncRequest& request) {
  Merge(request.page);
  Send(from, SyncReply{MakePage(request.page.first, request.page.end)}, Rumouring::kNo);
}

void GossipCore::On(NodeId from, const SyncReply& reply) {
  spreading_ = !joining_;
  Merge(reply.page);
  spreading_ = true;
  if (reply.page.first != sync_cursor_) return;
  sync_cursor_ = reply.page.end;
  if (!sync_cursor_) {
    joining_ = false;
  } else if (joining_) {
    Send(from, SyncRequest{MakePage(sync_cursor_, NodeId())}, Rumouring::kNo);
  }
}

}  // namespace flotilla::gossip
