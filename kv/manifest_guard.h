// GuardManifest: a file system on which no table goes that the manifest may name.
//
// When a write or sync of a manifest fails, nobody knows what of it a later start will read: it may
// name the newest tables. RocksDB 7.8 deletes them all the same when they were to be ingested, and
// then finds its database damaged. Here tables stay from such a failure until a new manifest is in
// place, or the database is opened again, which removes what nothing names.
#pragma once

#include <rocksdb/file_system.h>

#include <memory>

namespace flotilla::kv {

// Of one database, with a manifest of its own.
std::shared_ptr<rocksdb::FileSystem> GuardManifest(std::shared_ptr<rocksdb::FileSystem> files);

}  // namespace flotilla::kv
