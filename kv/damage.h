// Damage: which file of a database it lies in, and where.
//
// RocksDB does not always say. This looks for it, on the way to an error message only. Internal to
// kv/.
#pragma once

#include <string>

#include "base/status.h"

namespace rocksdb {
class Env;
}

namespace flotilla::kv {

// A DATA_DAMAGED that names no file.
bool LacksPlace(const Status& status);

// "FILE at offset N" or the like, of the first table or blob file of the database in `directory`
// that does not verify; otherwise the directory. Reads everything: for once.
std::string FindDamage(rocksdb::Env& env, const std::string& directory);

// Before a database is opened: whether its MANIFEST has decayed in the middle, which RocksDB may
// take for the end of what had been written, deleting every file that a later record names; and
// whether CURRENT is missing where there is data. What a power cut has torn at the end is cut off.
// OK for a database that does not exist yet.
Status CheckManifest(rocksdb::Env& env, const std::string& directory);

}  // namespace flotilla::kv
