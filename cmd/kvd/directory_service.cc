#include "cmd/kvd/directory_service.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/coding.h"
#include "cmd/kvd/directory_codec.h"
#include "cmd/kvd/directory_stream.h"
#include "cmd/kvd/explain.h"
#include "cmd/kvd/page_token.h"
#include "cmd/kvd/rpc.h"
#include "kv/key_codec.h"
#include "kv/limits.h"
#include "kv/slots.h"

namespace flotilla {
namespace {

constexpr std::uint8_t kShardsListing = 1;
constexpr std::uint8_t kJobsListing = 2;
constexpr std::uint32_t kTimestampsMax = 1 << 18;
// Of the time that a listing has, so much is for asking leaders.
constexpr Duration kSurveyTime = std::chrono::seconds(1);

using Status = flotilla::Status;

Status NoSuchKeyspace(const std::string& name) {
  return Error(Reason::kKeyspaceNotFound,
               fmt::format("there is no keyspace {}: create it, or name another", name));
}

StatusOr<const KeyspaceDescriptor*> FindKeyspace(const DirectoryImage& image,
                                                 const std::string& name) {
  const KeyspaceDescriptor* found =
      name.empty() ? image.Find(kv::kDefaultKeyspace) : image.FindKeyspace(name);
  if (found == nullptr) return NoSuchKeyspace(name.empty() ? "default" : name);
  return found;
}

// The shards that a listing is about, in the order of their keys, and where the next page begins.
struct ShardPage {
  std::vector<const ShardDescriptor*> shards;
  std::string resume;
};

StatusOr<ShardPage> PageOf(const DirectoryImage& image, const v1::ListShardsRequest& request) {
  ASSIGN_OR_RETURN(std::string start, DecodePageToken(kShardsListing, request.page_token()));
  ShardPage page;
  if (request.group_id() != 0) {
    const ShardDescriptor* shard = image.Find(GroupId(request.group_id()));
    if (shard == nullptr) {
      return Error(Reason::kShardNotFound,
                   fmt::format("there is no shard {}: list the shards for those that there are",
                               request.group_id()));
    }
    page.shards.push_back(shard);
    return page;
  }
  std::string end(kv::kKeysEnd);
  if (!request.keyspace().empty()) {
    ASSIGN_OR_RETURN(const KeyspaceDescriptor* keyspace, FindKeyspace(image, request.keyspace()));
    start = std::max(start, kv::KeyspaceStart(keyspace->id));
    end = kv::KeyspaceEnd(keyspace->id);
  }
  for (const ShardDescriptor* shard : image.Overlapping(start, end)) {
    if (request.node_id() != 0 && !shard->Has(NodeId(request.node_id()))) continue;
    if (page.shards.size() == PageSize(request.page_size())) {
      page.resume = shard->start;
      break;
    }
    page.shards.push_back(shard);
  }
  return page;
}

void EncodeNamed(const ShardDescriptor& shard, const DirectoryImage& image, v1::Shard& out) {
  Encode(shard, out);
  if (const KeyspaceDescriptor* keyspace = image.Find(shard.keyspace)) {
    out.set_keyspace(keyspace->name);
  }
}

Status Locate(const DirectoryImage& image, const v1::LocateKeyRequest& request,
              v1::LocateKeyResponse& response) {
  ASSIGN_OR_RETURN(const KeyspaceDescriptor* keyspace, FindKeyspace(image, request.keyspace()));
  if (request.key().empty()) return Error(Reason::kBadRequest, "the key is empty: name one");
  if (request.key().size() > kv::kKeyBytesMax) {
    return Error(Reason::kKeyTooLarge, fmt::format("the key has {} bytes; at most {} are allowed",
                                                   request.key().size(), kv::kKeyBytesMax));
  }
  const ShardDescriptor* shard = image.Locate(kv::EncodeKey(keyspace->id, request.key()));
  if (shard == nullptr) {
    return Error(
        Reason::kShardNotFound,
        fmt::format("no shard holds the key: keyspace {} is on its way out", keyspace->name));
  }
  EncodeWithCount(*keyspace, image, *response.mutable_keyspace());
  EncodeNamed(*shard, image, *response.mutable_shard());
  if (keyspace->partitioning == Partitioning::kHash) {
    response.set_slot(kv::SlotOf(request.key()).value());
  }
  for (const auto& [id, node] : image.nodes()) {
    if (shard->Has(id)) Encode(node, *response.add_nodes());
  }
  for (const std::string& reason : WhyThere(image, *keyspace, *shard, request.key())) {
    response.add_reasons(reason);
  }
  return absl::OkStatus();
}

Status List(const DirectoryImage& image, const v1::ListJobsRequest& request,
            v1::ListJobsResponse& response) {
  ASSIGN_OR_RETURN(const std::string resume, DecodePageToken(kJobsListing, request.page_token()));
  auto job = image.jobs().rbegin();
  if (resume.size() == 8) {
    const JobId below(LoadFixed64(resume.data()));
    while (job != image.jobs().rend() && !(job->first < below)) ++job;
  }
  const auto limit = static_cast<int>(PageSize(request.page_size()));
  for (; job != image.jobs().rend(); ++job) {
    if (request.running() && HasEnded(job->second)) continue;
    if (response.jobs_size() == limit) {
      std::string last;
      AppendFixed64(last, response.jobs(limit - 1).job_id());
      response.set_next_page_token(EncodePageToken(kJobsListing, last));
      break;
    }
    Encode(job->second, *response.add_jobs());
  }
  return absl::OkStatus();
}

}  // namespace

DirectoryService::DirectoryService(const Options& options, Node* node, Executor* executor,
                                   const Clock* clock)
    : options_(options),
      node_(node),
      clock_(clock),
      strand_(executor->NewStrand("directory streams")) {}

MonoTime DirectoryService::DeadlineOf(const grpc::CallbackServerContext& context) const {
  return flotilla::DeadlineOf(context, *clock_, options_.default_timeout);
}

grpc::ServerUnaryReactor* DirectoryService::Read(
    grpc::CallbackServerContext* context, std::function<Status(const DirectoryImage&)> answer) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  node_->RefreshDirectory(DeadlineOf(*context),
                          [this, reactor, answer = std::move(answer)](Status status) {
                            if (status.ok()) status = answer(*node_->DirectoryView());
                            reactor->Finish(ToGrpc(status));
                          });
  return reactor;
}

