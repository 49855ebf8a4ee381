#include "shard/vacuum/readers.h"

#include <fmt/format.h>

#include "base/coding.h"

namespace flotilla {
namespace {

// Nodes speak once a second, or every other second.
constexpr Duration kListenFor = std::chrono::seconds(5);
constexpr Duration kGapMax = std::chrono::seconds(5);
// Whoever is cut off may be back; a node that died must not hold up others for long.
constexpr Duration kSilenceMax = std::chrono::minutes(1);
constexpr std::size_t kNodesMax = 4096;

}  // namespace

std::string EncodeReader(const std::optional<OldestReader>& reader) {
  std::string out;
  AppendVarint(out, reader ? reader->reads_at.value() : 0);
  AppendVarint(out, reader ? reader->txn.value() : 0);
  return out;
}

StatusOr<std::optional<OldestReader>> DecodeReader(std::string_view bytes, NodeId node) {
  Reader in(bytes);
  std::uint64_t reads_at = 0;
  std::uint64_t txn = 0;
  if (!in.Varint(reads_at) || !in.Varint(txn) || !in.empty() || (reads_at == 0) != (txn == 0)) {
    return Error(Reason::kBadRequest,
                 fmt::format("node {} says of its readers what cannot be read", node.value()));
  }
  if (txn == 0) return std::optional<OldestReader>();
  return std::optional(
      OldestReader{.reads_at = Timestamp(reads_at), .txn = kv::TxnId(txn), .node = node});
}

void ReaderWatch::Note(NodeId node, const std::optional<OldestReader>& reader, MonoTime now) {
  if (!reader) {
    heard_.erase(node);
  } else if (heard_.size() < kNodesMax || heard_.contains(node)) {
    heard_[node] = {.reader = *reader, .at = now};
  }
}

void ReaderWatch::Look(MonoTime now) {
  if (now - looked_at_ > kGapMax) listens_since_ = now;
  looked_at_ = now;
  std::erase_if(heard_, [&](const auto& one) { return now - one.second.at > kSilenceMax; });
}

bool ReaderWatch::knows(MonoTime now) const { return now - listens_since_ >= kListenFor; }

std::optional<OldestReader> ReaderWatch::Oldest() const {
  std::optional<OldestReader> oldest;
  for (const auto& [node, heard] : heard_) {
    if (!oldest || heard.reader.reads_at < oldest->reads_at) oldest = heard.reader;
  }
  return oldest;
}

}  // namespace flotilla
