#include "client/deadlines.h"

#include <gtest/gtest.h>

namespace flotilla::client {
namespace {

using std::chrono::milliseconds;

Call CallAt(milliseconds deadline) {
  Call call;
  call.deadline = MonoTime(deadline);
  return call;
}

TEST(ClientDeadlines, NothingExpiresBeforeItsDeadlineOrLongAfter) {
  Deadlines deadlines;
  EXPECT_EQ(deadlines.Next(), MonoTime::max());
  Call call = CallAt(milliseconds(101));
  deadlines.Add(&call);
  EXPECT_TRUE(deadlines.Expired(MonoTime(milliseconds(101))).empty());
  EXPECT_GE(deadlines.Next(), call.deadline);
  EXPECT_LE(deadlines.Next(), call.deadline + Deadlines::kBucket);
  EXPECT_EQ(deadlines.Expired(deadlines.Next()), std::vector<Call*>{&call});
  deadlines.Remove(&call);
  EXPECT_EQ(deadlines.Next(), MonoTime::max());
}

TEST(ClientDeadlines, RemovesFromAnywhereInABucket) {
  for (int removed = 0; removed < 3; ++removed) {
    Deadlines deadlines;
    Call calls[3] = {CallAt(milliseconds(50)), CallAt(milliseconds(50)), CallAt(milliseconds(50))};
    for (Call& call : calls) deadlines.Add(&call);
    deadlines.Remove(&calls[removed]);
    const auto expired = deadlines.Expired(MonoTime(milliseconds(60)));
    EXPECT_EQ(expired.size(), 2u);
    for (const Call* call : expired) EXPECT_NE(call, &calls[removed]);
    for (Call* call : expired) deadlines.Remove(call);
    EXPECT_EQ(deadlines.Next(), MonoTime::max());
  }
}

TEST(ClientDeadlines, KeepsBucketsApart) {
  Deadlines deadlines;
  Call early = CallAt(milliseconds(10));
  Call late = CallAt(milliseconds(1000));
  deadlines.Add(&early);
  deadlines.Add(&late);
  EXPECT_EQ(deadlines.Expired(MonoTime(milliseconds(500))), std::vector<Call*>{&early});
  deadlines.Remove(&early);
  Call earlier = CallAt(milliseconds(5));
  deadlines.Add(&earlier);
  EXPECT_LE(deadlines.Next(), MonoTime(milliseconds(9)));
  deadlines.Remove(&late);
  deadlines.Remove(&earlier);
  EXPECT_EQ(deadlines.Next(), MonoTime::max());
}

}  // namespace
}  // namespace flotilla::client
