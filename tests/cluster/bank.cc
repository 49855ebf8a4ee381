// bank ENDPOINTS KEYSPACE (client_load.h): moves money between accounts.
//
// Every transfer is a transaction of the C++ client; others read all accounts at once, whose sum
// must not change.
#include <fmt/format.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "client/client.h"
#include "tests/cluster/client_load.h"

namespace flotilla::client {
namespace {

constexpr int kAccounts = 60;
constexpr std::int64_t kEach = 1000;
constexpr int kTellers = 6;
constexpr int kAuditors = 2;

class Bank final : public ClientLoad {
 public:
  explicit Bank(Client* client) : client_(client) {}

  int threads() const override { return kTellers + kAuditors; }
  void Work(int thread, Random random) override {
    if (thread < kTellers) {
      Transfer(random);
    } else {
      Check(random);
    }
  }
  std::string Counts() const override {
    return fmt::format("committed {} unknown {} failed {} checked {}", committed_.load(),
                       unknown_.load(), failed_.load(), checked_.load());
  }

  Status Open() override {
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

 private:
  void Transfer(Random random) {
    while (!stopped()) {
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
        ++committed_;
      } else if (ReasonOf(end.status()) == Reason::kOutcomeUnknown) {
        ++unknown_;
      } else if (MessageOf(end.status()) != "too poor") {
        ++failed_;
        Note(end.status());
      }
    }
  }

  // By a scan, or account by account, as of one moment; sometimes again as of the same.
  void Check(Random random) {
    while (!stopped()) {
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
      ++checked_;
      if (total == kAccounts * kEach && seen == kAccounts) continue;
      Wrong(fmt::format("{} accounts have {} together at {}, not {} ({}{})", seen, total,
                        end->value(), kAccounts * kEach, scans ? "scan" : "get",
                        options.transaction.read_only ? ", read-only" : ""));
    }
  }

  static std::string Account(int number) { return fmt::format("account/{:03}", number); }

  Client* const client_;
  std::atomic<std::uint64_t> committed_{0};
  std::atomic<std::uint64_t> unknown_{0};
  std::atomic<std::uint64_t> failed_{0};
  std::atomic<std::uint64_t> checked_{0};
};

}  // namespace
}  // namespace flotilla::client

int main(int argc, char** argv) {
  using namespace flotilla::client;
  return RunLoad(argc, argv, [](Client* client) { return std::make_unique<Bank>(client); });
}
