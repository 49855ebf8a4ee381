#include "cmd/kvctl/hints.h"

#include <fmt/format.h>

namespace flotilla::kvctl {

std::string HintFor(const Status& status) {
  switch (ReasonOf(status)) {
    case Reason::kUnreachable:
      return "start a node there (`./dev up` starts three), or name others with --endpoints";
    case Reason::kNoQuorum:
      return "start the missing nodes; `kvctl status` shows which";
    case Reason::kNotLeader:
      return "an election is under way: try again, or see `kvctl status`";
    case Reason::kNodeStopping:
    case Reason::kNotReady:
      return "try again in a moment, or name other nodes with --endpoints";
    case Reason::kDeadlineExceeded:
      return "allow more time with --timeout, or see `kvctl status`";
    case Reason::kOverloaded:
      return "try again in a moment, with less at a time";
    case Reason::kDiskFull:
      return "free space on the node's disk, or add a node with more";
    case Reason::kConditionFailed: {
      const ErrorMetadata metadata = MetadataOf(status);
      const auto actual = metadata.find(std::string(kActualVersionMetadata));
      if (actual == metadata.end()) return "read the key again";
      if (actual->second == "0") return "the key does not exist; --if-absent creates it";
      return fmt::format("the key is at version {}: read it again, then --if-version {}",
                         actual->second, actual->second);
    }
    case Reason::kTxnConflict:
    case Reason::kTxnAborted:
      return "begin it anew, and read again";
    case Reason::kDeadlock:
      return "begin it anew, and read again; `kvctl lock deadlocks` shows the last ones";
    case Reason::kLockTimeout:
      return "try again, or begin it anew; `kvctl lock list` shows who has locked what";
    case Reason::kTxnNotFound:
      return "`kvctl txn list` shows those that are open";
    case Reason::kOutcomeUnknown:
    case Reason::kSessionExpired:
      return "read the key to see whether the write happened";
    case Reason::kNodeNotFound:
      return "`kvctl member list` shows the nodes";
    case Reason::kKeyspaceNotFound:
      return "`kvctl keyspace list` shows them, `kvctl keyspace create` makes one";
    case Reason::kKeyspaceExists:
      return "`kvctl keyspace show` tells how it is";
    case Reason::kShardNotFound:
      return "`kvctl shard list` shows the shards; splits and merges change their numbers";
    case Reason::kShardBusy:
      return "`kvctl job list` shows what is under way; try again when it is done";
    case Reason::kJobNotFound:
      return "`kvctl job list --all` shows the jobs";
    case Reason::kWrongShard:
      return "shards are changing: try again in a moment";
    case Reason::kMembershipRefused:
      return "`kvctl status` shows who lags, or whether another change is under way";
    case Reason::kInternal:
      return "the node's log says more";
    default:
      return "";
  }
}

}  // namespace flotilla::kvctl
