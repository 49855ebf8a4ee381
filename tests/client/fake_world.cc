#include "tests/client/fake_world.h"

#include "base/check.h"
#include "client/errors.h"

namespace flotilla::client {

class FakeStrand final : public Strand {
 public:
  explicit FakeStrand(FakeExecutor* executor) : executor_(executor) {}

  void Post(Closure closure) override { executor_->Post(std::move(closure)); }
  TimerId After(Duration delay, Closure closure) override {
    executor_->timers_.emplace(executor_->clock_->now + delay, std::move(closure));
    return ++timers_;
  }
  bool Cancel(TimerId) override {
    CHECK(false) << "the client cancels no timer";
    return false;
  }
  bool IsCurrent() const override { return false; }
  bool Stopped() const override { return false; }

 private:
  FakeExecutor* const executor_;
  TimerId timers_ = 0;
};

std::unique_ptr<Strand> FakeExecutor::NewStrand(std::string_view) {
  return std::make_unique<FakeStrand>(this);
}

std::unique_ptr<Strand> FakeExecutor::NewBlockingStrand(std::string_view name) {
  return NewStrand(name);
}

void FakeExecutor::Advance(Duration by) {
  const MonoTime until = clock_->now + by;
  while (!timers_.empty() && timers_.begin()->first <= until) {
    auto node = timers_.extract(timers_.begin());
    clock_->now = std::max(clock_->now, node.key());
    node.mapped()();
  }
  clock_->now = until;
}

void FakeConnection::Send(const v1::PipelineRequest& batch) {
  CHECK(!unsent) << "Send() before OnSent";
  CHECK(!closed);
  unsent = true;
  batches.push_back(batch);
}

void FakeConnection::Flush() {
  CHECK(unsent);
  unsent = false;
  observer_->OnSent();
}

void FakeConnection::Break(const std::string& why) {
  closed = true;
  const auto observer = std::move(observer_);
  observer->OnClosed(Error(Reason::kUnreachable, "no connection to " + address + ": " + why));
}

v1::Response Answer(const v1::Request& request, std::uint64_t node) {
  v1::Response response;
  response.set_id(request.id());
  switch (request.request_case()) {
    case v1::Request::kGet:
      response.mutable_get()->mutable_header()->set_node_id(node);
      response.mutable_get()->set_found(true);
      response.mutable_get()->set_value("value of " + request.get().key());
      response.mutable_get()->set_version(7);
      break;
    case v1::Request::kBatchGet:
      response.mutable_batch_get()->mutable_header()->set_node_id(node);
      for (const std::string& key : request.batch_get().keys()) {
        auto& result = *response.mutable_batch_get()->add_results();
        result.set_found(true);
        result.set_value("value of " + key);
      }
      break;
    case v1::Request::kPut:
      response.mutable_put()->mutable_header()->set_node_id(node);
      response.mutable_put()->set_version(8);
      break;
    case v1::Request::kDelete:
      response.mutable_delete_()->mutable_header()->set_node_id(node);
      response.mutable_delete_()->set_existed(true);
      break;
    case v1::Request::kDeleteRange:
      response.mutable_delete_range()->mutable_header()->set_node_id(node);
      response.mutable_delete_range()->set_deleted(3);
      break;
    case v1::Request::kCompareAndSet:
      response.mutable_compare_and_set()->mutable_header()->set_node_id(node);
      response.mutable_compare_and_set()->set_version(9);
      break;
    case v1::Request::kBatch:
      response.mutable_batch()->mutable_header()->set_node_id(node);
      response.mutable_batch()->set_version(10);
      break;
    default:
      CHECK(false) << "no stock answer for this request";
  }
  return response;
}

void FakeConnection::Ok(const v1::Request& request, std::uint64_t node, std::uint64_t group) {
  v1::PipelineResponse responses;
  v1::Response& response = *responses.add_responses();
  response = Answer(request, node);
  if (response.has_get()) response.mutable_get()->mutable_header()->set_group_id(group);
  if (response.has_put()) response.mutable_put()->mutable_header()->set_group_id(group);
  Respond(std::move(responses));
}

void FakeConnection::Fail(const v1::Request& request, const Status& error) {
  v1::PipelineResponse responses;
  v1::Response& response = *responses.add_responses();
  response.set_id(request.id());
  ToWire(error, response.mutable_error());
  Respond(std::move(responses));
}

std::shared_ptr<Connection> FakeConnector::Connect(const std::string& address,
                                                   std::shared_ptr<ConnectionObserver> observer) {
  connections.push_back(std::make_shared<FakeConnection>(address, std::move(observer)));
  return connections.back();
}

void FakeConnector::ListMembers(const std::string& address, Duration, MembersCallback done) {
  member_questions.emplace_back(address, std::move(done));
}

std::shared_ptr<DirectoryWatch> FakeConnector::WatchDirectory(
    const std::string& address, std::shared_ptr<DirectoryObserver> observer) {
  if (!has_directory) return nullptr;
  auto watch = std::make_shared<Watch>();
  watch->address = address;
  watch->observer = std::move(observer);
  watches.push_back(watch);
  return watch;
}

std::unique_ptr<Client> FakeWorld::NewClient(ClientOptions options) {
  if (options.endpoints.empty()) options.endpoints = {"a:1"};
  return std::make_unique<Client>(
      options,
      ClientWorld{.executor = &executor, .clock = &clock, .connector = &connector, .seed = 42});
}

}  // namespace flotilla::client
