// What one turn of a thread asks for together: shard/gathered_submits.h, shard/as_of_gate.h.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/turn.h"
#include "shard/as_of_gate.h"
#include "shard/gathered_submits.h"

namespace flotilla {
namespace {

struct Submitted {
  std::vector<GatewayRequest> requests;
  std::shared_ptr<AnswerSink> sink;
};

class Collector final : public AnswerSink {
 public:
  void OnAnswers(std::vector<GatewayAnswer> answers) override {
    EXPECT_TRUE(GatheringTurn::Active());
    ++calls;
    for (const GatewayAnswer& answer : answers) {
      EXPECT_TRUE(versions.emplace(answer.id, answer.origin.timestamp.value()).second);
    }
  }
  int calls = 0;
  std::map<std::uint64_t, std::uint64_t> versions;
};

GatewayRequest Get(std::uint64_t id, std::string key) {
  GatewayRequest request;
  request.id = id;
  request.call = GetCall{.key = std::move(key)};
  return request;
}

class GatheredSubmitsTest : public ::testing::Test {
 protected:
  // Answers a request of a batch, by its place there.
  void Answer(std::size_t batch, std::vector<std::size_t> places) {
    std::vector<GatewayAnswer> answers;
    for (const std::size_t place : places) {
      GatewayAnswer& answer = answers.emplace_back();
      answer.id = submitted_[batch].requests[place].id;
      answer.origin.timestamp = Timestamp(100 + place);
    }
    const GatheringTurn turn;
    submitted_[batch].sink->OnAnswers(std::move(answers));
  }

  std::vector<Submitted> submitted_;
  GatheredSubmits submits_{
      [this](std::vector<GatewayRequest> requests, std::shared_ptr<AnswerSink> sink) {
        submitted_.push_back({std::move(requests), std::move(sink)});
      }};
  std::shared_ptr<Collector> one_ = std::make_shared<Collector>();
  std::shared_ptr<Collector> two_ = std::make_shared<Collector>();
};

TEST_F(GatheredSubmitsTest, PiecesOfATurnGoTogetherAndAnswersFindTheirWay) {
  {
    const GatheringTurn turn;
    submits_.Add({Get(7, "a"), Get(8, "b")}, one_);
    submits_.Add({Get(7, "c")}, two_);
    EXPECT_TRUE(submitted_.empty());
  }
  ASSERT_EQ(submitted_.size(), 1u);
  ASSERT_EQ(submitted_[0].requests.size(), 3u);
  EXPECT_EQ(std::get<GetCall>(submitted_[0].requests[2].call).key, "c");
  Answer(0, {1, 2});
  Answer(0, {0});
  EXPECT_EQ(one_->versions, (std::map<std::uint64_t, std::uint64_t>{{7, 100}, {8, 101}}));
  EXPECT_EQ(two_->versions, (std::map<std::uint64_t, std::uint64_t>{{7, 102}}));
}

TEST_F(GatheredSubmitsTest, OnePieceAloneGoesAsItIs) {
  {
    const GatheringTurn turn;
    submits_.Add({Get(7, "a"), Get(3, "b")}, one_);
  }
  ASSERT_EQ(submitted_.size(), 1u);
  EXPECT_EQ(submitted_[0].requests[0].id, 7u);
  EXPECT_EQ(submitted_[0].requests[1].id, 3u);
  EXPECT_EQ(submitted_[0].sink, one_);
}

TEST_F(GatheredSubmitsTest, WhatIsLargeOrOutsideOfATurnGoesAtOnce) {
  submits_.Add({Get(1, "a")}, one_);
  EXPECT_EQ(submitted_.size(), 1u);
  const GatheringTurn turn;
  std::vector<GatewayRequest> large(1);
  large[0].call = WriteCall{.command = Bytes(std::string(1 << 20, 'x'))};
  submits_.Add({Get(1, "a")}, one_);
  submits_.Add(std::move(large), two_);
  ASSERT_EQ(submitted_.size(), 2u);
  EXPECT_EQ(submitted_[1].sink, two_);
}

TEST_F(GatheredSubmitsTest, AnAnsweredRequestKeepsItsSubmitterNoLonger) {
  {
    const GatheringTurn turn;
    submits_.Add({Get(1, "a")}, one_);
    submits_.Add({Get(2, "b")}, two_);
  }
  const std::weak_ptr<Collector> gone = one_;
  Answer(0, {0});
  one_ = nullptr;
  EXPECT_TRUE(gone.expired()) << "although the other waits";
}

class CountingOracle final : public TimestampSource {
 public:
  void Take(std::uint64_t count, MonoTime,
            UniqueFunction<void(StatusOr<Timestamp>)> done) override {
    questions.push_back(count);
    done(next);
  }
  std::vector<std::uint64_t> questions;
  StatusOr<Timestamp> next = Timestamp(50);
};

TEST(AsOfGate, ATurnAsksOnceForAll) {
  CountingOracle oracle;
  AsOfGate gate(&oracle);
  std::vector<std::uint64_t> taken;
  const auto take = [&](const StatusOr<Timestamp>& one) {
    taken.push_back(one.ok() ? one->value() : 0);
  };
  {
    const GatheringTurn turn;
    for (int i = 0; i < 3; ++i) gate.Fresh(MonoTime(), take);
    EXPECT_TRUE(oracle.questions.empty());
  }
  EXPECT_EQ(oracle.questions, (std::vector<std::uint64_t>{3}));
  EXPECT_EQ(taken, (std::vector<std::uint64_t>{50, 51, 52}));
  EXPECT_TRUE(gate.Passes(Timestamp(52)));
  EXPECT_FALSE(gate.Passes(Timestamp(53)));
  gate.Fresh(MonoTime(), take);
  EXPECT_EQ(oracle.questions, (std::vector<std::uint64_t>{3, 1}));
  oracle.next = Error(Reason::kNoQuorum, "nobody there");
  {
    const GatheringTurn turn;
    for (int i = 0; i < 2; ++i) gate.Fresh(MonoTime(), take);
  }
  EXPECT_EQ(taken, (std::vector<std::uint64_t>{50, 51, 52, 50, 0, 0}));
}

}  // namespace
}  // namespace flotilla
