// System: one store behind one API, as the load generator drives it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace flotilla::bench {

enum class OpKind : std::uint8_t {
  kPut,
  kGet,
  kStaleGet,
  kScan100,
  kCas,
  kTxn,     // a transaction reads a key, and writes it
  kTxnOne,  // a transaction of two writes, in one shard
  kTxnTwo   // in two
};

// Gets the answer of one operation; lives as long as the load.
class Completion {
 public:
  virtual ~Completion() = default;
  // `version`: of the value read or written, for a conditional put that follows. Any thread.
  virtual void Done(bool ok, std::uint64_t version) = 0;
};

class System {
 public:
  virtual ~System() = default;

  // "flotilla" or "etcd"; "batch" or "unary".
  virtual std::string_view name() const = 0;
  virtual std::string_view api() const = 0;

  // Starts one operation on key number `key`. kCas: a put under the condition that the key's
  // version is `version`; etcd does the same in place of the others' transactions. Never blocks;
  // may complete inside the call when it is refused.
  virtual void Start(OpKind kind, std::uint32_t key, std::uint64_t version,
                     Completion* completion) = 0;
};

// 16 bytes, in the order of the numbers.
std::string KeyOf(std::uint32_t number);
// 256 bytes that do not compress well; one of a few.
const std::string& ValueOf(std::uint32_t number);

inline constexpr std::uint32_t kScanRows = 100;

// Of Flotilla, for transactions of two writes: it has a shard below "m" and one from there on.
inline constexpr char kPairsKeyspace[] = "pairs";

// Flotilla by the C++ client library.
StatusOr<std::unique_ptr<System>> OpenFlotillaBatch(const std::vector<std::string>& endpoints,
                                                    const std::string& keyspace);
// Flotilla by plain unary calls to the leader, over that many connections.
StatusOr<std::unique_ptr<System>> OpenFlotillaUnary(const std::vector<std::string>& endpoints,
                                                    int connections);
// etcd by unary calls, over that many connections to the leader; serializable reads go to all.
StatusOr<std::unique_ptr<System>> OpenEtcd(const std::vector<std::string>& endpoints,
                                           int connections);

}  // namespace flotilla::bench
