// KeyspaceNames: the numbers of the keyspaces that requests name.
//
// Most requests name `default`, and those that come together mostly name the same one: neither
// costs a look into the directory. Of one message; not synchronized.
#pragma once

#include <string>
#include <utility>

#include "base/clock.h"
#include "base/status.h"
#include "shard/gateway.h"

namespace flotilla {

class KeyspaceNames {
 public:
  explicit KeyspaceNames(const Gateway* gateway) : gateway_(gateway) {}

  // KEYSPACE_NOT_FOUND, unless this node's copy of the directory has it.
  StatusOr<kv::KeyspaceId> Find(const std::string& name);

 private:
  const Gateway* const gateway_;
  std::string name_;  // the last one
  kv::KeyspaceId id_ = kv::kDefaultKeyspace;
};

// Runs `decode`, and once more with a newer copy of the directory if it found no such keyspace;
// then `done` with its status, here or on any thread.
template <class Decode, class Done>
void DecodeOrRefresh(Gateway& gateway, MonoTime deadline, Decode decode, Done done) {
  Status status = decode();
  if (ReasonOf(status) != Reason::kKeyspaceNotFound) {
    done(std::move(status));
    return;
  }
  gateway.RefreshKeyspaces(
      deadline, [decode = std::move(decode), done = std::move(done)](Status refreshed) mutable {
        done(refreshed.ok() ? decode() : std::move(refreshed));
      });
}

}  // namespace flotilla
