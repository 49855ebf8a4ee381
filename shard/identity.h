// Identity: who a data directory belongs to, in the file IDENTITY.
//
// Written before the node speaks as that identity, replaced atomically, checked at every start. A
// node whose disk was lost has no such file and comes back as somebody new: it never votes under
// its old id.
//
// The file is text, for people:
//   flotilla-identity 1
//   uuid <16 hex digits>
//   cluster <16 hex digits>        0 until the node is a member
//   node <decimal>                 0 until the node is a member
//   founding <hex>                 empty unless it founded the cluster
//   crc <8 hex digits>             of everything above
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "base/types.h"
#include "shard/founding.h"

namespace rocksdb {
class FileSystem;
}

namespace flotilla {

struct Identity {
  NodeUuid uuid;
  ClusterId cluster;
  NodeId node;
  std::optional<Founding> founding;

  bool member() const { return static_cast<bool>(node); }
  bool operator==(const Identity&) const = default;
};

std::string EncodeIdentity(const Identity& identity);
StatusOr<Identity> DecodeIdentity(std::string_view text);

// Nothing when the directory has none. DATA_DAMAGED names the file.
StatusOr<std::optional<Identity>> LoadIdentity(rocksdb::FileSystem& files,
                                               const std::string& directory);
// Durable on return.
Status StoreIdentity(rocksdb::FileSystem& files, const std::string& directory,
                     const Identity& identity);

}  // namespace flotilla
