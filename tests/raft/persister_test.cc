#include "raft/persister.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/raft/idle_log.h"

namespace flotilla::raft {
namespace {

// A log that says what it is given, and has room only when the test says so.
class TinyLog final : public IdleLog {
 public:
  Status Append(LogWrite write, UniqueFunction<void(Status)> done) override {
    if (write.entries.size() > room) return Error(Reason::kDiskFull, "no room");
    std::string text = write.reset_to ? "reset to " + std::to_string(write.reset_to->first.value())
                                      : std::string("hard state");
    if (!write.entries.empty()) {
      text = "entries from " + std::to_string(write.entries.front().index.value());
    }
    writes.push_back(std::move(text));
    done(absl::OkStatus());
    return absl::OkStatus();
  }

  std::size_t room = 100;  // entries of one write
  std::vector<std::string> writes;
};

class PersisterTest : public testing::Test {
 protected:
  void Write(std::uint64_t first, std::size_t count) {
    PersistBatch batch;
    batch.token.sequence = ++sequence_;
    for (std::size_t i = 0; i < count; ++i) {
      batch.entries.push_back({.term = Term(1), .index = Index(first + i), .payload = Bytes()});
    }
    persister_.Write(std::move(batch), {});
    Complete();
  }
  void Complete() {
    for (const std::uint64_t number : std::exchange(completed_, {})) {
      persister_.OnCompletion(number, absl::OkStatus());
    }
  }
  void Retry() {
    persister_.RetryIfFull();
    Complete();
  }

  TinyLog log_;
  std::vector<std::uint64_t> persisted_;
  std::vector<std::uint64_t> completed_;
  std::uint64_t sequence_ = 0;
  Persister persister_{
      GroupId(2), &log_,
      Persister::Callbacks{
          .on_completion = [this](std::uint64_t number,
                                  const Status&) { completed_.push_back(number); },
          .on_persisted =
              [this](const PersistToken& token) { persisted_.push_back(token.sequence); },
          .on_release = [](const std::vector<OutgoingMessage>&) {},
      }};
};

TEST_F(PersisterTest, NothingOvertakesAWriteThatFoundNoRoom) {
  log_.room = 1;
  Write(1, 3);
  Write(4, 1);  // would fit
  EXPECT_TRUE(log_.writes.empty());
  EXPECT_TRUE(persister_.disk_full());
  Retry();
  EXPECT_TRUE(log_.writes.empty()) << "still no room for the first";
  log_.room = 3;
  Retry();
  EXPECT_EQ(log_.writes, (std::vector<std::string>{"entries from 1", "entries from 4"}));
  EXPECT_EQ(persisted_, (std::vector<std::uint64_t>{1, 2}));
  EXPECT_FALSE(persister_.disk_full());
}

TEST_F(PersisterTest, AResetWaitsForTheWritesBeforeIt) {
  log_.room = 1;
  Write(1, 3);
  bool done = false;
  persister_.Reset(Index(9), Term(2), [&] { done = true; });
  EXPECT_TRUE(log_.writes.empty());
  log_.room = 3;
  Retry();
  EXPECT_EQ(log_.writes, (std::vector<std::string>{"entries from 1", "reset to 9"}));
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace flotilla::raft
