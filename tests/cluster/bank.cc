// bank ENDPOINTS KEYSPACE: moves money between accounts in many threads until its input ends.
//
// Every transfer is a transaction of the C++ client; others read all accounts at once, whose sum
// must not change. Prints a line of counts now and then; exits with 1 and says why when money was
// made or lost.
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "client/client.h"

namespace flotilla::client {
namespace {

constexpr int kAccounts = 60;
constexpr std::int64_t kEach = 1000;
constexpr int kThreads = 6;

class Bank {
 public:
  explicit Bank(Client* client) : client_(client) {}

  Status Open() {
    return client_
        ->Transact({},
                   [](Transaction& txn) -> Status {
                     for (int i = 0; i < kAccounts; ++i) {
                       RETURN_IF_ERROR(txn.Put(Account(i), fmt::format("{}", kEach)));
                     }
                     return absl::OkStatus();
                   })
        .status();
  }

  void Transfer(Random random) {
    while (!stop) {
      const auto from = static_cast<int>(random.Below(kAccounts));
      const auto to = static_cast<int>((from + 1 + random.Below(kAccounts - 1)) % kAccounts);
      const auto amount = static_cast<std::int64_t>(random.Between(1, 50));
      // Snapshot isolation is enough for this one: both are written.
      const auto isolation =
          random.Chance(0.5) ? Isolation::kSerializable : Isolation::kRepeatableRead;
      const auto locking = random.Chance(0.3) ? Locking::kPessimistic : Locking::kOptimistic;
      TxnCallOptions reads;
      if (random.Chance(0.3)) reads.lock.emplace();
      const auto end = client_->Transact(
          {.transaction = {.isolation = isolation, .locking = locking}},
          [&](Transaction& txn) -> Status {
            ASSIGN_OR_RETURN(const auto both, txn.BatchGet({Account(from), Account(to)}, reads));
            const std::int64_t left = std::stoll(both[0].value) - amount;
            if (left < 0) return absl::FailedPreconditionError("too poor");
            RETURN_IF_ERROR(txn.Put(Account(from), fmt::format("{}", left)));
            return txn.Put(Account(to), fmt::format("{}", std::stoll(both[1].value) + amount));
          });
      if (end.ok()) {
        ++committed;
      } else if (ReasonOf(end.status()) == Reason::kOutcomeUnknown) {
        ++unknown;
      } else if (MessageOf(end.status()) != "too poor") {
        ++failed;
        Note(end.status());
      }
    }
  }

  // By a scan, or account by account, as of one moment; sometimes again as of the same.
  void Check(Random random) {
    while (!stop) {
      TransactOptions options;
      options.transaction.read_only = random.Chance(0.7);
      std::int64_t total = 0;
      int seen = 0;
      const bool scans = random.Chance(0.5);
      const auto end = client_->Transact(options, [&](Transaction& txn) -> Status {
        total = 0;
        seen = 0;
        if (scans) {
          ASSIGN_OR_RETURN(const auto rows, txn.Scan({.prefix = "account/", .page_size = 7}));
          for (const Row& row : rows) total += std::stoll(row.value);
          seen = static_cast<int>(rows.size());
          return absl::OkStatus();
        }
        std::vector<std::string> keys;
        for (int i = 0; i < kAccounts; ++i) keys.push_back(Account(i));
        ASSIGN_OR_RETURN(const auto all, txn.BatchGet(std::move(keys)));
        for (const GetResult& one : all) {
          total += one.found ? std::stoll(one.value) : 0;
          seen += one.found ? 1 : 0;
        }
        return absl::OkStatus();
      });
      if (!end.ok()) {
        if (options.transaction.read_only) Note(end.status());
        continue;
      }
      ++checked;
      if (total == kAccounts * kEach && seen == kAccounts) continue;
      Wrong(fmt::format("{} accounts have {} together at {}, not {} ({}{})", seen, total,
                        end->value(), kAccounts * kEach, scans ? "scan" : "get",
                        options.transaction.read_only ? ", read-only" : ""));
    }
  }

  void Wrong(const std::string& what) {
    std::lock_guard lock(mutex_);
    if (wrong_.empty()) wrong_ = what;
    stop = true;
  }
  std::string wrong() {
    std::lock_guard lock(mutex_);
    return wrong_;
  }

  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> committed{0};
  std::atomic<std::uint64_t> unknown{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> checked{0};

 private:
  static std::string Account(int number) { return fmt::format("account/{:03}", number); }
  void Note(const Status& status) {
    std::lock_guard lock(mutex_);
    fmt::print(stderr, "{}: {}\n", InfoOf(ReasonOf(status)).name, MessageOf(status));
  }

  Client* const client_;
  std::mutex mutex_;
  std::string wrong_;
};

int Run(const std::string& endpoints, const std::string& keyspace) {
  ClientOptions options;
  std::istringstream list(endpoints);
  for (std::string one; std::getline(list, one, ',');) options.endpoints.push_back(one);
  options.keyspace = keyspace;
  options.timeout = std::chrono::seconds(30);
  auto client = Client::Create(options);
  if (!client.ok()) return 2;
  Bank bank(client->get());
  if (const Status open = bank.Open(); !open.ok()) {
    fmt::print("not opened: {}\n", MessageOf(open));
    return 2;
  }
  std::thread input([&bank] {
    for (std::string line; std::getline(std::cin, line);) {
      fmt::print("committed {} unknown {} failed {} checked {}\n", bank.committed.load(),
                 bank.unknown.load(), bank.failed.load(), bank.checked.load());
      std::fflush(stdout);
    }
    bank.stop = true;
  });
  std::vector<std::thread> threads;
  Random random(SeedFromSystem());
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&bank, mine = random.Fork()] { bank.Transfer(mine); });
  }
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&bank, mine = random.Fork()] { bank.Check(mine); });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string wrong = bank.wrong();
  if (!wrong.empty()) {
    fmt::print("wrong: {}\n", wrong);
    std::fflush(stdout);
  }
  input.join();
  return wrong.empty() ? 0 : 1;
}

}  // namespace
}  // namespace flotilla::client

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  return flotilla::client::Run(argv[1], argv[2]);
}
