#include "shard/directory/editor.h"

#include <utility>

#include "kv/command.h"
#include "shard/one_answer.h"

namespace flotilla {
namespace {

Status Late() {
  return Error(Reason::kDeadlineExceeded,
               "this node's copy of the directory did not catch up in time: see `kvctl status`");
}

}  // namespace

DirectoryEditor::DirectoryEditor(Directory* directory, Gateway* gateway, const Clock* clock,
                                 TaskScope* scope, ClientId id)
    : directory_(directory), gateway_(gateway), clock_(clock), scope_(scope), id_(id) {}

Task<GatewayAnswer> DirectoryEditor::Ask(GatewayRequest request) {
  GatewayAnswer answer = co_await AwaitCallback<GatewayAnswer>([&](Completion<GatewayAnswer> done) {
    std::vector<GatewayRequest> requests;
    requests.push_back(std::move(request));
    gateway_->Submit(std::move(requests), std::make_shared<OneAnswer>(std::move(done)));
  });
  co_return answer;
}

Task<StatusOr<Timestamp>> DirectoryEditor::Edit(Change change, MonoTime deadline) {
  for (;;) {
    const Status fresh = co_await Refresh(deadline);
    if (!fresh.ok()) co_return fresh;
    const std::shared_ptr<const DirectoryImage> image = directory_->image();
    const StatusOr<DirectoryEdit> edit = change(*image);
    if (!edit.ok()) co_return edit.status();
    if (edit->empty()) co_return image->version();
    const kv::Session session{.client = id_, .sequence = ++sequence_};
    GatewayRequest request;
    request.deadline = deadline;
    request.call = WriteCall{.command = Bytes(EncodeEdit(*edit, *image, session))};
    const GatewayAnswer answer = co_await Ask(std::move(request));
    if (ReasonOf(answer.status) == Reason::kConditionFailed) continue;
    if (!answer.status.ok()) co_return answer.status;
    const Timestamp version = std::get<kv::WriteResult>(answer.result).timestamp;
    const Status there = co_await Reach(version, deadline);
    // It is committed, whatever this node has seen of it.
    if (!there.ok() && ReasonOf(there) != Reason::kDeadlineExceeded) co_return there;
    co_return version;
  }
}

Task<Status> DirectoryEditor::Refresh(MonoTime deadline) {
  GatewayRequest request;
  request.deadline = deadline;
  request.call = GetCall{.keyspace = kDirectoryKeyspace,
                         .consistency = kv::Consistency::kLinearizable,
                         .key = RowKey(DirectoryRow(Counters()))};
  const GatewayAnswer answer = co_await Ask(std::move(request));
  if (!answer.status.ok()) co_return answer.status;
  // Every edit writes this row: who has its version has everything before it.
  const Status reached = co_await Reach(std::get<kv::GetResult>(answer.result).version, deadline);
  co_return reached;
}

Task<Status> DirectoryEditor::Reach(Timestamp version, MonoTime deadline) {
  if (directory_->image()->version() >= version) co_return absl::OkStatus();
  const Status reached = co_await AwaitCallback<Status>([&](Completion<Status> done) {
    const MonoTime now = clock_->Now();
    if (stopped_ || now >= deadline) {
      done(stopped_ ? Error(Reason::kNodeStopping, "the node is stopping") : Late());
      return;
    }
    const std::uint64_t id = next_waiter_++;
    const TimerId timer = scope_->strand().After(deadline - now, [this, id] { Expire(id); });
    waiters_.emplace(id, Waiter{.version = version, .timer = timer, .done = std::move(done)});
    OnChange();  // it may have come meanwhile
  });
  co_return reached;
}

void DirectoryEditor::Expire(std::uint64_t waiter) {
  const auto found = waiters_.find(waiter);
  if (found == waiters_.end()) return;
  Completion<Status> done = std::move(found->second.done);
  waiters_.erase(found);
  done(Late());
}

void DirectoryEditor::OnChange() {
  if (waiters_.empty()) return;
  const Timestamp version = directory_->image()->version();
  for (auto one = waiters_.begin(); one != waiters_.end();) {
    if (one->second.version > version) {
      ++one;
      continue;
    }
    scope_->strand().Cancel(one->second.timer);
    one->second.done(absl::OkStatus());
    one = waiters_.erase(one);
  }
}

void DirectoryEditor::Stop() {
  stopped_ = true;
  for (auto& [id, waiter] : waiters_) {
    scope_->strand().Cancel(waiter.timer);
    waiter.done(Error(Reason::kNodeStopping, "the node is stopping"));
  }
  waiters_.clear();
}

}  // namespace flotilla
