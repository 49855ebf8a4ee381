#include "shard/directory/calls.h"

#include <spdlog/fmt/fmt.h>

#include "shard/directory/job_edits.h"
#include "shard/directory/new_shards.h"

namespace flotilla {
namespace {

constexpr std::string_view kByHand = "by hand";

class Editing {
 public:
  Editing(const DirectoryImage& image, Timestamp now, DirectoryAnswer& answer)
      : image_(image), now_(now), answer_(answer) {}

  StatusOr<DirectoryEdit> operator()(const CreateKeyspaceCall& call) {
    StatusOr<DirectoryEdit> edit = CreateKeyspace(image_, call.spec, PlaceNewShards(image_));
    if (!edit.ok()) return edit;
    for (const DirectoryRow& row : edit->put) {
      if (const auto* made = std::get_if<KeyspaceDescriptor>(&row)) answer_.keyspace = made->id;
    }
    return edit;
  }
  StatusOr<DirectoryEdit> operator()(const AlterKeyspaceCall& call) {
    return AlterKeyspace(image_, call.name, [&](KeyspaceDescriptor& keyspace) {
      if (call.replicas) keyspace.replicas = *call.replicas;
      if (call.apart) keyspace.apart = *call.apart;
      if (call.require) keyspace.require = *call.require;
      if (call.retention) keyspace.retention = *call.retention;
    });
  }
  StatusOr<DirectoryEdit> operator()(const DropKeyspaceCall& call) {
    return WithJob(BeginDrop(image_, call, now_));
  }
  StatusOr<DirectoryEdit> operator()(const SplitCall& call) {
    return WithJob(BeginSplit(image_, call, kByHand, now_));
  }
  StatusOr<DirectoryEdit> operator()(const MergeCall& call) {
    return WithJob(BeginMerge(image_, call, kByHand, now_));
  }
  StatusOr<DirectoryEdit> operator()(const MoveCall& call) {
    StatusOr<DirectoryEdit> edit = WithJob(BeginMove(image_, call, kByHand, now_));
    if (!edit.ok()) return edit;
    ShardDescriptor pinned = *image_.Find(call.group);
    if (!pinned.pinned) {
      pinned.pinned = true;
      edit->put.emplace_back(std::move(pinned));
    }
    return edit;
  }
  StatusOr<DirectoryEdit> operator()(const CancelJobCall& call) {
    answer_.job = call.job;
    return CancelJob(image_, call.job, now_);
  }
  StatusOr<DirectoryEdit> operator()(const SetNodeRoleCall& call) {
    return WithJob(BeginRole(image_, call, kByHand, now_));
  }
  StatusOr<DirectoryEdit> operator()(const PlanCall&) { return DirectoryEdit(); }
  StatusOr<DirectoryEdit> operator()(const SurveyCall&) { return DirectoryEdit(); }

 private:
  StatusOr<DirectoryEdit> WithJob(StatusOr<DirectoryEdit> edit) {
    if (!edit.ok()) return edit;
    for (const DirectoryRow& row : edit->put) {
      const auto* job = std::get_if<JobRecord>(&row);
      if (job != nullptr && !Ended(*job)) answer_.job = job->id;
    }
    return edit;
  }

  const DirectoryImage& image_;
  const Timestamp now_;
  DirectoryAnswer& answer_;
};

}  // namespace

StatusOr<DirectoryEdit> EditFor(const DirectoryCall& call, const DirectoryImage& image,
                                Timestamp now, DirectoryAnswer& answer) {
  return std::visit(Editing(image, now, answer), call);
}

}  // namespace flotilla
