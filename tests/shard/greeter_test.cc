#include "shard/greeter.h"

#include <gtest/gtest.h>

#include <map>

#include "base/logger.h"
#include "tests/shard/virtual_time.h"

namespace flotilla {
namespace {

constexpr ClusterId kHome(7);
constexpr ClusterId kElsewhere(8);

// One member that greets; what the others answer is said by the test.
class Street final : public raft::Transport {
 public:
  void Start(ClusterId, NodeId, raft::TransportHandler*) override {}
  void SetPeers(const std::vector<raft::PeerAddress>&) override {}
  void Send(std::vector<raft::PeerMessage>) override {}
  void SetAddressCallHandler(AddressCallHandler) override {}
  void Stop() override {}
  void CallAddress(const std::string& address, std::uint32_t method, Bytes body, Duration timeout,
                   UniqueFunction<void(StatusOr<Bytes>)> done) override {
    const auto found = clusters.find(address);
    if (found == clusters.end()) {
      loop.At(loop.Now() + timeout, [done = std::move(done)]() mutable {
        done(Error(Reason::kUnreachable, "nobody there"));
      });
      return;
    }
    if (static_cast<raft::PeerMethod>(method) == raft::PeerMethod::kJoin) {
      ++announced[address];
      EXPECT_EQ(DecodeJoinCall(body.view())->address, "new");
      on_record = recorded_by.contains(address);
      Admission admission{
          .status = absl::OkStatus(), .cluster = kHome, .node = NodeId(1), .members = {}};
      admission.members.records.push_back(
          {.node = NodeId(2), .uuid = {}, .address = address, .promote = false});
      done(Bytes(EncodeAdmission(admission)));
      return;
    }
    const StatusOr<Hello> hello = DecodeHello(body.view());
    EXPECT_EQ(hello->address, "new") << "others learn the address from the greeting";
    EXPECT_EQ(hello->cluster, kHome);
    ++greeted[address];
    Hello answer;
    answer.uuid = NodeUuid(100);
    answer.address = address;
    answer.cluster = found->second;
    answer.members.records.push_back(
        {.node = NodeId(2), .uuid = {}, .address = address, .promote = false});
    loop.At(loop.Now() + std::chrono::milliseconds(1),
            [done = std::move(done), answer]() mutable { done(Bytes(EncodeHello(answer))); });
  }

  void Greet(std::vector<std::string> join) {
    Greeter::World world;
    world.transport = this;
    world.strand = &strand;
    world.logger = NullLogger();
    world.members = [this] { return members; };
    world.on_record = [this] { return on_record; };
    world.record_here = [] {};
    world.meet = [this](const std::vector<MemberRecord>& records) {
      for (const MemberRecord& record : records) met.insert(record.address);
    };
    world.refuse = [this](const Status& status) { refusals.push_back(status); };
    Greeter::Options options;
    options.uuid = NodeUuid(1);
    options.cluster = kHome;
    options.address = "new";
    options.join = std::move(join);
    options.data_directory = "/data/n1";
    greeter = std::make_shared<Greeter>(options, world);
    greeter->Start();
  }

  Loop loop;
  LoopStrand strand{&loop};
  std::map<std::string, ClusterId> clusters;  // whom an address belongs to
  std::vector<std::string> members;
  std::set<std::string> met;
  bool on_record = true;
  std::set<std::string> recorded_by;
  std::map<std::string, int> greeted;
  std::map<std::string, int> announced;
  std::vector<Status> refusals;
  std::shared_ptr<Greeter> greeter;
};

TEST(Greeter, EndsOnceItIsAtHome) {
  Street street;
  street.clusters = {{"a", kHome}};
  street.members = {"a", "b"};
  street.Greet({"new", "a"});
  street.loop.RunFor(std::chrono::seconds(20));
  EXPECT_EQ(street.greeted["a"], 1);
  EXPECT_TRUE(street.refusals.empty());
}

// A member that was restarted before it got the group's configuration, or whose own is so old that
// it knows none of today's members.
TEST(Greeter, LearnsWhereTheMembersAreEachTimeItGreets) {
  Street street;
  street.clusters = {{"a", kHome}};
  street.Greet({"a"});
  street.loop.RunFor(std::chrono::seconds(5));
  EXPECT_EQ(street.met, std::set<std::string>{"a"});
  street.greeter->Again();
  street.loop.RunFor(std::chrono::seconds(5));
  EXPECT_EQ(street.greeted["a"], 2);
  street.greeter->End();
  street.greeter->Again();
  street.loop.RunFor(std::chrono::seconds(5));
  EXPECT_EQ(street.greeted["a"], 2);
}

TEST(Greeter, RefusesToRunBesideAnotherCluster) {
  Street street;
  street.clusters = {{"a", kElsewhere}};
  street.Greet({"a"});
  street.loop.RunFor(std::chrono::seconds(3));
  ASSERT_EQ(street.refusals.size(), 1u);
  EXPECT_EQ(ReasonOf(street.refusals[0]), Reason::kWrongCluster);
  const std::string message(MessageOf(street.refusals[0]));
  EXPECT_NE(message.find("/data/n1"), std::string::npos) << message;
  EXPECT_NE(message.find("0000000000000008"), std::string::npos) << message;
}

TEST(Greeter, AStrangerBesideItsOwnPeopleDoesNotMatter) {
  Street street;
  street.clusters = {{"a", kElsewhere}, {"b", kHome}};
  street.members = {"b"};
  street.Greet({"a"});
  street.loop.RunFor(std::chrono::seconds(20));
  EXPECT_TRUE(street.refusals.empty());
}

TEST(Greeter, WaitsForOthersThatAreDown) {
  Street street;
  street.members = {"a"};
  street.Greet({});
  street.loop.RunFor(std::chrono::seconds(30));
  EXPECT_TRUE(street.refusals.empty());
  street.clusters = {{"a", kElsewhere}};
  street.loop.RunFor(std::chrono::seconds(5));
  EXPECT_EQ(street.refusals.size(), 1u);
}

TEST(Greeter, AnnouncesItsAddressUntilItIsOnRecord) {
  Street street;
  street.clusters = {{"a", kHome}, {"b", kHome}};
  street.members = {"a", "b"};
  street.on_record = false;
  street.recorded_by = {"b"};
  street.Greet({});
  street.loop.RunFor(std::chrono::seconds(30));
  EXPECT_TRUE(street.on_record);
  EXPECT_EQ(street.announced["b"], 1);
  EXPECT_LE(street.announced["a"], 1);
}

TEST(Greeter, SaysNothingAfterItsEnd) {
  Street street;
  street.clusters = {{"a", kElsewhere}};
  street.Greet({"a"});
  street.greeter->End();
  street.loop.RunFor(std::chrono::seconds(10));
  EXPECT_TRUE(street.refusals.empty());
  EXPECT_EQ(street.greeted["a"], 1);
}

}  // namespace
}  // namespace flotilla
