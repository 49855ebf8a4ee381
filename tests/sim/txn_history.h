// TxnHistory: what transactions were told, and whether all of it can be true.
//
// Every value names its transaction and every read its version, so that the order of the versions
// is the one that the store itself claims. Held against it are:
// - a version has one value, and all final values of a transaction have its commit timestamp;
// - nothing is read of a transaction that was refused, nor a value that was overwritten within one;
// - reads as of a timestamp saw the newest versions by then: by the start, or, of one that locks,
// by
//   some time between its start and its commit;
// - what was read under a lock was still the newest when the transaction was committed;
// - serializable: what was read was still the newest when the transaction was committed;
//   repeatable read: what was written was not written by others since its start;
// - a transaction that began after another was acknowledged has larger timestamps.
// With these the committed serializable transactions are equal to one after the other in the order
// of their timestamps, which is that of real time as well.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kv/txn/types.h"

namespace flotilla::sim {

struct TxnRead {
  std::string key;
  Timestamp version;    // zero: there was none, or it was deleted
  bool locked = false;  // the newest there was, and so until the commit
};

// One transaction that was begun.
struct TxnRun {
  std::uint64_t number = 0;
  kv::Isolation isolation = kv::Isolation::kSerializable;
  bool read_only = false;
  bool locks = false;  // some of what it read or wrote: its reads may be of a later time than start
  Timestamp start;
  Timestamp after;   // the largest that was acknowledged before it began
  Timestamp commit;  // zero: not, as far as it knows
  bool refused = false;
  std::vector<TxnRead> reads;                 // but for what it wrote itself
  std::map<std::string, std::string> writes;  // the last value of each key, or DeletedBy()
};

class TxnHistory {
 public:
  // The value that transaction `number` writes, last or to be overwritten by itself.
  static std::string ValueOf(std::uint64_t number, bool final, std::int64_t balance);
  static std::int64_t BalanceOf(const std::string& value);
  // What its versions have for a key that it deletes.
  static std::string DeletedBy(std::uint64_t number);

  void NoteVersion(const std::string& key, Timestamp version, const std::string& value);
  void Note(TxnRun run);

  // The largest timestamp that anybody was told of a commit.
  Timestamp acknowledged() const { return acknowledged_; }
  std::uint64_t committed() const { return committed_; }
  // Empty: all is well.
  std::string Check();

 private:
  std::string CheckValues();
  // What is not known to have been committed, and was seen, was.
  void NoteSeen();
  std::string CheckRun(const TxnRun& run) const;
  // Of one that locks: as of when it read what it had not locked.
  Timestamp ReadsAt(const TxnRun& run) const;
  // The version that a read as of that time saw. Nothing: nobody can tell, since a transaction that
  // deletes the key may have been committed or not. In `failure`: what it should have seen.
  std::optional<Timestamp> VersionSeen(const TxnRead& read, Timestamp as_of,
                                       std::string& failure) const;
  // The first version of the key after that one; zero: none is known.
  Timestamp Next(const std::string& key, Timestamp version) const;

  std::map<std::string, std::map<Timestamp, std::string>> versions_;
  std::string failure_;
  std::vector<TxnRun> runs_;
  std::map<std::uint64_t, std::size_t> by_number_;
  std::set<std::string> perhaps_deleted_;
  Timestamp acknowledged_;
  std::uint64_t committed_ = 0;
};

}  // namespace flotilla::sim