grpc::ServerUnaryReactor* DirectoryService::Change(
    grpc::CallbackServerContext* context,
    std::function<StatusOr<DirectoryCall>(const DirectoryImage&)> plan,
    std::function<void(const DirectoryAnswer&)> answer) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const MonoTime deadline = DeadlineOf(*context);
  node_->RefreshDirectory(deadline, [this, reactor, deadline, plan = std::move(plan),
                                     answer = std::move(answer)](Status status) {
    if (!status.ok()) return reactor->Finish(ToGrpc(status));
    StatusOr<DirectoryCall> call = plan(*node_->DirectoryView());
    if (!call.ok()) return reactor->Finish(ToGrpc(call.status()));
    node_->ChangeDirectory(*std::move(call), deadline,
                           [reactor, answer](const DirectoryAnswer& answered) {
                             if (answered.status.ok()) answer(answered);
                             reactor->Finish(ToGrpc(answered.status));
                           });
  });
  return reactor;
}

void DirectoryService::Survey(MonoTime deadline, UniqueFunction<void(Loads)> done) {
  node_->ChangeDirectory(SurveyCall{}, std::min(deadline, clock_->Now() + kSurveyTime),
                         [this, done = std::move(done)](const DirectoryAnswer& answer) mutable {
                           if (answer.status.ok()) {
                             Loads loads;
                             for (const ShardSurvey& shard : answer.shards)
                               loads.emplace(shard.group, shard);
                             done(std::move(loads));
                             return;
                           }
                           node_->Info([done = std::move(done)](const NodeInfo& node) mutable {
                             Loads loads;
                             for (const GroupInfo& group : node.groups) {
                               loads.emplace(group.group,
                                             ShardSurvey{.group = group.group,
                                                         .leader = group.core.leader,
                                                         .bytes = group.sizes.disk_bytes,
                                                         .keys = group.sizes.keys_estimate});
                             }
                             done(std::move(loads));
                           });
                         });
}

// ---- keyspaces
// -----------------------------------------------------------------------------------

