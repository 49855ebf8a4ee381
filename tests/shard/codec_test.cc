// The bodies of calls between nodes: what is written comes back, and no byte of a stranger's is
// trusted.

#include <gtest/gtest.h>

#include "base/random.h"
#include "shard/admin.h"
#include "shard/formation_codec.h"
#include "shard/forward_codec.h"

namespace flotilla {
namespace {

constexpr MonoTime kNow{std::chrono::seconds(100)};

class NullSink final : public AnswerSink {
 public:
  void OnAnswers(std::vector<GatewayAnswer>) override {}
};

const LockRequest kLock{
    .owner = {.txn = kv::TxnId(5), .coordinator = NodeId(3), .since = kv::TxnId(4)},
    .strength = LockStrength::kShare,
    .patience = LockPatience::kNoWait,
    .within = std::chrono::milliseconds(250),
    .keys_only = true};

std::vector<GatewayRequest> AllKinds() {
  std::vector<GatewayRequest> requests(8);
  requests[0].call = WriteCall{.command = Bytes("command")};
  requests[1].call = GetCall{.keyspace = kv::KeyspaceId(3),
                             .consistency = kv::Consistency::kLinearizable,
                             .key = std::string("k\0ey", 4),
                             .as_of = Timestamp(71)};
  requests[2].call = BatchGetCall{.keyspace = kv::KeyspaceId(1),
                                  .consistency = kv::Consistency::kEventual,
                                  .keys = {"a", "", "c"},
                                  .as_of = Timestamp(72),
                                  .lock = kLock};
  ScanCall scan;
  scan.request = {.keyspace = kv::KeyspaceId(1),
                  .start = "a",
                  .end = "z",
                  .reverse = true,
                  .as_of = Timestamp(73),
                  .limit = 17,
                  .keys_only = true,
                  .first_slot = 5,
                  .past_last_slot = 700};
  requests[3].call = scan;
  AggregateCall aggregate;
  aggregate.request = {.keyspace = kv::KeyspaceId(9 | kv::kHashedBit),
                       .start = "a",
                       .end = "z",
                       .as_of = Timestamp(74),
                       .first_slot = 5,
                       .past_last_slot = 700,
                       .filter = kv::ValueFilter::kContains,
                       .filter_value = "7",
                       .sum = true,
                       .resume = "r"};
  requests[4].call = aggregate;
  HistoryCall history;
  history.request = {
      .keyspace = kv::KeyspaceId(1), .key = "k", .before = Timestamp(76), .limit = 9};
  requests[6].call = history;
  requests[5].call = TxnRecordCall{.anchor = "anchor", .txn = kv::TxnId(75)};
  requests[7].call = UnlockCall{.key = "locked", .txn = kv::TxnId(77)};
  for (GatewayRequest& request : requests) request.deadline = kNow + std::chrono::seconds(2);
  return requests;
}

std::string EncodeAllKinds() {
  auto batch = std::make_shared<PendingBatch>(AllKinds(), std::make_shared<NullSink>());
  std::vector<Ticket> tickets;
  for (std::uint32_t slot = 0; slot < batch->size(); ++slot) tickets.push_back({batch, slot});
  return EncodeForwardedRequests(kFirstDataGroup, tickets, kNow);
}

TEST(ForwardCodec, RequestsComeBack) {
  const auto forwarded = DecodeForwardedRequests(Bytes(EncodeAllKinds()), kNow);
  ASSERT_TRUE(forwarded.ok());
  EXPECT_EQ(forwarded->group, kFirstDataGroup);
  const auto* const decoded = &forwarded->requests;
  ASSERT_EQ(decoded->size(), AllKinds().size());
  EXPECT_EQ((*decoded)[2].id, 2u);
  EXPECT_EQ((*decoded)[0].deadline, kNow + std::chrono::seconds(2));
  EXPECT_EQ(std::get<WriteCall>((*decoded)[0].call).command.view(), "command");
  EXPECT_EQ(std::get<GetCall>((*decoded)[1].call).key, std::string("k\0ey", 4));
  EXPECT_EQ(std::get<GetCall>((*decoded)[1].call).as_of, Timestamp(71));
  EXPECT_EQ(std::get<BatchGetCall>((*decoded)[2].call).keys.size(), 3u);
  EXPECT_EQ(std::get<BatchGetCall>((*decoded)[2].call).as_of, Timestamp(72));
  EXPECT_EQ(std::get<BatchGetCall>((*decoded)[2].call).lock, kLock);
  EXPECT_EQ(std::get<ScanCall>((*decoded)[3].call).lock, std::nullopt);
  EXPECT_EQ(std::get<UnlockCall>((*decoded)[7].call).key, "locked");
  EXPECT_EQ(std::get<UnlockCall>((*decoded)[7].call).txn, kv::TxnId(77));
  const kv::ScanRequest& scan = std::get<ScanCall>((*decoded)[3].call).request;
  EXPECT_TRUE(scan.reverse && scan.keys_only);
  EXPECT_EQ(scan.as_of, Timestamp(73));
  EXPECT_EQ(scan.limit, 17u);
  EXPECT_EQ(scan.first_slot, 5u);
  EXPECT_EQ(scan.past_last_slot, 700u);
  const kv::AggregateRequest& aggregate = std::get<AggregateCall>((*decoded)[4].call).request;
  EXPECT_EQ(aggregate, std::get<AggregateCall>(AllKinds()[4].call).request);
  const auto& record = std::get<TxnRecordCall>((*decoded)[5].call);
  EXPECT_EQ(record.anchor, "anchor");
  EXPECT_EQ(record.txn, kv::TxnId(75));
  EXPECT_EQ(std::get<HistoryCall>((*decoded)[6].call).request,
            std::get<HistoryCall>(AllKinds()[6].call).request);
}

kv::TxnRecord Staged() {
  return {.timestamp = Timestamp(5),
          .valid_until_ms = 6,
          .parts = {{.first = "a", .last = "b"}, {.first = "c", .last = "d"}}};
}

std::vector<GatewayAnswer> AllAnswers() {
  std::vector<GatewayAnswer> answers(9);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    answers[i].id = 10 + i;
    answers[i].origin = {.group = GroupId(2), .node = NodeId(3), .timestamp = Timestamp(4)};
  }
  answers[0].status = Error(Reason::kConditionFailed, "no", {{"actual_version", "7"}});
  kv::WriteResult write;
  write.timestamp = Timestamp(55);
  write.affected = 6;
  write.outcome = kv::WriteOutcome::kRepeated;
  write.obstacle = std::make_shared<const kv::Obstacle>(kv::Obstacle{.key = "from here on"});
  answers[1].result = write;
  answers[2].result =
      kv::GetResult{.found = true, .value = "v", .version = Timestamp(8), .expires_at_ms = 9};
  answers[3].result = std::vector<kv::GetResult>{{}, {.found = true, .value = "w", .version = {}}};
  kv::ScanPage page;
  page.rows.push_back({.key = "k", .value = "v", .version = Timestamp(1), .expires_at_ms = 0});
  page.more = true;
  page.resume_key = "k2";
  answers[4].result = page;
  answers[5].result = kv::AggregatePage{
      .keys = 3, .bytes = 300, .sum = -7, .not_integers = 1, .more = true, .resume = "r"};
  answers[6].result = TxnRecordResult{.record = Staged()};
  answers[7].result = TxnRecordResult();
  kv::HistoryPage history{.more = true, .complete_since = Timestamp(3)};
  history.versions.push_back({.timestamp = Timestamp(9), .kind = kv::VersionKind::kDeleted});
  history.versions.push_back({.timestamp = Timestamp(8),
                              .transaction = kv::TxnId(7),
                              .expires_at_ms = 11,
                              .value = "v",
                              .superseded = kv::Successor{.timestamp = Timestamp(9),
                                                          .kind = kv::VersionKind::kDeleted,
                                                          .transaction = kv::TxnId(6)}});
  answers[8].result = history;
  return answers;
}

TEST(ForwardCodec, AnswersComeBack) {
  const auto decoded = DecodeForwardedAnswers(EncodeForwardedAnswers(AllAnswers()));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_EQ(decoded->size(), 9u);
  EXPECT_EQ(ReasonOf((*decoded)[0].status), Reason::kConditionFailed);
  EXPECT_EQ(MetadataOf((*decoded)[0].status)["actual_version"], "7");
  EXPECT_EQ(std::get<kv::WriteResult>((*decoded)[1].result).affected, 6u);
  EXPECT_EQ(std::get<kv::WriteResult>((*decoded)[1].result).obstacle->key, "from here on");
  EXPECT_EQ(std::get<kv::WriteResult>((*decoded)[1].result).outcome, kv::WriteOutcome::kRepeated);
  EXPECT_EQ(std::get<kv::GetResult>((*decoded)[2].result).value, "v");
  EXPECT_EQ(std::get<std::vector<kv::GetResult>>((*decoded)[3].result)[1].value, "w");
  EXPECT_EQ(std::get<kv::ScanPage>((*decoded)[4].result).resume_key, "k2");
  EXPECT_EQ((*decoded)[4].origin.node, NodeId(3));
  EXPECT_EQ(std::get<kv::AggregatePage>((*decoded)[5].result),
            std::get<kv::AggregatePage>(AllAnswers()[5].result));
  EXPECT_EQ(std::get<TxnRecordResult>((*decoded)[6].result).record, Staged());
  EXPECT_FALSE(std::get<TxnRecordResult>((*decoded)[7].result).record);
  EXPECT_EQ(std::get<kv::HistoryPage>((*decoded)[8].result),
            std::get<kv::HistoryPage>(AllAnswers()[8].result));
}

TEST(AdminCodec, ComesBack) {
  AdminRequest request{.verb = AdminVerb::kAddMember,
                       .group = GroupId(2),
                       .node = NodeId(4),
                       .uuid = NodeUuid(99),
                       .address = "h:1",
                       .promote = true,
                       .control = "split",
                       .replaced = {}};
  Duration left{0};
  const auto decoded =
      DecodeAdminRequest(EncodeAdminRequest(request, std::chrono::seconds(3)), left);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->uuid, NodeUuid(99));
  EXPECT_EQ(decoded->control, "split");
  EXPECT_EQ(left, std::chrono::seconds(3));
  request.verb = AdminVerb::kReplaceVoter;
  request.replaced = NodeId(5);
  const auto replace =
      DecodeAdminRequest(EncodeAdminRequest(request, std::chrono::seconds(3)), left);
  ASSERT_TRUE(replace.ok());
  EXPECT_EQ(replace->node, NodeId(4));
  EXPECT_EQ(replace->replaced, NodeId(5));

