#include "kv/memtable_tree.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "base/check.h"
#include "base/coding.h"
#include "base/planted.h"

namespace flotilla::kv {
namespace {

constexpr std::size_t kTrailerBytes = 8;
constexpr std::size_t kChunkBytes = 32 << 10;
constexpr std::size_t kLine = 64;

std::size_t CommonPrefix(std::string_view a, std::string_view b) {
  const std::size_t shorter = std::min(a.size(), b.size());
  std::size_t common = 0;
  while (common < shorter && a[common] == b[common]) ++common;
  return common;
}

// The first eight bytes of `text`, as a number that sorts like them; zeros where it is shorter.
std::uint64_t HeadOf(std::string_view text) {
  if (text.size() >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), 8);
    return __builtin_bswap64(word);
  }
  std::uint64_t head = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    head = head << 8 | (i < text.size() ? static_cast<unsigned char>(text[i]) : 0u);
  }
  return head;
}

}  // namespace

EntryKey EntryKey::Of(const char* entry) {
  std::uint32_t bytes = 0;
  int shift = 0;
  while ((static_cast<unsigned char>(*entry) & 0x80) != 0) {
    bytes |= (static_cast<unsigned char>(*entry++) & 0x7fu) << shift;
    shift += 7;
  }
  bytes |= static_cast<std::uint32_t>(static_cast<unsigned char>(*entry++)) << shift;
  return OfInternal({entry, bytes});
}

EntryKey EntryKey::OfInternal(std::string_view internal) {
  const std::size_t user = internal.size() - kTrailerBytes;
  return {.user = internal.substr(0, user), .trailer = LoadFixed64(internal.data() + user)};
}

int Compare(const EntryKey& a, const EntryKey& b) {
  if (const int order = a.user.compare(b.user); order != 0) return order;
  return a.trailer == b.trailer ? 0 : a.trailer > b.trailer ? -1 : 1;
}

// ---- nodes ----------------------------------------------------------------------------------

struct MemtableTree::Node {
  std::atomic<std::uint64_t> order = 0;
  // What the user parts of all keys here begin with. In the node while it fits, as it mostly does;
  // else in the first entry.
  const char* prefix = nullptr;
  std::uint32_t prefix_bytes = 0;
  bool leaf = true;
  std::array<char, 35> inline_prefix;
  // The eight bytes after the prefix, and the entry. Slots below the count in `order` never change.
  std::array<std::uint64_t, kSlots> heads;
  std::array<const char*, kSlots> keys;

  Order Seen() const { return {order.load(std::memory_order_acquire)}; }
};

// Keys at or after keys[slot], and before the next, are below children[slot].
struct MemtableTree::Inner : Node {
  std::atomic<Node*> first = nullptr;
  std::array<std::atomic<Node*>, kSlots> children;

  std::atomic<Node*>& Child(Order order, int position) {
    return position < 0 ? first : children[static_cast<std::size_t>(order.slot(position))];
  }
  Node* Down(Order order, int position) const {
    const auto& child =
        position < 0 ? first : children[static_cast<std::size_t>(order.slot(position))];
    Node* const node = child.load(std::memory_order_acquire);
    // All its lines at once, instead of one wait after the other.
    const char* const lines = reinterpret_cast<const char*>(node);
    for (std::size_t at = 0; at < sizeof(Inner); at += kLine) __builtin_prefetch(lines + at);
    return node;
  }
};

MemtableTree::Order MemtableTree::Order::With(int position) const {
  const int shift = 4 + 4 * position;
  const std::uint64_t low = (std::uint64_t{1} << shift) - 1;
  const auto slot = static_cast<std::uint64_t>(count());
  // What lies above the last position falls off: there are as many nibbles as slots.
  return {((bits & low) | slot << shift | (bits & ~low) << 4) + 1};
}

MemtableTree::Order MemtableTree::Order::Sorted(int count) {
  Order order;
  for (int i = 0; i < count; ++i) order.bits |= static_cast<std::uint64_t>(i) << (4 + 4 * i);
  order.bits += static_cast<std::uint64_t>(count);
  return order;
}

