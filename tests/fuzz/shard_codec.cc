// What nodes say to each other beside consensus, and what they keep in small files and fields.
//
// input: u8 which codec | bytes

#include "base/coding.h"
#include "shard/admin.h"
#include "shard/formation_codec.h"
#include "shard/forward_codec.h"
#include "shard/identity.h"
#include "tests/fuzz/fuzz.h"

namespace flotilla::fuzz {
namespace {

constexpr MonoTime kNow{std::chrono::seconds(100)};

class NoSink final : public AnswerSink {
 public:
  void OnAnswers(std::vector<GatewayAnswer>) override {}
};

std::string EncodeRequests(ForwardedRequests forwarded) {
  auto batch =
      std::make_shared<PendingBatch>(std::move(forwarded.requests), std::make_shared<NoSink>());
  std::vector<Ticket> tickets;
  for (std::uint32_t slot = 0; slot < batch->size(); ++slot) tickets.push_back({batch, slot});
  return EncodeForwardedRequests(forwarded.group, tickets, kNow);
}

StatusOr<std::pair<AdminRequest, Duration>> DecodeAdmin(std::string_view bytes) {
  Duration left{};
  ASSIGN_OR_RETURN(AdminRequest request, DecodeAdminRequest(bytes, left));
  return std::pair(std::move(request), left);
}

StatusOr<raft::Configuration> DecodeConfiguration(std::string_view bytes) {
  raft::Configuration configuration;
  if (raft::DecodeConfiguration(bytes, configuration)) return configuration;
  return Error(Reason::kBadRequest, "no configuration");
}

void FuzzCodec(std::uint8_t which, std::string_view bytes) {
  switch (which) {
    case 0:
      return ExpectStable(
          bytes,
          [](std::string_view body) {
            return DecodeForwardedRequests(Bytes(std::string(body)), kNow);
          },
          EncodeRequests);
    case 1:
      return ExpectStable(bytes, DecodeForwardedAnswers, EncodeForwardedAnswers);
    case 2:
      return ExpectStable(bytes, DecodeAdmin, [](const std::pair<AdminRequest, Duration>& call) {
        return EncodeAdminRequest(call.first, call.second);
      });
    case 3:
      return ExpectStable(bytes, DecodeAdminResult, EncodeAdminResult);
    case 4:
      return ExpectStable(bytes, DecodeHello, EncodeHello);
    case 5:
      return ExpectStable(bytes, DecodeFoundingCall, EncodeFoundingCall);
    case 6:
      return ExpectStable(bytes, DecodeJoinCall, EncodeJoinCall);
    case 7:
      return ExpectStable(bytes, DecodeAdmission, EncodeAdmission);
    case 8:
      return ExpectStable(bytes, DecodeMembers, EncodeMembers);
    case 9:
      return ExpectStable(bytes, DecodeIdentity, EncodeIdentity);
    case 10:
      return ExpectStable(bytes, DecodeConfiguration, raft::EncodeConfiguration);
    default:
      return;
  }
}

Members TwoMembers() {
  return {
      .next_node = NodeId(3),
      .records = {{.node = NodeId(1), .uuid = NodeUuid(11), .address = "n1:1"},
                  {.node = NodeId(2), .uuid = NodeUuid(22), .address = "n2:1", .promote = true}},
      .removed = {NodeUuid(33)}};
}

std::string SeedRequests() {
  std::vector<GatewayRequest> requests(7);
  requests[0].call = WriteCall{.command = Bytes("command")};
  requests[1].call = GetCall{.key = "k"};
  requests[2].call =
      BatchGetCall{.keys = {"a", "", "c"}, .lock = LockRequest{.owner = {.txn = kv::TxnId(5)}}};
  ScanCall scan;
  scan.request = {.start = "a", .end = "z", .reverse = true, .limit = 17, .keys_only = true};
  scan.request.first_slot = 3;
  requests[3].call = scan;
  AggregateCall aggregate;
  aggregate.request = {
      .start = "a", .filter = kv::ValueFilter::kContains, .filter_value = "7", .sum = true};
  requests[4].call = aggregate;
  HistoryCall history;
  history.request = {.key = "k", .before = Timestamp(9), .limit = 3};
  requests[5].call = history;
  requests[6].call = UnlockCall{.key = "k", .txn = kv::TxnId(5)};
  for (GatewayRequest& request : requests) request.deadline = kNow + std::chrono::seconds(2);
  return EncodeRequests({.group = kFirstDataGroup, .requests = std::move(requests)});
}

std::string SeedAnswers() {
  std::vector<GatewayAnswer> answers(7);
  answers[0].status = Error(Reason::kNotLeader, "ask n2", {{"leader_node", "2"}});
  answers[1].result = kv::WriteResult{.timestamp = Timestamp(7), .affected = 3};
  answers[2].result = kv::GetResult{.found = true, .value = "v", .version = Timestamp(5)};
  answers[3].result = std::vector<kv::GetResult>(2);
  kv::ScanPage page{.more = true, .resume_key = "l"};
  page.rows.push_back({.key = "k", .value = "v", .version = Timestamp(9)});
  page.locked.push_back({.start = "a", .end = "l", .as_of = Timestamp(8)});
  answers[4].result = page;
  answers[5].result = kv::AggregatePage{.keys = 3, .sum = -7, .more = true, .resume = "r"};
  kv::HistoryPage versions{.complete_since = Timestamp(4)};
  versions.versions.push_back({.timestamp = Timestamp(8),
                               .transaction = kv::TxnId(7),
                               .value = "v",
                               .superseded = kv::Successor{.timestamp = Timestamp(9)}});
  answers[6].result = versions;
  return EncodeForwardedAnswers(answers);
}

}  // namespace

void Fuzz(std::string_view input) {
  if (input.empty()) return;
  FuzzCodec(static_cast<std::uint8_t>(input[0]), input.substr(1));
}

std::vector<std::string> Seeds() {
  const Founding founding{.cluster = ClusterId(5), .members = TwoMembers()};
  AdminResult result;
  result.node = NodeId(2);
  result.index = raft::Index(9);
  result.members = {{.node = NodeId(1), .address = "n1:1", .voter = true, .match = raft::Index(8)}};
  AdminRequest add;
  add.verb = AdminVerb::kAddAddress;
  add.address = "n3:1";
  AdminRequest replace;
  replace.verb = AdminVerb::kReplaceVoter;
  replace.group = kDirectoryGroup;
  replace.node = NodeId(4);
  replace.replaced = NodeId(2);
  const std::vector<std::string> bodies = {
      SeedRequests(),
      SeedAnswers(),
      EncodeAdminRequest(add, std::chrono::seconds(3)),
      EncodeAdminResult(result),
      EncodeHello({.uuid = NodeUuid(11),
                   .address = "n1:1",
                   .expect = 3,
                   .cluster = ClusterId(5),
                   .founding = EncodeFounding(founding),
                   .heard_of = {"n2:1", "n3:1"}}),
      EncodeFoundingCall({.coordinator = NodeUuid(11), .founding = founding}),
      EncodeJoinCall({.uuid = NodeUuid(33), .address = "n3:1"}),
      EncodeAdmission({.status = absl::OkStatus(),
                       .cluster = ClusterId(5),
                       .node = NodeId(3),
                       .members = TwoMembers()}),
      EncodeMembers(TwoMembers()),
      EncodeIdentity(
          {.uuid = NodeUuid(11), .cluster = ClusterId(5), .node = NodeId(1), .founding = founding}),
      raft::EncodeConfiguration(FoundedGroups(founding).front().configuration)};
  std::vector<std::string> seeds;
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    seeds.push_back(std::string(1, static_cast<char>(i)) + bodies[i]);
  }
  seeds.push_back("\x02" + EncodeAdminRequest(replace, std::chrono::seconds(3)));
  return seeds;
}

}  // namespace flotilla::fuzz
