// BlobFiles: where in a database's blob files damage lies.
//
// RocksDB says that a large value's checksum differs, but not in which file. This looks for it, on
// the way to an error message only. Internal to kv/.
#pragma once

#include <string>

namespace rocksdb {
class Env;
}

namespace flotilla::kv {

// "FILE at offset N" of the first record that does not verify; empty when there is none.
std::string FindDamagedBlob(rocksdb::Env& env, const std::string& directory);

}  // namespace flotilla::kv