int MemtableTree::Rank(const Node& node, Order order, const EntryKey& key, bool or_equal) {
  const std::string_view prefix(node.prefix, node.prefix_bytes);
  // Shorter than the prefix and equal so far: before all keys, which are longer.
  const int beside = key.user.substr(0, prefix.size()).compare(prefix);
  if (beside != 0) return beside < 0 ? 0 : order.count();
  const std::uint64_t head = HeadOf(key.user.substr(prefix.size()));
  int low = 0;
  int high = order.count();
  while (low < high) {
    const int middle = (low + high) / 2;
    const auto slot = static_cast<std::size_t>(order.slot(middle));
    bool before = node.heads[slot] < head;
    if (node.heads[slot] == head) {
      const int compared = Compare(EntryKey::Of(node.keys[slot]), key);
      before = compared < 0 || (or_equal && compared == 0);
    }
    if (before) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

template <class N>
N* MemtableTree::NewNode() {
  constexpr std::size_t kBytes = (sizeof(N) + kLine - 1) / kLine * kLine;
  if (chunk_left_ < kBytes) {
    void* start = allocate_(kChunkBytes);
    chunk_left_ = kChunkBytes;
    chunk_ = static_cast<char*>(std::align(kLine, kBytes, start, chunk_left_));
  }
  chunk_left_ -= kBytes;
  return new (std::exchange(chunk_, chunk_ + kBytes)) N;
}

MemtableTree::Node* MemtableTree::Build(const Gathered& from, int begin, int end, bool leaf) {
  Node* node = nullptr;
  Inner* inner = nullptr;
  if (leaf) {
    node = NewNode<Node>();
  } else {
    node = inner = NewNode<Inner>();
    inner->leaf = false;
    // The child before the first key: below the key that went up, or the node's own first.
    inner->first.store(begin == 0 ? from.first : from.children[static_cast<std::size_t>(begin) - 1],
                       std::memory_order_relaxed);
  }
  const auto key = [&](int i) { return EntryKey::Of(from.keys[static_cast<std::size_t>(i)]).user; };
  // One key alone has all in common with itself, but not with the next to come.
  if (end - begin > 1) {
    const std::size_t common = CommonPrefix(key(begin), key(end - 1));
    node->prefix = key(begin).data();
    node->prefix_bytes = static_cast<std::uint32_t>(common);
    if (common <= node->inline_prefix.size()) {
      std::memcpy(node->inline_prefix.data(), node->prefix, common);
      node->prefix = node->inline_prefix.data();
    }
  }
  for (int i = begin; i < end; ++i) {
    const auto slot = static_cast<std::size_t>(i - begin);
    node->heads[slot] = HeadOf(key(i).substr(node->prefix_bytes));
    node->keys[slot] = from.keys[static_cast<std::size_t>(i)];
    if (!leaf) {
      inner->children[slot].store(from.children[static_cast<std::size_t>(i)],
                                  std::memory_order_relaxed);
    }
  }
  node->order.store(Order::Sorted(end - begin).bits, std::memory_order_relaxed);
  return node;
}

void MemtableTree::Gather(const Node& node, Order order, Gathered& out) {
  const auto* inner = node.leaf ? nullptr : static_cast<const Inner*>(&node);
  out.count = order.count();
  if (inner != nullptr) out.first = inner->Down(order, -1);
  for (int i = 0; i < out.count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    out.keys[at] = node.keys[static_cast<std::size_t>(order.slot(i))];
    out.children[at] = inner != nullptr ? inner->Down(order, i) : nullptr;
  }
}

void MemtableTree::Add(Gathered& gathered, int position, const char* key, Node* child) {
  const auto shift = [&](auto& array) {
    std::copy_backward(array.begin() + position, array.begin() + gathered.count,
                       array.begin() + gathered.count + 1);
  };
  shift(gathered.keys);
  shift(gathered.children);
  gathered.keys[static_cast<std::size_t>(position)] = key;
  gathered.children[static_cast<std::size_t>(position)] = child;
  ++gathered.count;
}

// ---- inserting ------------------------------------------------------------------------------

MemtableTree::MemtableTree(Allocate allocate) : allocate_(std::move(allocate)) {
  root_.store(NewNode<Node>(), std::memory_order_relaxed);
}

bool MemtableTree::Append(Node& node, Order order, int position, const char* key, Node* child) {
  const int count = order.count();
  if (count == kSlots) return false;
  const std::string_view user = EntryKey::Of(key).user;
  if (!user.starts_with(std::string_view(node.prefix, node.prefix_bytes))) return false;
  // A node that began with few keys gets to know what they have in common as they become more.
  if (node.prefix_bytes == 0 && (count == 3 || count == 9) &&
      CommonPrefix(user, EntryKey::Of(node.keys[0]).user) > 0) {
    return false;
  }
  const auto slot = static_cast<std::size_t>(count);
  node.heads[slot] = HeadOf(user.substr(node.prefix_bytes));
  node.keys[slot] = key;
  if (!node.leaf) {
    static_cast<Inner&>(node).children[slot].store(child, std::memory_order_relaxed);
  }
  node.order.store(order.With(position).bits, std::memory_order_release);
  return true;
}

bool MemtableTree::Insert(const char* entry) {
  const EntryKey key = EntryKey::Of(entry);
  Path path;
  Node* node = root_.load(std::memory_order_relaxed);
  while (!node->leaf) {
    auto* inner = static_cast<Inner*>(node);
    const Order order = inner->Seen();
    const int position = Rank(*inner, order, key, true) - 1;
    CHECK_LT(path.depth, kLevelsMax);
    path.steps[static_cast<std::size_t>(path.depth++)] = {.node = inner, .position = position};
    node = inner->Down(order, position);
  }
  const Order order = node->Seen();
  const int position = Rank(*node, order, key, false);
  if (position < order.count()) {
    const char* const next = node->keys[static_cast<std::size_t>(order.slot(position))];
    if (Compare(EntryKey::Of(next), key) == 0) return false;
  }
  if (Append(*node, order, position, entry, nullptr)) return true;
  Gathered gathered;
  Gather(*node, order, gathered);
  Add(gathered, position, entry, nullptr);
  Split(path, node, gathered, true, position == order.count());
  return true;
}

void MemtableTree::Split(Path& path, Node* old, Gathered& gathered, bool leaf, bool at_end) {
  const int count = gathered.count;
  if (count <= kSlots) {
    // There was room, but the keys have less in common than before.
    Replace(path, Build(gathered, 0, count, leaf));
    return;
  }
  // Ascending keys leave full nodes behind.
  const int left = at_end ? count - 2 : count / 2;
  Node* const lower = Build(gathered, 0, left, leaf);
  // The key in the middle of an inner node goes up; its child is the first of the right half.
  const int end = leaf && Planted(Plant::kSplitDropsLast) ? count - 1 : count;
  Node* const upper = Build(gathered, leaf ? left : left + 1, end, leaf);
  InsertInto(path, gathered.keys[static_cast<std::size_t>(left)], upper, old, lower);
}

void MemtableTree::Replace(const Path& path, Node* with) {
  if (path.depth == 0) {
    root_.store(with, std::memory_order_release);
    return;
  }
  const Step& step = path.steps[static_cast<std::size_t>(path.depth) - 1];
  step.node->Child(step.node->Seen(), step.position).store(with, std::memory_order_release);
}

void MemtableTree::InsertInto(Path& path, const char* separator, Node* right, Node* old,
                              Node* left) {
  if (path.depth == 0) {
    Gathered gathered;
    gathered.first = left;
    gathered.keys[0] = separator;
    gathered.children[0] = right;
    gathered.count = 1;
    root_.store(Build(gathered, 0, 1, false), std::memory_order_release);
    return;
  }
  const Step step = path.steps[static_cast<std::size_t>(path.depth) - 1];
  const Order order = step.node->Seen();
  // First the right half, while the old node still serves the left one; then that.
  if (Append(*step.node, order, step.position + 1, separator, right)) {
    step.node->Child(step.node->Seen(), step.position).store(left, std::memory_order_release);
    return;
  }
  Gathered gathered;
  Gather(*step.node, order, gathered);
  Add(gathered, step.position + 1, separator, right);
  if (step.position < 0) {
    gathered.first = left;
  } else {
    gathered.children[static_cast<std::size_t>(step.position)] = left;
  }
  --path.depth;
  Split(path, step.node, gathered, false, step.position + 1 == order.count());
}

bool MemtableTree::Contains(const EntryKey& key) const {
  MemtableCursor cursor(this);
  cursor.Seek(key);
  return cursor.valid() && Compare(EntryKey::Of(cursor.entry()), key) == 0;
}

// ---- reading --------------------------------------------------------------------------------

const char* MemtableCursor::entry() const {
  return leaf_->keys[static_cast<std::size_t>(order_.slot(position_))];
}

void MemtableCursor::Descend(const EntryKey& key, bool or_equal) {
  using Node = MemtableTree::Node;
  using Inner = MemtableTree::Inner;
  low_ = nullptr;
  high_ = nullptr;
  const Node* node = tree_->root_.load(std::memory_order_acquire);
  while (!node->leaf) {
    const auto* inner = static_cast<const Inner*>(node);
    MemtableTree::Order order;
    int rank = 0;
    do {
      order = inner->Seen();
      rank = MemtableTree::Rank(*inner, order, key, or_equal);
      node = inner->Down(order, rank - 1);
      // A child that is new has its sibling in the new order: by the old one, what went to the
      // sibling would be missed.
    } while (inner->Seen().bits != order.bits);
    if (rank > 0) low_ = inner->keys[static_cast<std::size_t>(order.slot(rank - 1))];
    if (rank < order.count()) high_ = inner->keys[static_cast<std::size_t>(order.slot(rank))];
  }
  leaf_ = node;
  order_ = node->Seen();
  // A leaf that is just being split may have its upper half still, which is in its sibling, too.
  count_ = high_ == nullptr ? order_.count()
                            : MemtableTree::Rank(*leaf_, order_, EntryKey::Of(high_), false);
}

void MemtableCursor::Seek(const EntryKey& key) {
  Descend(key, true);
  position_ = MemtableTree::Rank(*leaf_, order_, key, false);
  if (position_ < count_) return;
  position_ = count_ - 1;
  Next();
}

void MemtableCursor::SeekBefore(const EntryKey& key, bool or_equal) {
  Descend(key, or_equal);
  position_ = MemtableTree::Rank(*leaf_, order_, key, or_equal);
  Prev();
}

void MemtableCursor::Next() {
  if (++position_ < count_) return;
  if (high_ == nullptr) {
    leaf_ = nullptr;
    return;
  }
  // The key that the next leaf begins with: it is there.
  Seek(EntryKey::Of(high_));
}

void MemtableCursor::Prev() {
  if (--position_ >= 0) return;
  if (low_ == nullptr) {
    leaf_ = nullptr;
    return;
  }
  SeekBefore(EntryKey::Of(low_), false);
}

void MemtableCursor::SeekToFirst() {
  // Nothing sorts before the empty key with the highest trailer.
  Seek({.user = {}, .trailer = UINT64_MAX});
}

void MemtableCursor::SeekToLast() {
  using Inner = MemtableTree::Inner;
  const MemtableTree::Node* node = tree_->root_.load(std::memory_order_acquire);
  low_ = nullptr;
  high_ = nullptr;
  while (!node->leaf) {
    const auto* inner = static_cast<const Inner*>(node);
    MemtableTree::Order order;
    do {
      order = inner->Seen();
      node = inner->Down(order, order.count() - 1);
    } while (inner->Seen().bits != order.bits);
    if (order.count() > 0) {
      low_ = inner->keys[static_cast<std::size_t>(order.slot(order.count() - 1))];
    }
  }
  leaf_ = node;
  order_ = node->Seen();
  count_ = order_.count();
  position_ = count_;
  Prev();
}

}  // namespace flotilla::kv
