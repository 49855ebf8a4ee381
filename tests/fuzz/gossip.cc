// What nodes gossip: the codec, and a core that takes whatever can be decoded.
//
// input: u8 0 | message   or   u8 1 | any number of: u8 from | u8 ticks before it | prefixed
// message

#include "base/coding.h"
#include "shard/gossip/codec.h"
#include "shard/gossip/gossip_core.h"
#include "tests/fuzz/fuzz.h"

namespace flotilla::fuzz {
namespace {

using namespace gossip;

GossipCoreOptions SmallOptions() {
  GossipCoreOptions options;
  options.self = NodeId(1);
  options.message_bytes_max = 2200;
  options.members_max = 16;
  options.relays_max = 4;
  options.forget_periods = 10;
  return options;
}

// Bounded, and what it says can be understood.
void ExpectSound(GossipCore& core) {
  const GossipCoreOptions options = SmallOptions();
  const GossipCore::Output output = core.TakeOutput();
  for (const GossipCore::Outgoing& outgoing : output.messages) {
    CHECK(outgoing.to && outgoing.to != options.self);
    const std::string bytes = EncodeMessage(outgoing.message);
    CHECK_LE(bytes.size(), options.message_bytes_max);
    CHECK(DecodeMessage(bytes).ok());
  }
  const std::size_t members = core.members().entries().size();
  CHECK_LE(members, options.members_max);
  CHECK_LE(core.waiting_rumours(), 3 * members);
  CHECK_LE(core.health_multiplier(), 1 + options.health_score_max);
  const MemberTable::Entry* self = core.members().Find(options.self);
  CHECK(self != nullptr && self->standing.state == MemberState::kAlive);
}

void FuzzCore(std::string_view input) {
  GossipCore core(SmallOptions());
  core.SetContacts({NodeId(2), NodeId(3)});
  core.SetProfile({.address = "n1:7101", .labels = {{"zone", "a"}}});
  core.SetLoad({.leaders = 1});
  Reader reader(input);
  std::uint8_t from = 0;
  std::uint8_t ticks = 0;
  std::string_view bytes;
  while (reader.Byte(from) && reader.Byte(ticks) && reader.Prefixed(bytes)) {
    for (; ticks > 0; --ticks) core.Tick();
    StatusOr<Message> message = DecodeMessage(bytes);
    if (message.ok()) core.Step(NodeId(from), *std::move(message));
    ExpectSound(core);
  }
}

std::string Event(std::uint8_t from, std::uint8_t ticks, const Message& message) {
  std::string out;
  out.push_back(static_cast<char>(from));
  out.push_back(static_cast<char>(ticks));
  AppendPrefixed(out, EncodeMessage(message));
  return out;
}

}  // namespace

void Fuzz(std::string_view input) {
  if (input.empty()) return;
  const std::string_view rest = input.substr(1);
  if (input[0] == 0) {
    ExpectStable(rest, DecodeMessage, EncodeMessage);
  } else if (input[0] == 1) {
    FuzzCore(rest);
  }
}

std::vector<std::string> Seeds() {
  const Standing alive{.incarnation = Incarnation(1)};
  const auto suspect = [](std::uint64_t node) {
    return StandingRumour{
        .node = NodeId(node),
        .standing = {.incarnation = Incarnation(1), .state = MemberState::kSuspect}};
  };
  const auto profile = std::make_shared<const Profile>(
      Profile{.version = FactVersion(2), .address = "n2:1", .labels = {{"zone", "b"}}});
  const auto load = std::make_shared<const LoadReport>(
      LoadReport{.version = FactVersion(3), .bytes_stored = 1 << 30, .leaders = 4});
  const Message ping{.sender = alive,
                     .body = Ping{ProbeNumber(7)},
                     .rumours = {suspect(1), ProfileRumour{.node = NodeId(2), .profile = profile},
                                 LoadRumour{.node = NodeId(2), .load = load}}};
  const Message request{.sender = alive,
                        .body = PingRequest{.number = ProbeNumber(8), .target = NodeId(3)}};
  const Page page{.first = NodeId(1),
                  .end = NodeId(9),
                  .members = {{.node = NodeId(2), .standing = alive, .profile = profile},
                              {.node = NodeId(5), .standing = alive, .load = load}}};
  const Message left{.sender = {.incarnation = Incarnation(1), .state = MemberState::kLeft},
                     .body = Ack{ProbeNumber(7)}};
  const Message nack{.sender = alive, .body = Nack{ProbeNumber(9)}};
  const Message sync{.sender = alive, .body = SyncRequest{page}};
  const Message reply{.sender = alive, .body = SyncReply{page}};
  std::vector<std::string> seeds;
  std::string story(1, '\1');
  std::uint8_t ticks = 0;
  for (const Message& message : {ping, request, left, nack, sync, reply}) {
    seeds.push_back(std::string(1, '\0') + EncodeMessage(message));
    story += Event(2, ticks, message);
    story += Event(3, 1, message);
    ticks += 37;
  }
  seeds.push_back(story);
  return seeds;
}

}  // namespace flotilla::fuzz
