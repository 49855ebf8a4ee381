// The memtable's tree against a sorted set, and with readers beside its writer.

#include "kv/memtable_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "base/coding.h"
#include "base/random.h"

namespace flotilla::kv {
namespace {

// (user key, ~trailer): sorts as the tree does.
using Sorted = std::pair<std::string, std::uint64_t>;

class Fixture {
 public:
  Fixture()
      : tree_([this](std::size_t bytes) {
          memory_.push_back(std::vector<char>(bytes + 1));
          return memory_.back().data() + 1;  // aligned by nothing
        }) {}

  MemtableTree& tree() { return tree_; }

  const char* Entry(std::string_view user, std::uint64_t trailer) {
    std::string& entry = entries_.emplace_back();
    AppendVarint(entry, user.size() + 8);
    entry += user;
    AppendFixed64(entry, trailer);
    return entry.data();
  }
  bool Insert(std::string_view user, std::uint64_t trailer) {
    return tree_.Insert(Entry(user, trailer));
  }

 private:
  std::deque<std::vector<char>> memory_;
  std::deque<std::string> entries_;
  MemtableTree tree_;
};

Sorted At(const MemtableCursor& cursor) {
  const EntryKey key = EntryKey::Of(cursor.entry());
  return {std::string(key.user), ~key.trailer};
}

// Keys of several kinds: short ones, ones that share long beginnings, ones that begin each other.
std::string RandomKey(Random& random, int kind) {
  switch (kind) {
    case 0:
      return std::string(1 + random.Below(3), static_cast<char>('a' + random.Below(3)));
    case 1: {
      std::string digits = std::to_string(random.Below(5000));
      return "user/" + std::string(6 - digits.size(), '0') + digits;
    }
    case 2:
      return std::string(60, 'x') + std::to_string(random.Below(500)) +
             std::string(random.Below(3), '\0');
    default: {
      std::string key;
      for (std::uint64_t i = random.Below(12); i > 0; --i) {
        key.push_back(static_cast<char>(random.Below(2) == 0 ? 0 : 255));
      }
      return key;
    }
  }
}

void CheckAgainst(const std::set<Sorted>& model, const MemtableTree& tree, Random& random) {
  MemtableCursor cursor(&tree);
  cursor.SeekToFirst();
  for (const Sorted& one : model) {
    ASSERT_TRUE(cursor.valid());
    ASSERT_EQ(At(cursor), one);
    cursor.Next();
  }
  ASSERT_FALSE(cursor.valid());
  cursor.SeekToLast();
  for (auto one = model.rbegin(); one != model.rend(); ++one) {
    ASSERT_TRUE(cursor.valid());
    ASSERT_EQ(At(cursor), *one);
    cursor.Prev();
  }
  ASSERT_FALSE(cursor.valid());
  for (int i = 0; i < 200; ++i) {
    const Sorted target{RandomKey(random, static_cast<int>(random.Below(4))), random.Below(4)};
    const EntryKey key{.user = target.first, .trailer = ~target.second};
    ASSERT_EQ(tree.Contains(key), model.contains(target));
    const auto at_or_after = model.lower_bound(target);
    cursor.Seek(key);
    ASSERT_EQ(cursor.valid(), at_or_after != model.end());
    if (cursor.valid()) {
      ASSERT_EQ(At(cursor), *at_or_after);
    }
    auto after = model.upper_bound(target);
    cursor.SeekForPrev(key);
    ASSERT_EQ(cursor.valid(), after != model.begin());
    if (cursor.valid()) {
      ASSERT_EQ(At(cursor), *std::prev(after));
    }
  }
}

TEST(MemtableTree, EmptyHasNothing) {
  Fixture fixture;
  MemtableCursor cursor(&fixture.tree());
  cursor.SeekToFirst();
  EXPECT_FALSE(cursor.valid());
  cursor.SeekToLast();
  EXPECT_FALSE(cursor.valid());
  cursor.Seek({.user = "a", .trailer = 1});
  EXPECT_FALSE(cursor.valid());
  EXPECT_FALSE(fixture.tree().Contains({.user = "a", .trailer = 1}));
}

TEST(MemtableTree, KeepsWhatASortedSetKeeps) {
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Fixture fixture;
    std::set<Sorted> model;
    // Of one kind, then of all.
    const bool mixed = seed % 5 == 0;
    for (int i = 0; i < 3000; ++i) {
      const int kind = static_cast<int>(mixed ? random.Below(4) : seed % 5 - 1);
      const Sorted key{RandomKey(random, kind), random.Below(4)};
      ASSERT_EQ(fixture.Insert(key.first, ~key.second), model.insert(key).second);
      if (i == 20 || i == 200) CheckAgainst(model, fixture.tree(), random);
    }
    CheckAgainst(model, fixture.tree(), random);
  }
}

TEST(MemtableTree, AscendingAndDescendingKeys) {
  for (const bool ascending : {true, false}) {
    Random random(1);
    Fixture fixture;
    std::set<Sorted> model;
    for (int i = 0; i < 5000; ++i) {
      std::string key = std::to_string(10'000 + (ascending ? i : 5000 - i));
      ASSERT_TRUE(fixture.Insert(key, 7));
      model.emplace(std::move(key), ~std::uint64_t{7});
    }
    CheckAgainst(model, fixture.tree(), random);
  }
}

// Whoever began to look after an insert had returned sees it, in its place, wherever splits are.
TEST(MemtableTree, ReadersSeeEverythingInsertedBeforeTheyBegan) {
  constexpr std::uint64_t kKeys = 20'000;
  Fixture fixture;
  std::vector<std::string> keys;
  for (std::uint64_t i = 0; i < kKeys; ++i) {
    // In a few runs that ascend: the same nodes are split again and again.
    keys.push_back("key" + std::to_string(100'000 + i % 8 * kKeys + i / 8));
  }
  std::atomic<std::uint64_t> inserted = 0;
  std::atomic<std::uint64_t> wrong = 0;
  std::vector<std::jthread> readers;
  for (std::uint64_t reader = 0; reader < 2; ++reader) {
    readers.emplace_back([&, reader] {
      Random mine(reader);
      std::uint64_t before = 0;
      while (before < kKeys) {
        before = inserted.load();
        if (before == 0) continue;
        // Mostly where the writer is at work.
        const std::uint64_t recent = std::min<std::uint64_t>(before, 64);
        const std::string& wanted = keys[before - 1 - mine.Below(recent)];
        MemtableCursor cursor(&fixture.tree());
        cursor.Seek({.user = wanted, .trailer = 1});
        if (!cursor.valid() || EntryKey::Of(cursor.entry()).user != wanted) ++wrong;
        if (mine.Below(64) != 0) continue;
        // And the way on is sorted.
        std::string last = wanted;
        for (int i = 0; i < 40 && cursor.valid(); ++i) {
          cursor.Next();
          if (!cursor.valid()) break;
          const std::string_view now = EntryKey::Of(cursor.entry()).user;
          if (now <= last) ++wrong;
          last = now;
        }
      }
      std::uint64_t all = 0;
      MemtableCursor cursor(&fixture.tree());
      for (cursor.SeekToFirst(); cursor.valid(); cursor.Next()) ++all;
      if (all != kKeys) ++wrong;
    });
  }
  for (const std::string& key : keys) {
    ASSERT_TRUE(fixture.Insert(key, 1));
    inserted.fetch_add(1);
  }
  readers.clear();
  EXPECT_EQ(wrong, 0u);
}

}  // namespace
}  // namespace flotilla::kv
