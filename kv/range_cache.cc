#include "kv/range_cache.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "kv/limits.h"
#include "kv/version_codec.h"

namespace flotilla::kv {
namespace {

// A piece is split beyond twice as many: a write copies a piece's list of rows.
constexpr std::size_t kPieceRows = 64;
constexpr std::size_t kPieceBytes = 32 << 10;
// A piece that is written so often without being read costs more than it brings.
constexpr std::size_t kWritesUnreadMax = 2 * kPieceRows;

std::size_t BytesOf(const RangeCache::Row& row) {
  return sizeof row + row.key.size() + row.stored.size() + 64;
}

std::size_t BytesOf(const RangeCache::Rows& rows) {
  std::size_t bytes = 256;
  for (const auto& row : rows) bytes += BytesOf(*row);
  return bytes;
}

std::size_t IndexOf(const RangeCache::Rows& rows, std::string_view key) {
  const auto at = std::lower_bound(
      rows.begin(), rows.end(), key,
      [](const auto& row, std::string_view other) { return std::string_view(row->key) < other; });
  return static_cast<std::size_t>(at - rows.begin());
}

bool IsTombstone(std::string_view header) {
  VersionView version;
  CHECK(DecodeVersion(header, version));
  return version.tombstone;
}

}  // namespace

// Longer than the 16 bytes by which blocks go, so that none is taken for another.
class RangeCache::Name {
 public:
  Name(std::uint64_t cache, std::uint64_t number) {
    std::memcpy(bytes_.data(), "range...", 8);
    std::memcpy(bytes_.data() + 8, &cache, sizeof cache);
    std::memcpy(bytes_.data() + 16, &number, sizeof number);
  }
  rocksdb::Slice slice() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::array<char, 24> bytes_;
};

// A piece's place in the block cache.
struct RangeCache::Ticket {
  std::shared_ptr<std::atomic<bool>> dropped;
  std::shared_ptr<std::atomic<bool>> any_dropped;
};

RangeCache::RangeCache(std::shared_ptr<rocksdb::Cache> cache)
    : cache_(std::move(cache)), id_(cache_ == nullptr ? 0 : cache_->NewId()) {}

RangeCache::~RangeCache() { Forget(); }

void RangeCache::Forget() {
  const std::lock_guard lock(mutex_);
  Clear();
}

void RangeCache::Clear() {
  for (const auto& [start, piece] : pieces_) Discharge(*piece);
  pieces_.clear();
}

// ---- reading ----------------------------------------------------------------------------------

RangeCache::Pieces::iterator RangeCache::Covering(std::string_view key) {
  auto piece = pieces_.upper_bound(key);
  if (piece == pieces_.begin()) return pieces_.end();
  --piece;
  return piece->second->Covers(key) ? piece : pieces_.end();
}

std::optional<RangeCache::Found> RangeCache::Find(std::string_view start, std::string_view end,
                                                  bool reverse, std::size_t rows_wanted) {
  if (cache_ == nullptr || start >= end) return std::nullopt;
  Found found;
  std::vector<std::uint64_t> used;
  {
    const std::lock_guard lock(mutex_);
    auto at = pieces_.end();
    if (reverse) {
      at = pieces_.lower_bound(end);
      if (at == pieces_.begin()) return std::nullopt;
      --at;
      if (at->second->end < end) return std::nullopt;
    } else {
      at = Covering(start);
    }
    std::size_t rows = 0;
    while (true) {
      if (at == pieces_.end() || !at->second->usable()) return std::nullopt;
      Piece& piece = *at->second;
      piece.writes_unread = 0;
      used.push_back(piece.number);
      Part& part = found.parts.emplace_back(piece.rows, 0, piece.rows->size(), reverse);
      if (piece.start < start) part.begin = IndexOf(*piece.rows, start);
      if (end < piece.end) part.end = IndexOf(*piece.rows, end);
      rows += part.size();
      found.whole = reverse ? piece.start <= start : end <= piece.end;
      if (found.whole || rows >= rows_wanted) break;
      if (reverse) {
        if (at == pieces_.begin()) return std::nullopt;
        --at;
        if (at->second->end != piece.start) return std::nullopt;
      } else {
        ++at;
        if (at != pieces_.end() && at->second->start != piece.end) return std::nullopt;
      }
    }
  }
  for (const std::uint64_t number : used) Touch(number);
  return found;
}

// ---- filling ----------------------------------------------------------------------------------

RangeCache::Fill::Fill(RangeCache& cache, std::string_view start, std::string_view end,
                       bool reverse)
    : cache_(cache), reverse_(reverse), start_(start), end_(end) {
  if (cache_.cache_ == nullptr) return;
  const std::lock_guard lock(cache_.mutex_);
  cache_.fills_.push_back(this);
  cache_.WantWrites();
  if (!cache_.writing_) return;
  // The iterator may see these writes, or not.
  if (cache_.writes_ == nullptr) {
    refused_ = true;
    return;
  }
  BoundBy(*cache_.writes_);
}

RangeCache::Fill::~Fill() {
  if (cache_.cache_ == nullptr) return;
  const std::lock_guard lock(cache_.mutex_);
  std::erase(cache_.fills_, this);
  cache_.WantWrites();
}

void RangeCache::Fill::Bound(std::string_view key) {
  if (key < start_ || key >= end_) return;
  if (reverse_) {
    start_.assign(key);
    start_.push_back('\0');  // the next key
  } else {
    end_.assign(key);
  }
}

void RangeCache::Fill::BoundBy(const std::vector<Write>& writes) {
  const auto at =
      std::lower_bound(writes.begin(), writes.end(), reverse_ ? end_ : start_,
                       [](const Write& write, std::string_view key) { return write.key < key; });
  // The first that the scan meets.
  if (reverse_ && at != writes.begin()) Bound(std::prev(at)->key);
  if (!reverse_ && at != writes.end()) Bound(at->key);
}

void RangeCache::Fill::Add(std::string_view key, Timestamp timestamp, std::string_view stored) {
  if (cache_.cache_ == nullptr) return;
  if (stored.size() > kCachedRowBytesMax) {
    const std::lock_guard lock(cache_.mutex_);
    Bound(key);
    return;
  }
  rows_.push_back(std::make_shared<const Row>(
      Row{.key = std::string(key), .timestamp = timestamp, .stored = std::string(stored)}));
}

void RangeCache::Fill::Keep(std::string_view reached) {
  if (cache_.cache_ == nullptr) return;
  if (reverse_) std::reverse(rows_.begin(), rows_.end());
  const std::lock_guard lock(cache_.mutex_);
  if (refused_) return;
  if (reverse_) {
    start_ = std::max(start_, std::string(reached));
  } else {
    end_ = std::min(end_, std::string(reached));
  }
  if (start_ < end_) cache_.Insert(start_, end_, rows_);
  cache_.Sweep();
}

// What is here already is newer, and stays.
void RangeCache::Insert(const std::string& start, const std::string& end, const Rows& rows) {
  std::string from = start;
  while (from < end) {
    const auto covering = Covering(from);
    if (covering != pieces_.end()) {
      from = covering->second->end;
      continue;
    }
    const auto next = pieces_.lower_bound(from);
    const std::string to = next == pieces_.end() ? end : std::min(end, next->first);
    InsertPiece(from, to,
                Rows(rows.begin() + static_cast<std::ptrdiff_t>(IndexOf(rows, from)),
                     rows.begin() + static_cast<std::ptrdiff_t>(IndexOf(rows, to))));
    from = to;
  }
  MergeAround(start, end);
}

// In as many pieces as it takes.
void RangeCache::InsertPiece(const std::string& start, const std::string& end, Rows rows) {
  std::string from = start;
  for (std::size_t begin = 0; from < end;) {
    Rows some;
    for (std::size_t bytes = 0;
         begin < rows.size() && some.size() < kPieceRows && (some.empty() || bytes < kPieceBytes);
         ++begin) {
      bytes += BytesOf(*rows[begin]);
      some.push_back(std::move(rows[begin]));
    }
    auto piece = std::make_shared<Piece>();
    piece->start = from;
    piece->end = begin < rows.size() ? rows[begin]->key : end;
    from = piece->end;
    piece->bytes = BytesOf(some);
    piece->rows = std::make_shared<const Rows>(std::move(some));
    Charge(*piece);
    pieces_[piece->start] = std::move(piece);
  }
}

// Many short scans must not leave many small pieces.
void RangeCache::MergeAround(std::string_view start, std::string_view end) {
  auto at = pieces_.lower_bound(start);
  if (at != pieces_.begin()) --at;
  while (at != pieces_.end() && at->second->start <= end) {
    const auto next = std::next(at);
    if (next == pieces_.end()) return;
    Piece& piece = *at->second;
    const Piece& other = *next->second;
    const bool fits = piece.rows->size() + other.rows->size() <= kPieceRows &&
                      piece.bytes + other.bytes <= kPieceBytes;
    if (piece.end != other.start || !piece.usable() || !other.usable() || !fits) {
      at = next;
      continue;
    }
    Rows both = *piece.rows;
    both.insert(both.end(), other.rows->begin(), other.rows->end());
    piece.end = other.end;
    piece.bytes = BytesOf(both);
    piece.rows = std::make_shared<const Rows>(std::move(both));
    Discharge(other);
    pieces_.erase(next);
    Charge(piece);
  }
}

// ---- writing ----------------------------------------------------------------------------------

void RangeCache::BeginWrites(const std::vector<Write>* writes) {
  if (cache_ == nullptr) return;
  const std::lock_guard lock(mutex_);
  writing_ = true;
  writes_ = writes;
  if (Planted(Plant::kRangeOutlivesWrite)) return;
  if (writes == nullptr) {
    // What came here since the writer asked wants_writes() may not have these.
    for (Fill* fill : fills_) fill->refused_ = true;
    return Clear();
  }
  for (Fill* fill : fills_) fill->BoundBy(*writes);
  for (std::size_t i = 0; i < writes->size(); ++i) {
    const std::string_view key = (*writes)[i].key;
    if (touched_.empty() || !touched_.back().piece->Covers(key)) {
      const auto covering = Covering(key);
      if (covering == pieces_.end()) continue;
      covering->second->writing = true;
      touched_.push_back({.piece = covering->second, .begin = i});
    }
    touched_.back().end = i + 1;
  }
}

void RangeCache::EndWrites(bool visible) {
  if (cache_ == nullptr) return;
  const std::lock_guard lock(mutex_);
  for (const Touched& touched : touched_) {
    touched.piece->writing = false;
    if (visible) Rewrite(touched);
  }
  touched_.clear();
  writes_ = nullptr;
  writing_ = false;
  Sweep();
  WantWrites();
}

void RangeCache::WantWrites() {
  wants_writes_.store(!pieces_.empty() || !fills_.empty(), std::memory_order_relaxed);
}

void RangeCache::Rewrite(const Touched& touched) {
  Piece& piece = *touched.piece;
  piece.writes_unread += touched.end - touched.begin;
  if (piece.writes_unread > kWritesUnreadMax || !piece.usable()) return Drop(piece);
  Rows rows;
  rows.reserve(piece.rows->size() + touched.end - touched.begin);
  auto old = piece.rows->begin();
  for (std::size_t i = touched.begin; i < touched.end; ++i) {
    const Write& write = (*writes_)[i];
    if (i > touched.begin && (*writes_)[i - 1].key == write.key) continue;  // an older version
    for (; old != piece.rows->end() && (*old)->key < write.key; ++old) rows.push_back(*old);
    if (old != piece.rows->end() && (*old)->key == write.key) ++old;
    if (IsTombstone(write.header)) continue;
    if (write.header.size() + write.value.size() > kCachedRowBytesMax) return Drop(piece);
    Row row{.key = std::string(write.key), .timestamp = write.timestamp, .stored = {}};
    row.stored.reserve(write.header.size() + write.value.size());
    row.stored.append(write.header).append(write.value);
    rows.push_back(std::make_shared<const Row>(std::move(row)));
  }
  rows.insert(rows.end(), old, piece.rows->end());
  const std::size_t bytes = BytesOf(rows);
  if (rows.size() > 2 * kPieceRows || bytes > 2 * kPieceBytes) {
    Drop(piece);
    return InsertPiece(piece.start, piece.end, std::move(rows));
  }
  piece.bytes = bytes;
  piece.rows = std::make_shared<const Rows>(std::move(rows));
  if (bytes > piece.charged + piece.charged / 4) Charge(piece);
}

// ---- the block cache's share --------------------------------------------------------------------

// On any thread that uses the block cache.
void RangeCache::Release(const rocksdb::Slice&, void* ticket) {
  const std::unique_ptr<Ticket> owned(static_cast<Ticket*>(ticket));
  if (!owned->dropped->exchange(true)) owned->any_dropped->store(true);
}

void RangeCache::Charge(Piece& piece) {
  if (piece.number != 0) Discharge(piece);
  piece.number = ++last_number_;
  piece.charged = piece.bytes;
  piece.dropped = std::make_shared<std::atomic<bool>>(false);
  auto ticket = std::make_unique<Ticket>(Ticket{piece.dropped, any_dropped_});
  // Should the cache be full of what is in use, it lets go of the piece at once.
  cache_->Insert(Name(id_, piece.number).slice(), ticket.release(), piece.charged, &Release)
      .PermitUncheckedError();
}

void RangeCache::Discharge(const Piece& piece) {
  piece.dropped->store(true);
  cache_->Erase(Name(id_, piece.number).slice());
}

void RangeCache::Touch(std::uint64_t number) const {
  rocksdb::Cache::Handle* const handle = cache_->Lookup(Name(id_, number).slice());
  if (handle != nullptr) cache_->Release(handle);
}

void RangeCache::Drop(const Piece& piece) {
  Discharge(piece);
  const auto found = pieces_.find(piece.start);
  if (found != pieces_.end() && found->second.get() == &piece) pieces_.erase(found);
}

void RangeCache::Sweep() {
  if (!any_dropped_->exchange(false)) return;
  std::erase_if(pieces_, [](const auto& entry) {
    return !entry.second->writing && entry.second->dropped->load();
  });
}

}  // namespace flotilla::kv
