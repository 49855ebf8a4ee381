#include "shard/pending_batch.h"

#include <gtest/gtest.h>

#include <map>

namespace flotilla {
namespace {

class RecordingSink final : public AnswerSink {
 public:
  void OnAnswers(std::vector<GatewayAnswer> answers) override {
    ++calls;
    for (GatewayAnswer& answer : answers) {
      EXPECT_FALSE(reasons.contains(answer.id)) << "answered twice";
      reasons[answer.id] = ReasonOf(answer.status);
    }
  }
  int calls = 0;
  std::map<std::uint64_t, Reason> reasons;
};

GatewayRequest Write(std::uint64_t id, std::int64_t deadline_ms) {
  return {.id = id,
          .deadline = MonoTime(std::chrono::milliseconds(deadline_ms)),
          .call = WriteCall{.command = Bytes("w")}};
}

GatewayRequest Read(std::uint64_t id, std::int64_t deadline_ms) {
  return {.id = id,
          .deadline = MonoTime(std::chrono::milliseconds(deadline_ms)),
          .call = GetCall{.key = "k"}};
}

std::shared_ptr<PendingBatch> Batch(const std::shared_ptr<RecordingSink>& sink) {
  std::vector<GatewayRequest> requests{Write(1, 10), Write(2, 10), Read(3, 10), Write(4, 99)};
  return std::make_shared<PendingBatch>(std::move(requests), sink);
}

TEST(PendingBatch, AWriteInFlightAtItsDeadlineHasAnUnknownOutcome) {
  auto sink = std::make_shared<RecordingSink>();
  auto batch = Batch(sink);
  ASSERT_TRUE(batch->Begin(1));
  ASSERT_TRUE(batch->Begin(2));
  batch->Expire(MonoTime(std::chrono::milliseconds(50)));
  EXPECT_EQ(sink->reasons[1], Reason::kDeadlineExceeded);
  EXPECT_EQ(sink->reasons[2], Reason::kOutcomeUnknown);
  EXPECT_EQ(sink->reasons[3], Reason::kDeadlineExceeded);
  EXPECT_FALSE(sink->reasons.contains(4));
  EXPECT_EQ(sink->calls, 1);
  EXPECT_EQ(batch->NextDeadline(), MonoTime(std::chrono::milliseconds(99)));
}

TEST(PendingBatch, WhoComesLateDoesNotAnswerAgain) {
  auto sink = std::make_shared<RecordingSink>();
  auto batch = Batch(sink);
  ASSERT_TRUE(batch->Begin(0));
  batch->Expire(MonoTime(std::chrono::milliseconds(50)));
  EXPECT_FALSE(batch->Begin(0));
  EXPECT_FALSE(batch->Return(0));
  {
    AnswerCollector answers;
    answers.Add({batch, 0}, GatewayAnswer{});
    answers.Add({batch, 3}, GatewayAnswer{});
  }
  EXPECT_EQ(sink->reasons[1], Reason::kOutcomeUnknown);
  EXPECT_EQ(sink->reasons[4], Reason::kNone);
}

TEST(PendingBatch, WhatIsDroppedIsAnsweredAllTheSame) {
  auto sink = std::make_shared<RecordingSink>();
  {
    auto batch = Batch(sink);
    ASSERT_TRUE(batch->Begin(0));
  }
  EXPECT_EQ(sink->reasons.size(), 4u);
  EXPECT_EQ(sink->reasons[1], Reason::kOutcomeUnknown);
  EXPECT_EQ(sink->reasons[2], Reason::kNodeStopping);
}

TEST(PendingBatch, AReturnedRequestHasHadNoEffect) {
  auto sink = std::make_shared<RecordingSink>();
  auto batch = Batch(sink);
  ASSERT_TRUE(batch->Begin(0));
  ASSERT_TRUE(batch->Return(0));
  batch->Expire(MonoTime(std::chrono::milliseconds(50)));
  EXPECT_EQ(sink->reasons[1], Reason::kDeadlineExceeded);
}

// What this node repeats by itself may have been done the first time.
TEST(PendingBatch, ALostWriteIsOpenForGoodWhoeverHasItLast) {
  for (const bool stopping : {false, true}) {
    auto sink = std::make_shared<RecordingSink>();
    auto batch = Batch(sink);
    for (const std::uint32_t slot : {0u, 1u, 2u}) {
      ASSERT_TRUE(batch->Begin(slot));
      ASSERT_TRUE(batch->Lost(slot));
    }
    // A second attempt, refused by who does not lead.
    ASSERT_TRUE(batch->Begin(1));
    ASSERT_TRUE(batch->Return(1));
    if (stopping) {
      batch->Abandon();
    } else {
      batch->Expire(MonoTime(std::chrono::milliseconds(50)));
    }
    EXPECT_EQ(sink->reasons[1], Reason::kOutcomeUnknown);
    EXPECT_EQ(sink->reasons[2], Reason::kOutcomeUnknown);
    EXPECT_EQ(sink->reasons[3], stopping ? Reason::kNodeStopping : Reason::kDeadlineExceeded)
        << "a read has no outcome";
  }
}

TEST(AnswerCollector, ALaterFailureSaysNothingOfALostWrite) {
  const auto told = [](Reason reason, bool lost) {
    auto sink = std::make_shared<RecordingSink>();
    auto batch = Batch(sink);
    EXPECT_TRUE(batch->Begin(0));
    if (lost) EXPECT_TRUE(batch->Lost(0));
    {
      AnswerCollector answers;
      answers.Fail({batch, 0}, Error(reason, "x"));
    }
    return sink->reasons[1];
  };
  for (const Reason reason :
       {Reason::kSessionExpired, Reason::kDeadlineExceeded, Reason::kOverloaded, Reason::kDiskFull,
        Reason::kNoQuorum, Reason::kNodeStopping}) {
    EXPECT_EQ(told(reason, false), reason);
    EXPECT_EQ(told(reason, true), Reason::kOutcomeUnknown);
  }
  // Its number was evaluated, or never can be.
  EXPECT_EQ(told(Reason::kConditionFailed, true), Reason::kConditionFailed);
  EXPECT_EQ(told(Reason::kValueTooLarge, true), Reason::kValueTooLarge);
}

TEST(AnswerCollector, HandsEachSinkItsAnswersInOneCall) {
  auto first = std::make_shared<RecordingSink>();
  auto second = std::make_shared<RecordingSink>();
  auto a = Batch(first);
  auto b = Batch(second);
  {
    AnswerCollector answers;
    for (std::uint32_t slot = 0; slot < 4; ++slot) {
      answers.Add({a, slot}, GatewayAnswer{});
      answers.Add({b, slot}, GatewayAnswer{});
    }
  }
  EXPECT_EQ(first->calls, 1);
  EXPECT_EQ(second->calls, 1);
  EXPECT_EQ(first->reasons.size(), 4u);
}

}  // namespace
}  // namespace flotilla
