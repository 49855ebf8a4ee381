#include "shard/txn/write_buffer.h"

#include <fmt/format.h>

#include <algorithm>

#include "kv/limits.h"
#include "kv/page_overlay.h"

namespace flotilla {
namespace {

constexpr std::size_t kOverheadBytes = 64;
constexpr std::size_t kSavepointsMax = 1'000;

std::size_t WeightOf(const WriteBuffer::Key& key, const WriteBuffer::Write& write) {
  return key.second.size() + write.value.size() + kOverheadBytes;
}

std::size_t UndoWeight(const std::pair<WriteBuffer::Key, std::optional<WriteBuffer::Write>>& one) {
  return WeightOf(one.first, one.second.value_or(WriteBuffer::Write()));
}

Status Check(const TxnMutation& one) {
  if (one.key.empty()) return Error(Reason::kBadRequest, "a key must not be empty");
  if (one.key.size() > kv::kKeyBytesMax) {
    return Error(Reason::kKeyTooLarge, fmt::format("a key has {} bytes; the limit is {}",
                                                   one.key.size(), kv::kKeyBytesMax));
  }
  if (one.value.size() > kv::kValueBytesMax) {
    return Error(Reason::kValueTooLarge, fmt::format("a value has {} bytes; the limit is {}",
                                                     one.value.size(), kv::kValueBytesMax));
  }
  return absl::OkStatus();
}

}  // namespace

Status WriteBuffer::Add(std::vector<TxnMutation> mutations) {
  std::size_t more_bytes = 0;
  std::size_t freed_bytes = 0;
  std::size_t more_keys = 0;
  for (const TxnMutation& one : mutations) {
    RETURN_IF_ERROR(Check(one));
    more_bytes += one.key.size() + one.value.size() + kOverheadBytes;
    const auto before = writes_.find({one.keyspace, one.key});
    if (before == writes_.end()) {
      ++more_keys;
    } else if (savepoints_.empty()) {
      freed_bytes += WeightOf(before->first, before->second);
    }
  }
  const std::size_t undone = savepoints_.empty() ? 0 : undo_.size() + mutations.size();
  const std::size_t kept_bytes = bytes_ + undo_bytes_ - std::min(freed_bytes, bytes_);
  if (std::max(writes_.size() + more_keys, undone) > kv::kBatchOpsMax ||
      kept_bytes + more_bytes > kv::kBatchBytesMax) {
    return Error(Reason::kBatchTooLarge,
                 fmt::format("a transaction may write {} keys and {} MiB: commit what there is, "
                             "and go on in another",
                             kv::kBatchOpsMax, kv::kBatchBytesMax >> 20));
  }
  for (TxnMutation& one : mutations) {
    Key key(one.keyspace, std::move(one.key));
    if (!savepoints_.empty()) {
      const auto before = writes_.find(key);
      undo_.emplace_back(key,
                         before == writes_.end() ? std::nullopt : std::optional(before->second));
      undo_bytes_ += UndoWeight(undo_.back());
    }
    Set(key, Write{.deletes = one.deletes, .value = std::move(one.value), .ttl_ms = one.ttl_ms});
  }
  return absl::OkStatus();
}

void WriteBuffer::Set(const Key& key, std::optional<Write> write) {
  const auto found = writes_.find(key);
  if (found != writes_.end()) {
    bytes_ -= WeightOf(key, found->second);
    writes_.erase(found);
  }
  if (!write) return;
  bytes_ += WeightOf(key, *write);
  writes_.emplace(key, *std::move(write));
}

Status WriteBuffer::SetSavepoint(const std::string& name) {
  if (savepoints_.size() >= kSavepointsMax) {
    return Error(Reason::kBatchTooLarge,
                 fmt::format("a transaction may have {} savepoints", kSavepointsMax));
  }
  savepoints_.emplace_back(name, undo_.size());
  return absl::OkStatus();
}

Status WriteBuffer::RollBackTo(const std::string& name) {
  const auto found = std::find_if(savepoints_.rbegin(), savepoints_.rend(),
                                  [&](const auto& one) { return one.first == name; });
  if (found == savepoints_.rend()) {
    return Error(Reason::kBadRequest,
                 fmt::format("the transaction has no savepoint named '{}'", name));
  }
  while (undo_.size() > found->second) {
    undo_bytes_ -= UndoWeight(undo_.back());
    Set(undo_.back().first, std::move(undo_.back().second));
    undo_.pop_back();
  }
  savepoints_.erase(found.base(), savepoints_.end());
  return absl::OkStatus();
}

std::optional<kv::GetResult> WriteBuffer::Find(kv::KeyspaceId keyspace,
                                               const std::string& key) const {
  const auto found = writes_.find({keyspace, key});
  if (found == writes_.end()) return std::nullopt;
  kv::GetResult result;
  result.found = !found->second.deletes;
  result.value = found->second.value;
  return result;
}

void WriteBuffer::Overlay(const kv::ScanRequest& request, kv::ScanPage& page) const {
  const kv::PageSpan span = kv::SpanOf(request, page);
  std::vector<kv::RowChange> changes;
  for (auto one = writes_.lower_bound({request.keyspace, span.start});
       one != writes_.end() && one->first.first == request.keyspace; ++one) {
    const auto& [key, write] = *one;
    if (!span.end.empty() && key.second >= span.end) break;
    changes.push_back({.key = key.second, .value = std::nullopt});
    if (!write.deletes) changes.back().value = write.value;
  }
  kv::Overlay(request, std::move(changes), page);
}

}  // namespace flotilla
