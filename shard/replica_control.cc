// Changes of a group itself, as its leader proposes them.

#include <spdlog/fmt/fmt.h>

#include <utility>

#include "shard/answers.h"
#include "shard/replica.h"

namespace flotilla {
namespace {

class Waiting final : public kv::ControlProposal {
 public:
  explicit Waiting(Replica::ControlDone done) : done_(std::move(done)) {}

  void Complete(const kv::ControlResult& result) override { done_(result); }
  void Fail(const Status& status) override { done_(status); }
  Replica::ControlDone Take() { return std::move(done_); }

 private:
  Replica::ControlDone done_;
};

}  // namespace

void Replica::ProposeControl(const kv::ControlCommand& command, ControlDone done) {
  if (group_->core().role() != raft::Role::kLeader || !serving_leader()) {
    done(NotLeaderError(id_, group_->core().leader()));
    return;
  }
  auto waiting = std::make_unique<Waiting>(std::move(done));
  Waiting* const raw = waiting.get();
  std::unique_ptr<raft::Proposal> proposal = std::move(waiting);
  const raft::ProposeResult result =
      group_->Propose(Bytes(kv::EncodeControl(command)), proposal, raft::EntryKind::kControl);
  if (result.first) {
    last_proposed_ = *result.first;
    return;
  }
  raw->Take()(Error(Reason::kShardBusy,
                    fmt::format("group {} changes its members or its leader, or has much to "
                                "replicate: try again in a moment",
                                id_.value())));
}

}  // namespace flotilla
