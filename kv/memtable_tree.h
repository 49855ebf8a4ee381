// MemtableTree: the sorted set of a memtable's entries.
//
// Purpose: an insert that touches a handful of cache lines where a skip list touches dozens. A
// B+-tree of small nodes; each keeps, beside the pointer to an entry, eight bytes of its key that
// follow what all keys of the node have in common, so that most comparisons stay inside the node.
// The order of a node's slots is one word, as in Masstree (Mao, Kohler, Morris; EuroSys 2012,
// section 4.6.2): a slot is filled first, then seen, and never changes afterwards.
//
// Place in the picture: below kv/memtable.h, which shows it to RocksDB.
// Threads: one writer; any number of readers beside it, without a lock. A reader sees every entry
// whose Insert() had returned before it began to look, and perhaps later ones, which RocksDB's
// sequence numbers hide. Nodes that were split stay where they are, for readers who hold them,
// until the memory of the whole memtable goes.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

namespace flotilla::kv {

// What an entry is sorted by: RocksDB's internal key, the user's part ascending by bytes and, for
// equal ones, the eight bytes of sequence number and kind descending.
struct EntryKey {
  std::string_view user;
  std::uint64_t trailer = 0;

  // `entry`: a length as varint32, then so many bytes of internal key (and a value, not looked at).
  static EntryKey Of(const char* entry);
  // `internal`: a user key and its trailer, at least eight bytes.
  static EntryKey OfInternal(std::string_view internal);
};

int Compare(const EntryKey& a, const EntryKey& b);

class MemtableTree {
 public:
  // Gives memory, aligned by chance, that lives as long as the tree.
  using Allocate = std::function<char*(std::size_t bytes)>;

  explicit MemtableTree(Allocate allocate);
  MemtableTree(const MemtableTree&) = delete;
  MemtableTree& operator=(const MemtableTree&) = delete;

  // Adds an entry, which lives as long as the tree. False: one with an equal key is there already,
  // and nothing was done. The writer.
  bool Insert(const char* entry);
  bool Contains(const EntryKey& key) const;

 private:
  static constexpr int kSlots = 15;
  static constexpr int kLevelsMax = 24;  // far more than memory can hold

  // Slot numbers in the order of their keys, four bits each from the fifth on; below, the count.
  struct Order {
    std::uint64_t bits = 0;
    int count() const { return static_cast<int>(bits & 15); }
    int slot(int position) const { return static_cast<int>(bits >> (4 + 4 * position) & 15); }
    // With the next free slot at `position`.
    Order With(int position) const;
    static Order Sorted(int count);
  };

  struct Node;
  struct Inner;
  // A node on the way down, and which child of it was taken; -1: the first one.
  struct Step {
    Inner* node;
    int position;
  };
  struct Path {
    std::array<Step, kLevelsMax> steps;
    int depth = 0;
  };
  // Keys in order, for a node to be built from.
  struct Gathered {
    std::array<const char*, kSlots + 1> keys;
    std::array<Node*, kSlots + 1> children;
    Node* first = nullptr;
    int count = 0;
  };

  // How many keys of the node lie before `key`; or, with `or_equal`, at or before it.
  static int Rank(const Node& node, Order order, const EntryKey& key, bool or_equal);
  static void Gather(const Node& node, Order order, Gathered& out);
  static void Add(Gathered& gathered, int position, const char* key, Node* child);

  template <class N>
  N* NewNode();
  Node* Build(const Gathered& from, int begin, int end, bool leaf);
  // Appends a slot if there is room and the key has what the node's keys have in common.
  static bool Append(Node& node, Order order, int position, const char* key, Node* child);
  void Split(Path& path, Node* old, Gathered& gathered, bool leaf, bool at_end);
  // Puts `with` in the place of the node that `path` leads to.
  void Replace(const Path& path, Node* with);
  void InsertInto(Path& path, const char* separator, Node* right, Node* old, Node* left);

  const Allocate allocate_;
  char* chunk_ = nullptr;
  std::size_t chunk_left_ = 0;
  std::atomic<Node*> root_;

  friend class MemtableCursor;
};

// A place in the tree. Any thread.
class MemtableCursor {
 public:
  explicit MemtableCursor(const MemtableTree* tree) : tree_(tree) {}

  bool valid() const { return leaf_ != nullptr; }
  const char* entry() const;
  void Next();
  void Prev();
  // To the first entry at or after `key`; none: not valid.
  void Seek(const EntryKey& key);
  // To the last entry at or before `key`.
  void SeekForPrev(const EntryKey& key) { SeekBefore(key, true); }
  void SeekToFirst();
  void SeekToLast();

 private:
  void SeekBefore(const EntryKey& key, bool or_equal);
  // Goes down to the leaf whose range holds `key`, or what lies just before it.
  void Descend(const EntryKey& key, bool or_equal);

  const MemtableTree* const tree_;
  const MemtableTree::Node* leaf_ = nullptr;
  MemtableTree::Order order_;
  int count_ = 0;  // of the leaf's entries, those below `high_`
  int position_ = 0;
  // The leaf's range: from `low_` to before `high_`; null: no bound.
  const char* low_ = nullptr;
  const char* high_ = nullptr;
};

}  // namespace flotilla::kv
