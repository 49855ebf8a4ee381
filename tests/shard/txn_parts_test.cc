// The pure parts of a transaction: its writes, what it has read, and the plan of its commit.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kv/key_codec.h"
#include "kv/limits.h"
#include "kv/txn/command.h"
#include "shard/directory/codec.h"
#include "shard/txn/plan.h"
#include "shard/txn/read_set.h"
#include "shard/txn/write_buffer.h"

namespace flotilla {
namespace {

constexpr kv::KeyspaceId kSpace{7};

TxnMutation Put(std::string key, std::string value) {
  return {.keyspace = kSpace, .key = std::move(key), .value = std::move(value)};
}
TxnMutation Delete(std::string key) {
  return {.keyspace = kSpace, .deletes = true, .key = std::move(key)};
}

std::string Rows(const kv::ScanPage& page) {
  std::string all;
  for (const kv::ScanRow& row : page.rows) all += row.key + "=" + row.value + " ";
  return all + (page.more ? "then " + page.resume_key : "");
}

TEST(WriteBuffer, APageShowsOwnWritesWhereItSpeaksOfThem) {
  WriteBuffer writes;
  ASSERT_TRUE(writes.Add({Put("b", "own"), Delete("c"), Put("e", "own"), Put("x", "own")}).ok());
  const auto page = [] {
    kv::ScanPage page;
    for (const char* key : {"a", "c", "d"}) page.rows.push_back({.key = key, .value = "0"});
    return page;
  };
  kv::ScanRequest request{.keyspace = kSpace, .start = "a", .end = "m"};
  kv::ScanPage whole = page();
  writes.Overlay(request, whole);
  EXPECT_EQ(Rows(whole), "a=0 b=own d=0 e=own ");
  kv::ScanPage first = page();
  first.more = true;
  first.resume_key = "e";
  writes.Overlay(request, first);
  EXPECT_EQ(Rows(first), "a=0 b=own d=0 then e");
  request.limit = 2;
  kv::ScanPage full = page();
  writes.Overlay(request, full);
  EXPECT_EQ(Rows(full), "a=0 b=own then d");
  request.reverse = true;
  kv::ScanPage back = page();
  std::reverse(back.rows.begin(), back.rows.end());
  writes.Overlay(request, back);
  EXPECT_EQ(Rows(back), "e=own d=0 then d");
  // Large ones of its own make a page shorter.
  WriteBuffer large;
  for (const char* key : {"f", "g", "h"}) {
    ASSERT_TRUE(large.Add({Put(key, std::string(kv::kScanBytesMax / 2, 'v'))}).ok());
  }
  kv::ScanPage heavy;
  large.Overlay({.keyspace = kSpace, .keys_only = false}, heavy);
  EXPECT_EQ(heavy.rows.size(), 2u);
  EXPECT_EQ(heavy.resume_key, "h");
  // Those of another keyspace are others.
  kv::ScanPage other;
  writes.Overlay({.keyspace = kv::kDefaultKeyspace}, other);
  EXPECT_EQ(Rows(other), "");
}

TEST(WriteBuffer, WhatIsTooMuchChangesNothing) {
  WriteBuffer writes;
  EXPECT_EQ(ReasonOf(writes.Add({Put("", "x")})), Reason::kBadRequest);
  EXPECT_EQ(ReasonOf(writes.Add({Put("a", "1"), Put(std::string(kv::kKeyBytesMax + 1, 'k'), "")})),
            Reason::kKeyTooLarge);
  EXPECT_EQ(ReasonOf(writes.Add({Put("a", std::string(kv::kValueBytesMax + 1, 'v'))})),
            Reason::kValueTooLarge);
  EXPECT_TRUE(writes.empty());
  const std::string large(kv::kValueBytesMax, 'v');
  Status status;
  int kept = 0;
  for (; status.ok() && kept < 100; ++kept) status = writes.Add({Put(std::to_string(kept), large)});
  EXPECT_EQ(ReasonOf(status), Reason::kBatchTooLarge);
  EXPECT_LE(writes.bytes(), kv::kBatchBytesMax);
  // What is written again takes the place of what was there, but for what a savepoint remembers.
  EXPECT_TRUE(writes.Add({Put("2", large)}).ok());
  ASSERT_TRUE(writes.SetSavepoint("s").ok());
  EXPECT_TRUE(writes.Add({Put("1", "small")}).ok());
  EXPECT_EQ(ReasonOf(writes.Add({Put("2", large)})), Reason::kBatchTooLarge);
  EXPECT_TRUE(writes.RollBackTo("s").ok());
  EXPECT_EQ(writes.Find(kSpace, "1")->value, large);
}

TEST(ReadSet, RangesThatTouchAreOne) {
  ReadSet reads;
  for (const char* key : {"b", "e", "z"}) EXPECT_TRUE(reads.AddKey(key).ok());
  EXPECT_TRUE(reads.AddRange("a", "c").ok());
  EXPECT_TRUE(reads.AddRange("d", "f").ok());
  EXPECT_TRUE(reads.AddRange("x", "x").ok());
  EXPECT_EQ(reads.ranges().size(), 2u);
  EXPECT_EQ(reads.keys().size(), 1u);
  EXPECT_TRUE(reads.AddRange("c", "d").ok());
  EXPECT_EQ(reads.ranges(), (std::map<std::string, ReadSet::Range>{{"a", {"f", {}}}}));
  EXPECT_TRUE(reads.AddKey("d").ok());
  EXPECT_EQ(reads.keys().size(), 1u) << "the range has it";
  for (std::size_t i = reads.size(); i < kv::kBatchOpsMax; ++i) {
    ASSERT_TRUE(reads.AddKey("k" + std::to_string(i)).ok());
  }
  EXPECT_EQ(ReasonOf(reads.AddKey("one more")), Reason::kBatchTooLarge);
  EXPECT_TRUE(reads.AddRange("a", "z").ok()) << "it takes in others";
}

TEST(ReadSet, LockedRangesKeepTheirTimes) {
  using Ranges = std::map<std::string, ReadSet::Range>;
  ReadSet reads;
  EXPECT_TRUE(reads.AddRange("a", "c", Timestamp(10)).ok());
  EXPECT_TRUE(reads.AddRange("c", "e", Timestamp(20)).ok());
  EXPECT_EQ(reads.ranges(), (Ranges{{"a", {"c", Timestamp(10)}}, {"c", {"e", Timestamp(20)}}}))
      << "what was committed at 15 in the second was seen";
  EXPECT_TRUE(reads.AddRange("d", "g", Timestamp(30)).ok());
  EXPECT_EQ(reads.ranges(), (Ranges{{"a", {"c", Timestamp(10)}}, {"c", {"g", Timestamp(20)}}}));
  EXPECT_TRUE(reads.AddKey("f").ok());
  EXPECT_EQ(reads.keys().size(), 1u) << "read as of another time";
  EXPECT_TRUE(reads.AddRange("b", "d").ok());
  EXPECT_EQ(reads.ranges(), (Ranges{{"a", {"g", {}}}}));
}

TEST(ReadSet, ALockedKeyKeepsTheVersionThatWasFoundFirst) {
  ReadSet reads;
  EXPECT_TRUE(reads.AddKey("k").ok());
  EXPECT_TRUE(reads.AddLocked("k", Timestamp(5)).ok());
  EXPECT_TRUE(reads.AddLocked("k", Timestamp(9)).ok());
  EXPECT_TRUE(reads.AddKey("k").ok());
  EXPECT_EQ(reads.keys().at("k"), Timestamp(5));
}

// Two shards, up to "m" and from there on.
DirectoryImage TwoShards() {
  DirectoryImage image;
  std::vector<kv::RowChange> rows;
  const auto add = [&](const DirectoryRow& row) {
    rows.push_back({.key = RowKey(row), .value = EncodeRow(row)});
  };
  const std::string middle = kv::EncodeKey(kSpace, "m");
  ShardDescriptor left;
  left.group = GroupId(5);
  left.keyspace = kSpace;
  left.start = kv::KeyspaceStart(kSpace);
  left.end = middle;
  ShardDescriptor right;
  right.group = GroupId(6);
  right.keyspace = kSpace;
  right.start = middle;
  right.end = kv::KeyspaceEnd(kSpace);
  KeyspaceDescriptor keyspace;
  keyspace.id = kSpace;
  keyspace.name = "seven";
  add(keyspace);
  add(left);
  add(right);
  EXPECT_TRUE(image.Apply(rows, Timestamp(1)).ok());
  return image;
}

kv::TxnCommand Decoded(const CommitPlan::Part& part) {
  kv::TxnCommand command;
  EXPECT_TRUE(kv::DecodeTxnCommand(part.prepare.view(), command).ok());
  return command;
}

CommitRequest Request(std::vector<TxnMutation> mutations) {
  CommitRequest request;
  request.txn = kv::TxnId(99);
  request.valid_until_ms = 1000;
  WriteBuffer writes;
  EXPECT_TRUE(writes.Add(std::move(mutations)).ok());
  request.writes = writes.TakeWrites();
  return request;
}

TEST(CommitPlan, OfOneShardIsOneEntry) {
  const DirectoryImage image = TwoShards();
  CommitRequest request = Request({Put("b", "1"), Delete("a")});
  ASSERT_TRUE(request.reads.AddKey(kv::EncodeKey(kSpace, "c")).ok());
  ASSERT_TRUE(request.reads.AddKey(kv::EncodeKey(kSpace, "b")).ok());
  const auto plan = PlanCommit(request, image);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_TRUE(plan->one_phase());
  const kv::TxnCommand command = Decoded(plan->parts.front());
  const auto& prepare = std::get<kv::TxnPrepare>(command.step);
  EXPECT_TRUE(prepare.one_phase);
  EXPECT_EQ(prepare.writes.size(), 2u);
  EXPECT_EQ(prepare.checks.size(), 1u) << "what is written is checked with the write";
  EXPECT_EQ(plan->anchor, kv::EncodeKey(kSpace, "a"));
}

TEST(CommitPlan, OfTwoShardsHasAnAnchorAndRangesCutWhereShardsEnd) {
  const DirectoryImage image = TwoShards();
  CommitRequest request = Request({Put("x", "1")});
  ASSERT_TRUE(request.reads.AddRange(kv::EncodeKey(kSpace, "k"), kv::EncodeKey(kSpace, "p")).ok());
  const auto plan = PlanCommit(request, image);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->parts.size(), 2u);
  const kv::TxnCommand left = Decoded(plan->parts[0]);
  const kv::TxnCommand right = Decoded(plan->parts[1]);
  const auto& first = std::get<kv::TxnPrepare>(left.step);
  const auto& second = std::get<kv::TxnPrepare>(right.step);
  ASSERT_EQ(first.ranges.size(), 1u);
  EXPECT_EQ(first.ranges[0].end, kv::EncodeKey(kSpace, "m"));
  EXPECT_EQ(second.ranges[0].start, kv::EncodeKey(kSpace, "m"));
  EXPECT_TRUE(first.parts.empty());
  EXPECT_EQ(second.parts.size(), 2u) << "the anchor's part has them all";
  EXPECT_EQ(second.anchor, kv::EncodeKey(kSpace, "x"));
  for (const CommitPlan::Part& part : plan->parts) EXPECT_TRUE(IsWhole(part.span, image));
  EXPECT_FALSE(
      IsWhole({.first = plan->parts[0].span.first, .last = plan->parts[1].span.last}, image));
}

TEST(CommitPlan, ALargeShareOfAGroupIsSeveralEntries) {
  const DirectoryImage image = TwoShards();
  std::vector<TxnMutation> mutations;
  for (int i = 0; i < 300; ++i) {
    mutations.push_back(Put("a" + std::to_string(i), std::string(10'000, 'v')));
  }
  const auto plan = PlanCommit(Request(std::move(mutations)), image);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_GT(plan->parts.size(), 4u);
  std::size_t writes = 0;
  for (const CommitPlan::Part& part : plan->parts) {
    EXPECT_LT(part.prepare.size(), 600u << 10);
    const kv::TxnCommand command = Decoded(part);
    writes += std::get<kv::TxnPrepare>(command.step).writes.size();
  }
  EXPECT_EQ(writes, 300u);
}

}  // namespace
}  // namespace flotilla
