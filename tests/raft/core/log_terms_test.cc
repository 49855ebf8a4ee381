#include "raft/core/log_terms.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/raft/core/cluster.h"

namespace flotilla::raft {
namespace {

// start 10 (term 2), then terms 2 2 3 3 3 5, of 10, 20, ... bytes.
LogTerms Sample() {
  LogTerms log(I(10), T(2));
  std::uint32_t bytes = 10;
  for (std::uint64_t term : {2, 2, 3, 3, 3, 5}) {
    log.Append(T(term), bytes);
    bytes += 10;
  }
  return log;
}

TEST(RaftLogTerms, KnowsTheTermsFromItsStartOn) {
  const LogTerms log = Sample();
  EXPECT_EQ(log.last(), I(16));
  EXPECT_EQ(log.last_term(), T(5));
  EXPECT_EQ(log.TermAt(I(9)), std::nullopt);
  EXPECT_EQ(log.TermAt(I(10)), T(2));
  EXPECT_EQ(log.TermAt(I(12)), T(2));
  EXPECT_EQ(log.TermAt(I(13)), T(3));
  EXPECT_EQ(log.TermAt(I(16)), T(5));
  EXPECT_EQ(log.TermAt(I(17)), std::nullopt);
}

TEST(RaftLogTerms, TruncatesWithinAndBetweenRuns) {
  LogTerms log = Sample();
  log.TruncateFrom(I(15));
  EXPECT_EQ(log.last(), I(14));
  EXPECT_EQ(log.last_term(), T(3));
  log.TruncateFrom(I(13));
  EXPECT_EQ(log.last_term(), T(2));
  log.Append(T(7), 1);
  EXPECT_EQ(log.TermAt(I(13)), T(7));
  log.TruncateFrom(I(11));
  EXPECT_EQ(log.last(), I(10));
  EXPECT_EQ(log.last_term(), T(2));
}

TEST(RaftLogTerms, CompactsWithinARun) {
  LogTerms log = Sample();
  log.CompactTo(I(14));
  EXPECT_EQ(log.start(), I(14));
  EXPECT_EQ(log.start_term(), T(3));
  EXPECT_EQ(log.TermAt(I(13)), std::nullopt);
  EXPECT_EQ(log.TermAt(I(15)), T(3));
  EXPECT_EQ(log.TermAt(I(16)), T(5));
  EXPECT_EQ(log.BytesIn({I(1), I(100)}), 50u + 60u);
  log.CompactTo(I(16));
  EXPECT_EQ(log.last(), I(16));
  EXPECT_EQ(log.last_term(), T(5));
  log.Append(T(5), 1);
  EXPECT_EQ(log.TermAt(I(17)), T(5));
}

TEST(RaftLogTerms, FindsTheLastIndexWhoseTermIsNotAbove) {
  const LogTerms log = Sample();
  EXPECT_EQ(log.LastNotAbove(I(100), T(9)), I(16));
  EXPECT_EQ(log.LastNotAbove(I(16), T(4)), I(15));
  EXPECT_EQ(log.LastNotAbove(I(14), T(4)), I(14));
  EXPECT_EQ(log.LastNotAbove(I(16), T(2)), I(12));
  EXPECT_EQ(log.LastNotAbove(I(16), T(1)), I(9)) << "not even the start";
  EXPECT_EQ(log.LastNotAbove(I(3), T(9)), I(3)) << "before the start nothing is known";
}

TEST(RaftLogTerms, MeasuresBytes) {
  const LogTerms log = Sample();
  EXPECT_EQ(log.BytesIn({I(11), I(13)}), 30u);
  EXPECT_EQ(log.BytesIn({I(16), I(99)}), 60u);
  EXPECT_EQ(log.BytesIn({I(13), I(13)}), 0u);
  EXPECT_EQ(log.EndWithin(I(11), 30), I(13));
  EXPECT_EQ(log.EndWithin(I(11), 59), I(13));
  EXPECT_EQ(log.EndWithin(I(11), 60), I(14));
  EXPECT_EQ(log.EndWithin(I(15), 1), I(16)) << "at least one";
  EXPECT_EQ(log.EndWithin(I(11), 1000), I(17));
}

TEST(RaftLogTerms, AgreesWithAPlainListUnderRandomUse) {
  Random random(7);
  for (int round = 0; round < 200; ++round) {
    LogTerms log(I(5), T(1));
    std::vector<Term> plain = {T(1)};  // of index `start` on
    std::uint64_t start = 5;
    std::uint64_t term = 1;
    for (int step = 0; step < 60; ++step) {
      const std::uint64_t last = start + plain.size() - 1;
      const std::uint64_t dice = random.Below(10);
      if (dice < 6) {
        term += random.Below(3) == 0;
        log.Append(T(term), 1);
        plain.push_back(T(term));
      } else if (dice < 8 && last > start) {
        const std::uint64_t from = start + 1 + random.Below(last - start);
        log.TruncateFrom(I(from));
        plain.resize(from - start);
      } else if (dice < 9) {
        const std::uint64_t to = start + random.Below(last - start + 1);
        log.CompactTo(I(to));
        plain.erase(plain.begin(), plain.begin() + static_cast<std::ptrdiff_t>(to - start));
        start = to;
      }
      ASSERT_EQ(log.last(), I(start + plain.size() - 1));
      for (std::size_t i = 0; i < plain.size(); ++i) {
        ASSERT_EQ(log.TermAt(I(start + i)), plain[i]);
      }
      const std::uint64_t limit = start + random.Below(plain.size());
      const Term asked = T(random.Below(term + 2));
      std::uint64_t expected = limit;
      while (expected >= start && plain[expected - start] > asked) --expected;
      ASSERT_EQ(log.LastNotAbove(I(limit), asked), I(expected));
    }
  }
}

}  // namespace
}  // namespace flotilla::raft
