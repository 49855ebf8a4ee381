// What other nodes and strangers may ask a node: calls to its address, calls of members, messages
// of their groups' cores. Nothing that anybody sends ends the node or makes it hang.
//
// input: (u8 what | prefixed bytes)*
//   0..9:    call to the address: method 16 + what, the bytes are its body
//   10..19:  call from a member: method what - 10
//   20:      the same as an answer
//   30:      a batch of a stream from a member that is none

#include "base/coding.h"
#include "raft/transport/codec.h"
#include "shard/admin.h"
#include "shard/formation_codec.h"
#include "shard/forward_codec.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lone_node.h"

namespace flotilla::fuzz {
namespace {

constexpr NodeId kSelf{1};
constexpr NodeId kOther{2};

void Send(LoneNode& node, std::uint8_t what, std::string_view bytes) {
  const Bytes body{std::string(bytes)};
  if (what < 10) {
    node.transport().address_calls()(16u + what, body, [](const StatusOr<Bytes>&) {});
    return;
  }
  if (node.transport().handler() == nullptr) return;
  raft::PeerMessage message{.from = kOther, .to = kSelf, .payload = {}};
  if (what <= 20) {
    message.payload = raft::Call{
        .id = 1, .answer = what == 20, .method = what == 20 ? 0u : what - 10u, .body = body};
    node.transport().handler()->OnMessages({message});
  } else if (what == 30) {
    auto messages = raft::DecodeMessages(bytes, kOther, kSelf);
    if (messages.ok()) node.transport().handler()->OnMessages(*std::move(messages));
  }
}

}  // namespace

void Fuzz(std::string_view input) {
  if (input.size() < 2) return;
  LoneNode node(std::make_shared<sim::SimFileSystem>());
  NodeOptions options = LoneNode::SmallOptions();
  // An even input finds a node that belongs to no cluster yet.
  const bool forming = input[0] % 2 == 0;
  if (forming) {
    options.bootstrap_expect = 3;
    options.join = {"n1:1", "n2:1", "n3:1"};
  }
  CHECK(node.Open(options).ok());
  if (!forming) CHECK(node.RunUntilReady());

  Reader reader(input.substr(1));
  std::uint8_t what = 0;
  std::string_view bytes;
  while (reader.Byte(what) && reader.Prefixed(bytes)) {
    Send(node, what, bytes);
    node.loop().RunFor(std::chrono::milliseconds(20));
  }
  node.loop().RunFor(std::chrono::milliseconds(500));
  CHECK(!node.fatal().has_value()) << node.fatal()->ToString();
  CHECK(node.Stop());
}

std::vector<std::string> Seeds() {
  const auto call = [](char what, std::string_view body) {
    std::string out(1, what);
    AppendPrefixed(out, body);
    return out;
  };
  const Members members{.next_node = NodeId(4),
                        .records = {{NodeId(1), NodeUuid(11), "n1:1"},
                                    {NodeId(2), NodeUuid(22), "n2:1"},
                                    {NodeId(3), NodeUuid(33), "n3:1"}},
                        .removed = {}};
  const Founding founding{.cluster = ClusterId(5), .members = members};
  Hello from_two;
  from_two.uuid = NodeUuid(22);
  from_two.address = "n2:1";
  from_two.expect = 3;
  from_two.heard_of = {"n3:1", "n4:1"};
  const std::string hello = EncodeHello(from_two);
  const std::string found = EncodeFoundingCall({.coordinator = NodeUuid(22), .founding = founding});
  const std::string join = EncodeJoinCall({.uuid = NodeUuid(44), .address = "n4:1"});
  AdminRequest request;
  const std::string list = EncodeAdminRequest(request, std::chrono::seconds(1));
  request.node = NodeId(1);
  request.verb = AdminVerb::kRemove;
  const std::string remove = EncodeAdminRequest(request, std::chrono::seconds(1));
  request.verb = AdminVerb::kAddMember;
  request.uuid = NodeUuid(44);
  request.address = "n4:1";
  const std::string add = EncodeAdminRequest(request, std::chrono::seconds(1));
  const auto message = [](raft::MessageBody body) {
    return raft::EncodeMessages(
        {{.from = kOther,
          .to = kSelf,
          .payload = raft::GroupMessage{
              .group = kFirstDataGroup,
              .message = {
                  .from = kOther, .to = kSelf, .term = raft::Term(9), .body = std::move(body)}}}});
  };
  const std::string forming(1, '\0');
  const std::string serving(1, '\1');
  return {
      forming + call(0, hello) + call(1, found) + call(2, found),
      forming + call(3, join) + call(0, hello),
      serving + call(0, hello) + call(3, join) + call(15, list),
      serving + call(15, add) + call(15, remove) + call(11, "\1"),
      serving +
          call(30, message(raft::VoteRequest{raft::Index(100), raft::Term(8), false, false})) +
          call(30, message(raft::VoteRequest{raft::Index(1), raft::Term(1), true, false})) +
          call(30, message(raft::ReadIndexRequest{.context = 3})) +
          call(30, message(raft::TimeoutNow{})),
  };
}

}  // namespace flotilla::fuzz
