// Jobs as rows of the directory: how they begin, go on and end. Pure functions of the image.
//
// A shard takes part in one job at a time. A record says what is wanted, not how far it is: whoever
// carries it out looks at the cluster to see what is left to do.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "shard/directory/calls.h"
#include "shard/directory/edits.h"

namespace flotilla {

// The job that runs and takes in the shard, in whatever part; null: none does.
const JobRecord* JobAbout(const DirectoryImage& image, GroupId group);
bool Ended(const JobRecord& job);

// Each gives the job the next free id; errors as in directory/calls.h. `now`: of the wall clock.
StatusOr<DirectoryEdit> BeginSplit(const DirectoryImage& image, const SplitCall& call,
                                   std::string_view reason, Timestamp now);
StatusOr<DirectoryEdit> BeginMerge(const DirectoryImage& image, const MergeCall& call,
                                   std::string_view reason, Timestamp now);
StatusOr<DirectoryEdit> BeginMove(const DirectoryImage& image, const MoveCall& call,
                                  std::string_view reason, Timestamp now);
StatusOr<DirectoryEdit> BeginDrop(const DirectoryImage& image, const DropKeyspaceCall& call,
                                  Timestamp now);

// The role, with the job that waits until the node is empty; the end of such a job, when it is to
// be active again.
StatusOr<DirectoryEdit> BeginRole(const DirectoryImage& image, const SetNodeRoleCall& call,
                                  std::string_view reason, Timestamp now);
// The running job that empties the node; null: none does.
const JobRecord* DrainOf(const DirectoryImage& image, NodeId node);
// The node is active again: its job was cancelled.
DirectoryEdit UndoRole(const DirectoryImage& image, NodeId node);
// Of the job of a node that was decommissioned: it is removed from the cluster, too.
bool RemovesNode(const DirectoryImage& image, const JobRecord& job);
// Shards with a replica on the node.
std::size_t ShardsOn(const DirectoryImage& image, NodeId node);

StatusOr<DirectoryEdit> CancelJob(const DirectoryImage& image, JobId job, Timestamp now);

// The record as it now is; nothing when the directory's has ended already.
DirectoryEdit UpdateJob(const DirectoryImage& image, JobRecord job, Timestamp now);

}  // namespace flotilla
