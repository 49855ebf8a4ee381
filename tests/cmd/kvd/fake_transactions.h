// FakeTransactions: keeps a journal of what is called, and reads and commits until the test
// answers.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "shard/transactions.h"

namespace flotilla {

// One thread.
class FakeTransactions final : public Transactions {
 public:
  template <class T>
  using Done = UniqueFunction<void(StatusOr<T>)>;
  using Got = std::vector<kv::GetResult>;

  class One final : public Transaction {
   public:
    One(FakeTransactions* owner, std::uint64_t id) : owner_(owner), id_(id) {}

    kv::TxnId id() const override { return kv::TxnId(id_); }
    Timestamp start() const override { return Timestamp(id_ + 1000); }
    void Get(kv::KeyspaceId keyspace, std::vector<std::string> keys, std::optional<TxnLock> lock,
             MonoTime, Done<Got> done) override {
      std::string all = "get " + std::to_string(keyspace.value());
      for (const std::string& key : keys) all += " " + key;
      all += Named(lock);
      Note(all);
      owner_->gets.push_back(std::move(done));
    }
    void Scan(kv::ScanRequest request, std::optional<TxnLock> lock, MonoTime,
              Done<kv::ScanPage> done) override {
      Note("scan " + request.start + ".." + request.end + Named(lock));
      owner_->scans.push_back(std::move(done));
    }
    void Write(std::vector<TxnMutation> mutations, MonoTime,
               UniqueFunction<void(Status)> done) override {
      for (const TxnMutation& one : mutations) {
        Note((one.deletes ? "delete " : "put ") + one.key +
             (one.ttl_ms == 0 ? "" : " for " + std::to_string(one.ttl_ms)));
      }
      done(std::exchange(owner_->next_write, absl::OkStatus()));
    }
    Status SetSavepoint(const std::string& name) override {
      Note("savepoint " + name);
      return absl::OkStatus();
    }
    Status RollBackTo(const std::string& name) override {
      Note("back to " + name);
      return absl::OkStatus();
    }
    void Commit(MonoTime, Done<Timestamp> done) override {
      Note("commit");
      owner_->commits.push_back(std::move(done));
    }
    void RollBack() override { Note("rollback"); }

   private:
    static std::string Named(const std::optional<TxnLock>& lock) {
      if (!lock) return "";
      std::string name = lock->strength == LockStrength::kShare ? " for share" : " for update";
      if (lock->patience == LockPatience::kNoWait) name += " nowait";
      if (lock->patience == LockPatience::kSkipLocked) name += " skip locked";
      return name;
    }
    void Note(const std::string& what) {
      owner_->journal.push_back(std::to_string(id_) + ": " + what);
    }

    FakeTransactions* const owner_;
    const std::uint64_t id_;
  };

  void Begin(const TxnOptions& options, MonoTime,
             Done<std::shared_ptr<Transaction>> done) override {
    begun.push_back(options);
    begins.push_back(std::move(done));
    if (at_once) AnswerBegin();
  }
  std::vector<TransactionInfo> List() const override { return listed; }
  Status Abort(kv::TxnId txn) override {
    journal.push_back(std::to_string(txn.value()) + ": abort");
    return absl::OkStatus();
  }

  void AnswerBegin(const Status& status = absl::OkStatus()) {
    Done<std::shared_ptr<Transaction>> done = std::move(begins.front());
    begins.pop_front();
    if (status.ok()) {
      done(std::make_shared<One>(this, next++));
    } else {
      done(status);
    }
  }
  template <class T>
  static void Answer(std::deque<Done<T>>& open, StatusOr<T> with) {
    Done<T> done = std::move(open.front());
    open.pop_front();
    done(std::move(with));
  }
  std::vector<std::string> TakeJournal() { return std::exchange(journal, {}); }

  bool at_once = true;  // begins are answered so
  Status next_write;
  std::uint64_t next = 1;
  std::vector<TxnOptions> begun;
  std::vector<TransactionInfo> listed;
  std::vector<std::string> journal;
  std::deque<Done<std::shared_ptr<Transaction>>> begins;
  std::deque<Done<Got>> gets;
  std::deque<Done<kv::ScanPage>> scans;
  std::deque<Done<Timestamp>> commits;
};

}  // namespace flotilla
