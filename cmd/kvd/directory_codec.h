// Between flotilla.v1's directory and the directory's plain structs.
//
// No gRPC here: the simulator's clients follow the directory this way, too.
#pragma once

#include <map>

#include "base/status.h"
#include "flotilla/v1/cluster.pb.h"
#include "flotilla/v1/directory.pb.h"
#include "shard/directory/calls.h"
#include "shard/directory/image.h"
#include "shard/gossip/types.h"

namespace flotilla {

void Encode(const KeyspaceDescriptor& keyspace, v1::Keyspace& out);
void Encode(const ShardDescriptor& shard, v1::Shard& out);
void Encode(const NodeRecord& node, v1::NodeDescriptor& out);
void Encode(const JobRecord& job, v1::Job& out);
void Encode(const gossip::Member& member, v1::NodeReport& out);
void Encode(const ShardSurvey& survey, v1::ShardLoad& out);

// With how many shards it has.
void EncodeWithCount(const KeyspaceDescriptor& keyspace, const DirectoryImage& image,
                     v1::Keyspace& out);

// BAD_REQUEST. `image`: for what the request leaves to `default`.
StatusOr<CreateKeyspaceCall> Decode(const v1::CreateKeyspaceRequest& request,
                                    const DirectoryImage& image);
StatusOr<AlterKeyspaceCall> Decode(const v1::AlterKeyspaceRequest& request);
// SHARD_NOT_FOUND, BAD_REQUEST.
StatusOr<SplitCall> Decode(const v1::SplitShardRequest& request, const DirectoryImage& image);
StatusOr<MoveCall> Decode(const v1::MoveReplicaRequest& request);

// What a watcher that has `before` lacks of `after`. Null: everything.
void EncodeChange(const DirectoryImage* before, const DirectoryImage& after,
                  v1::WatchDirectoryResponse& out);
// True when that is anything.
bool HasRows(const v1::WatchDirectoryResponse& change);

// Ended, one way or another.
bool HasEnded(const JobRecord& job);

}  // namespace flotilla