  AdminResult result;
  result.status = Error(Reason::kNodeNotFound, "gone");
  result.index = raft::Index(7);
  result.durable = raft::Index(6);
  result.range = {.start = "a", .end = "b", .epoch = Epoch(3), .frozen = true};
  result.durable_range = {.start = "a", .end = "c", .epoch = Epoch(2)};
  result.members.push_back(
      {.node = NodeId(1), .address = "a", .voter = true, .match = raft::Index(5)});
  const auto again = DecodeAdminResult(EncodeAdminResult(result));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(ReasonOf(again->status), Reason::kNodeNotFound);
  EXPECT_EQ(again->index, result.index);
  EXPECT_EQ(again->durable, result.durable);
  EXPECT_EQ(again->range, result.range);
  EXPECT_EQ(again->durable_range, result.durable_range);
  ASSERT_EQ(again->members.size(), 1u);
  EXPECT_TRUE(again->members[0].voter);
}

// Whatever the bytes: an error or a value, never a crash, never an endless loop.
TEST(PeerBodies, StrangersBytesAreHarmless) {
  Random random(7);
  const std::vector<std::string> seeds{EncodeAllKinds(), EncodeForwardedAnswers(AllAnswers()),
                                       EncodeHello({.uuid = NodeUuid(1),
                                                    .address = "a:1",
                                                    .expect = 3,
                                                    .cluster = {},
                                                    .founding = "x",
                                                    .heard_of = {"b:1"}}),
                                       EncodeAdminRequest({}, std::chrono::seconds(1)),
                                       EncodeAdminResult({})};
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = seeds[random.Below(seeds.size())];
    bytes.resize(random.Below(bytes.size() + 1));
    for (std::uint64_t i = random.Below(4); i > 0 && !bytes.empty(); --i) {
      bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
    }
    Duration left{0};
    (void)DecodeForwardedRequests(Bytes(bytes), kNow);
    (void)DecodeForwardedAnswers(bytes);
    (void)DecodeAdminRequest(bytes, left);
    (void)DecodeAdminResult(bytes);
    (void)DecodeHello(bytes);
    (void)DecodeFoundingCall(bytes);
    (void)DecodeJoinCall(bytes);
    (void)DecodeAdmission(bytes);
  }
}

}  // namespace
}  // namespace flotilla