grpc::ServerUnaryReactor* DirectoryService::ListKeyspaces(grpc::CallbackServerContext* context,
                                                          const v1::ListKeyspacesRequest* request,
                                                          v1::ListKeyspacesResponse* response) {
  return Read(context, [request, response](const DirectoryImage& image) -> Status {
    if (!request->name().empty()) {
      ASSIGN_OR_RETURN(const KeyspaceDescriptor* one, FindKeyspace(image, request->name()));
      EncodeWithCount(*one, image, *response->add_keyspaces());
      return absl::OkStatus();
    }
    for (const auto& [id, keyspace] : image.keyspaces()) {
      EncodeWithCount(keyspace, image, *response->add_keyspaces());
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* DirectoryService::CreateKeyspace(grpc::CallbackServerContext* context,
                                                           const v1::CreateKeyspaceRequest* request,
                                                           v1::CreateKeyspaceResponse* response) {
  return Change(
      context,
      [request](const DirectoryImage& image) -> StatusOr<DirectoryCall> {
        ASSIGN_OR_RETURN(CreateKeyspaceCall call, Decode(*request, image));
        return call;
      },
      [this, response](const DirectoryAnswer& answer) {
        const View image = node_->DirectoryView();
        const KeyspaceDescriptor* made = image->Find(answer.keyspace);
        if (made != nullptr) EncodeWithCount(*made, *image, *response->mutable_keyspace());
      });
}

grpc::ServerUnaryReactor* DirectoryService::AlterKeyspace(grpc::CallbackServerContext* context,
                                                          const v1::AlterKeyspaceRequest* request,
                                                          v1::AlterKeyspaceResponse* response) {
  return Change(
      context,
      [request](const DirectoryImage&) -> StatusOr<DirectoryCall> {
        ASSIGN_OR_RETURN(AlterKeyspaceCall call, Decode(*request));
        return call;
      },
      [this, request, response](const DirectoryAnswer&) {
        const View image = node_->DirectoryView();
        const KeyspaceDescriptor* now = image->FindKeyspace(request->name());
        if (now != nullptr) EncodeWithCount(*now, *image, *response->mutable_keyspace());
      });
}

grpc::ServerUnaryReactor* DirectoryService::DropKeyspace(grpc::CallbackServerContext* context,
                                                         const v1::DropKeyspaceRequest* request,
                                                         v1::DropKeyspaceResponse* response) {
  return Change(
      context,
      [request](const DirectoryImage&) -> StatusOr<DirectoryCall> {
        return DropKeyspaceCall{.name = request->name()};
      },
      [response](const DirectoryAnswer& answer) { response->set_job_id(answer.job.value()); });
}

// ---- shards
// --------------------------------------------------------------------------------------

grpc::ServerUnaryReactor* DirectoryService::ListShards(grpc::CallbackServerContext* context,
                                                       const v1::ListShardsRequest* request,
                                                       v1::ListShardsResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const MonoTime deadline = DeadlineOf(*context);
  node_->RefreshDirectory(deadline, [=, this](const Status& refreshed) {
    if (!refreshed.ok()) return reactor->Finish(ToGrpc(refreshed));
    Survey(deadline, [=, this](const Loads& loads) {
      const View image = node_->DirectoryView();
      const StatusOr<ShardPage> page = PageOf(*image, *request);
      if (!page.ok()) return reactor->Finish(ToGrpc(page.status()));
      for (const ShardDescriptor* shard : page->shards) {
        v1::Shard& out = *response->add_shards();
        EncodeNamed(*shard, *image, out);
        const auto load = loads.find(shard->group);
        if (load != loads.end()) Encode(load->second, *out.mutable_load());
      }
      if (!page->resume.empty()) {
        response->set_next_page_token(EncodePageToken(kShardsListing, page->resume));
      }
      reactor->Finish(grpc::Status::OK);
    });
  });
  return reactor;
}

grpc::ServerUnaryReactor* DirectoryService::LocateKey(grpc::CallbackServerContext* context,
                                                      const v1::LocateKeyRequest* request,
                                                      v1::LocateKeyResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const MonoTime deadline = DeadlineOf(*context);
  node_->RefreshDirectory(deadline, [=, this](const Status& refreshed) {
    if (!refreshed.ok()) return reactor->Finish(ToGrpc(refreshed));
    Survey(deadline, [=, this](const Loads& loads) {
      const Status status = Locate(*node_->DirectoryView(), *request, *response);
      const auto load = loads.find(GroupId(response->shard().group_id()));
      if (status.ok() && load != loads.end()) {
        Encode(load->second, *response->mutable_shard()->mutable_load());
      }
      reactor->Finish(ToGrpc(status));
    });
  });
  return reactor;
}

grpc::ServerUnaryReactor* DirectoryService::SplitShard(grpc::CallbackServerContext* context,
                                                       const v1::SplitShardRequest* request,
                                                       v1::JobResponse* response) {
  return Change(
      context,
      [request](const DirectoryImage& image) -> StatusOr<DirectoryCall> {
        ASSIGN_OR_RETURN(SplitCall call, Decode(*request, image));
        return call;
      },
      [response](const DirectoryAnswer& answer) { response->set_job_id(answer.job.value()); });
}

grpc::ServerUnaryReactor* DirectoryService::MergeShards(grpc::CallbackServerContext* context,
                                                        const v1::MergeShardsRequest* request,
                                                        v1::JobResponse* response) {
  return Change(
      context,
      [request](const DirectoryImage&) -> StatusOr<DirectoryCall> {
        return MergeCall{.left = GroupId(request->group_id())};
      },
      [response](const DirectoryAnswer& answer) { response->set_job_id(answer.job.value()); });
}

grpc::ServerUnaryReactor* DirectoryService::MoveReplica(grpc::CallbackServerContext* context,
                                                        const v1::MoveReplicaRequest* request,
                                                        v1::JobResponse* response) {
  return Change(
      context,
      [request](const DirectoryImage&) -> StatusOr<DirectoryCall> {
        ASSIGN_OR_RETURN(const MoveCall call, Decode(*request));
        return call;
      },
      [response](const DirectoryAnswer& answer) { response->set_job_id(answer.job.value()); });
}

// ---- jobs
// ----------------------------------------------------------------------------------------

grpc::ServerUnaryReactor* DirectoryService::ListJobs(grpc::CallbackServerContext* context,
                                                     const v1::ListJobsRequest* request,
                                                     v1::ListJobsResponse* response) {
  return Read(context, [request, response](const DirectoryImage& image) {
    return List(image, *request, *response);
  });
}

grpc::ServerUnaryReactor* DirectoryService::CancelJob(grpc::CallbackServerContext* context,
                                                      const v1::CancelJobRequest* request,
                                                      v1::CancelJobResponse*) {
  return Change(
      context,
      [request](const DirectoryImage&) -> StatusOr<DirectoryCall> {
        return CancelJobCall{.job = JobId(request->job_id())};
      },
      [](const DirectoryAnswer&) {});
}

grpc::ServerWriteReactor<v1::WatchJobsResponse>* DirectoryService::WatchJobs(
    grpc::CallbackServerContext* context, const v1::WatchJobsRequest* request) {
  const JobId wanted(request->job_id());
  // What the reader has.
  auto told = std::make_shared<std::map<JobId, JobRecord>>();
  auto begun = std::make_shared<bool>(false);
  return DirectoryStream<v1::WatchJobsResponse>::Start(
      node_, strand_.get(), DeadlineOf(*context),
      [wanted, told, begun](const View& image, v1::WatchJobsResponse& out) -> StatusOr<StreamStep> {
        if (wanted && image->Find(wanted) == nullptr) {
          if (!told->empty()) return StreamStep::kEnd;  // it ended, and was forgotten
          return Error(Reason::kJobNotFound,
                       fmt::format("there is no job {}: list the jobs for those that there are",
                                   wanted.value()));
        }
        const bool first = !std::exchange(*begun, true);
        for (const auto& [id, job] : image->jobs()) {
          if (wanted && id != wanted) continue;
          const auto known = told->find(id);
          if (known != told->end() && known->second == job) continue;
          (*told)[id] = job;
          // What had ended before is no news, unless it was asked for.
          if (first && !wanted && HasEnded(job)) continue;
          Encode(job, *out.add_jobs());
        }
        std::erase_if(*told, [&](const auto& one) { return image->Find(one.first) == nullptr; });
        if (out.jobs_size() > 0) return StreamStep::kSend;
        const bool over = wanted && HasEnded(*image->Find(wanted));
        return over ? StreamStep::kEnd : StreamStep::kWait;
      });
}

grpc::ServerWriteReactor<v1::WatchDirectoryResponse>* DirectoryService::WatchDirectory(
    grpc::CallbackServerContext* context, const v1::WatchDirectoryRequest*) {
  auto told = std::make_shared<View>();
  return DirectoryStream<v1::WatchDirectoryResponse>::Start(
      node_, strand_.get(), DeadlineOf(*context),
      [told](const View& image, v1::WatchDirectoryResponse& out) -> StatusOr<StreamStep> {
        EncodeChange(told->get(), *image, out);
        *told = image;
        return HasRows(out) ? StreamStep::kSend : StreamStep::kWait;
      });
}

// ---- time
// ----------------------------------------------------------------------------------------

grpc::ServerUnaryReactor* DirectoryService::GetTimestamp(grpc::CallbackServerContext* context,
                                                         const v1::GetTimestampRequest* request,
                                                         v1::GetTimestampResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const std::uint32_t count = std::max(request->count(), 1u);
  if (count > kTimestampsMax) {
    reactor->Finish(
        ToGrpc(Error(Reason::kBadRequest,
                     fmt::format("{} timestamps were asked for; at most {} are given at once",
                                 count, kTimestampsMax))));
    return reactor;
  }
  node_->TakeTimestamps(count, DeadlineOf(*context),
                        [reactor, response, count](const StatusOr<Timestamp>& first) {
                          if (first.ok()) {
                            response->set_timestamp(first->value());
                            response->set_count(count);
                          }
                          reactor->Finish(ToGrpc(first.status()));
                        });
  return reactor;
}

}  // namespace flotilla
