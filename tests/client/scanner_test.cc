#include "client/scanner.h"

#include <gtest/gtest.h>

#include "client/client.h"
#include "tests/client/fake_world.h"

namespace flotilla::client {
namespace {

// A node that holds keys 00 to 99 and answers from inside the connection's events. A blocking call
// in one thread needs its answer before it waits: the accepting connection gives it at once.
class ScanningConnector final : public Connector {
 public:
  class Scanning final : public Connection {
   public:
    Scanning(ScanningConnector* owner, std::shared_ptr<ConnectionObserver> observer)
        : owner_(owner), observer_(std::move(observer)) {}
    void Send(const v1::PipelineRequest& batch) override {
      for (const v1::Request& request : batch.requests())
        owner_->requests.push_back(request.scan());
      owner_->todo.push_back([observer = observer_, batch, owner = owner_] {
        observer->OnSent();
        v1::PipelineResponse responses;
        for (const v1::Request& request : batch.requests()) {
          owner->Serve(request, *responses.add_responses());
        }
        observer->OnResponses(responses);
      });
    }
    void Close() override { observer_.reset(); }

   private:
    ScanningConnector* owner_;
    std::shared_ptr<ConnectionObserver> observer_;
  };

  std::shared_ptr<Connection> Connect(const std::string&,
                                      std::shared_ptr<ConnectionObserver> observer) override {
    todo.push_back([observer] { observer->OnConnected(Timestamp(1)); });
    return std::make_shared<Scanning>(this, observer);
  }
  void ListMembers(const std::string&, Duration, MembersCallback) override {}

  void Serve(const v1::Request& request, v1::Response& response) {
    response.set_id(request.id());
    v1::ScanResponse& page = *response.mutable_scan();
    const v1::ScanRequest& scan = request.scan();
    int at = scan.continuation_token().empty() ? 0 : std::stoi(scan.continuation_token());
    if (at == 20 && fail_at_20) {
      response.mutable_error()->set_code(13);
      return;
    }
    for (std::uint64_t i = 0; i < scan.limit() && at < keys; ++i, ++at) {
      page.add_rows()->set_key(std::to_string(at));
    }
    if (at < keys) page.set_continuation_token(std::to_string(at));
  }

  std::deque<std::function<void()>> todo;
  std::vector<v1::ScanRequest> requests;
  int keys = 25;
  bool fail_at_20 = false;
};

class ClientScannerTest : public testing::Test {
 protected:
  ClientScannerTest()
      : executor(&clock),
        client({.endpoints = {"a:1"}},
               ClientWorld{.executor = &executor, .clock = &clock, .connector = &connector}) {}

  // Fetches pages as the blocking face would, but runs the network in between.
  std::vector<std::string> ScanAll(ScanOptions options, Status* status = nullptr) {
    std::vector<std::string> keys;
    std::string token;
    do {
      Result<ScanPage> page;
      client.ScanPageAsync(options, token, page.Into());
      while (!connector.todo.empty()) {
        auto next = std::move(connector.todo.front());
        connector.todo.pop_front();
        next();
      }
      if (!page.answer().ok()) {
        if (status != nullptr) *status = page.answer().status();
        return keys;
      }
      for (const Row& row : page.answer()->rows) keys.push_back(row.key);
      token = page.answer()->continuation_token;
    } while (!token.empty());
    return keys;
  }

  FakeClock clock;
  FakeExecutor executor;
  ScanningConnector connector;
  Client client;
};

TEST_F(ClientScannerTest, PagesFollowEachOtherByToken) {
  EXPECT_EQ(ScanAll({.page_size = 10}).size(), 25u);
  ASSERT_EQ(connector.requests.size(), 3u);
  EXPECT_EQ(connector.requests[0].limit(), 10u);
  EXPECT_EQ(connector.requests[1].continuation_token(), "10");
  EXPECT_EQ(connector.requests[2].continuation_token(), "20");
}

TEST_F(ClientScannerTest, APageAsksForNoMoreThanTheLimitAndTheBound) {
  ScanAll({.limit = 7, .page_size = 10});
  EXPECT_EQ(connector.requests[0].limit(), 7u);
  connector.requests.clear();
  ScanAll({.page_size = 1'000'000});
  EXPECT_EQ(connector.requests[0].limit(), 10'000u);
}

TEST_F(ClientScannerTest, AnErrorOnALaterPageIsTold) {
  connector.fail_at_20 = true;
  Status status;
  EXPECT_EQ(ScanAll({.page_size = 10}, &status).size(), 20u);
  EXPECT_EQ(ReasonOf(status), Reason::kInternal);
}

}  // namespace
}  // namespace flotilla::client
