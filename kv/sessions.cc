#include "kv/sessions.h"

#include <rocksdb/write_batch.h>

#include <algorithm>

#include "base/coding.h"
#include "base/crc32c.h"
#include "kv/database.h"
#include "kv/version_codec.h"

namespace flotilla::kv {
namespace {

constexpr char kPrefix = 's';

std::string ChunkKey(ClientId client, std::uint64_t number) {
  std::string key(1, kPrefix);
  AppendOrdered64(key, client.value());
  AppendOrdered64(key, number);
  return key;
}

void AppendResult(std::string& out, std::uint64_t sequence, const WriteResult& result) {
  AppendVarint(out, sequence);
  out.push_back(static_cast<char>(result.outcome));
  AppendFixed64(out, result.timestamp.value());
  AppendVarint(out, result.affected);
  AppendVarint(out, result.failed_op);
  AppendFixed64(out, result.actual_version.value());
}

bool ReadResult(Reader& reader, std::uint64_t& sequence, WriteResult& result) {
  std::uint8_t outcome = 0;
  std::uint64_t timestamp = 0;
  std::uint64_t failed_op = 0;
  std::uint64_t actual = 0;
  if (!reader.Varint(sequence) || !reader.Byte(outcome) || !reader.Fixed64(timestamp) ||
      !reader.Varint(result.affected) || !reader.Varint(failed_op) || !reader.Fixed64(actual)) {
    return false;
  }
  result.outcome = static_cast<WriteOutcome>(outcome);
  result.timestamp = Timestamp(timestamp);
  result.failed_op = static_cast<std::uint32_t>(failed_op);
  result.actual_version = Timestamp(actual);
  return true;
}

constexpr char kForgottenKey[] = "forgotten";

WriteResult Expired(Timestamp now) {
  WriteResult result;
  result.timestamp = now;
  result.outcome = WriteOutcome::kSessionExpired;
  return result;
}

}  // namespace

Status Sessions::Load(const Database& database) {
  clients_.clear();
  by_activity_.clear();
  touched_.clear();
  const std::unique_ptr<rocksdb::Iterator> rows =
      database.Iterate(rocksdb::ReadOptions(), database.meta());
  const std::string prefix(1, kPrefix);
  for (rows->Seek(prefix); rows->Valid() && rows->key().starts_with(prefix); rows->Next()) {
    const std::string_view key(rows->key().data(), rows->key().size());
    Reader reader({rows->value().data(), rows->value().size()});
    std::uint64_t last_active = 0;
    std::uint64_t count = 0;
    Client chunk;
    bool good = key.size() == 17 && reader.Varint(chunk.acknowledged_below) &&
                reader.Varint(chunk.pruned_below) && reader.Fixed64(last_active) &&
                reader.Varint(count);
    if (!good) return Error(Reason::kDataDamaged, "a client's session is damaged");
    Client& client = clients_[ClientId(LoadOrdered64(key.data() + 1))];
    // Chunks come in the order of their numbers: the last one has the newest bounds.
    client.acknowledged_below = chunk.acknowledged_below;
    client.pruned_below = chunk.pruned_below;
    client.last_active = Timestamp(last_active);
    std::uint64_t sequence = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      WriteResult result;
      if (!ReadResult(reader, sequence, result)) {
        return Error(Reason::kDataDamaged, "a client's session is damaged");
      }
      client.results[sequence] = result;
    }
    std::uint64_t unsure_until = 0;
    if (!reader.empty() && !reader.Fixed64(unsure_until)) {
      return Error(Reason::kDataDamaged, "a client's session is damaged");
    }
    client.unsure_until = Timestamp(unsure_until);
    client.chunks.push_back({.number = LoadOrdered64(key.data() + 9), .last_sequence = sequence});
  }
  RETURN_IF_ERROR(FromRocks(rows->status(), "reading sessions"));
  std::string forgotten;
  const rocksdb::Status read =
      database.db().Get(rocksdb::ReadOptions(), database.meta(), kForgottenKey, &forgotten);
  if (!read.IsNotFound()) RETURN_IF_ERROR(FromRocks(read, "reading sessions"));
  if (!read.IsNotFound() && forgotten.size() != 8) {
    return Error(Reason::kDataDamaged, "the time of the last forgotten session is damaged");
  }
  forgotten_ = read.IsNotFound() ? Timestamp() : Timestamp(LoadFixed64(forgotten.data()));
  for (auto& [id, client] : clients_) {
    Prune(client);
    by_activity_.emplace(client.last_active, id);
  }
  return absl::OkStatus();
}

std::optional<WriteResult> Sessions::Recall(const Session& session, Timestamp now) const {
  const auto found = clients_.find(session.client);
  if (found == clients_.end()) {
    if (session.since) {
      return session.since > forgotten_ ? std::nullopt : std::optional(Expired(now));
    }
    // A client that has had answers here was here before: its session is gone, and so is the
    // knowledge whether this write is a repeated one. One that has had none, and does not say since
    // when it writes, is taken for a new one, which may be wrong.
    if (session.acknowledged_below > 1) return Expired(now);
    return std::nullopt;
  }
  const Client& client = found->second;
  if (const auto result = client.results.find(session.sequence); result != client.results.end()) {
    return result->second;
  }
  if (session.sequence < client.acknowledged_below || session.sequence < client.pruned_below) {
    return Expired(now);
  }
  if (client.unsure_until && session.since <= client.unsure_until) return Expired(now);
  return std::nullopt;
}

void Sessions::Record(const Session& session, Timestamp now, const WriteResult& result) {
  Client& client = clients_[session.client];
  by_activity_.erase({client.last_active, session.client});
  client.last_active = now;
  by_activity_.emplace(now, session.client);
  client.acknowledged_below = std::max(client.acknowledged_below, session.acknowledged_below);
  client.results[session.sequence] = result;
  touched_[session.client].push_back(session.sequence);
}

void Sessions::Prune(Client& client) const {
  client.results.erase(client.results.begin(),
                       client.results.lower_bound(client.acknowledged_below));
  while (client.results.size() > options_.results_max) {
    client.pruned_below = client.results.begin()->first + 1;
    client.results.erase(client.results.begin());
  }
}

void Sessions::FinishEntry(Timestamp now, const Database& database, rocksdb::WriteBatch& batch) {
  for (auto& [id, sequences] : touched_) {
    Client& client = clients_[id];
    Prune(client);
    std::sort(sequences.begin(), sequences.end());
    std::erase_if(sequences, [&](std::uint64_t one) { return !client.results.contains(one); });
    WriteChunk(id, client, sequences, database, batch);
    // The newest chunk stays in any case: it holds the session's bounds.
    const std::uint64_t needed = std::max(client.acknowledged_below, client.pruned_below);
    while (client.chunks.size() > 1 && client.chunks.front().last_sequence < needed) {
      batch.Delete(database.meta(), ChunkKey(id, client.chunks.front().number))
          .PermitUncheckedError();
      client.chunks.pop_front();
    }
  }
  touched_.clear();
  ForgetIdle(now, database, batch);
}

void Sessions::WriteChunk(ClientId id, Client& client, const std::vector<std::uint64_t>& sequences,
                          const Database& database, rocksdb::WriteBatch& batch) {
  std::string chunk;
  AppendVarint(chunk, client.acknowledged_below);
  AppendVarint(chunk, client.pruned_below);
  AppendFixed64(chunk, client.last_active.value());
  AppendVarint(chunk, sequences.size());
  for (const std::uint64_t sequence : sequences) {
    AppendResult(chunk, sequence, client.results[sequence]);
  }
  if (client.unsure_until) AppendFixed64(chunk, client.unsure_until.value());
  const std::uint64_t number = client.chunks.empty() ? 1 : client.chunks.back().number + 1;
  batch.Put(database.meta(), ChunkKey(id, number), chunk).PermitUncheckedError();
  client.chunks.push_back(
      {.number = number, .last_sequence = sequences.empty() ? 0 : sequences.back()});
}

void Sessions::RemoveChunks(ClientId id, Client& client, const Database& database,
                            rocksdb::WriteBatch& batch) {
  for (const Chunk& chunk : client.chunks) {
    batch.Delete(database.meta(), ChunkKey(id, chunk.number)).PermitUncheckedError();
  }
  client.chunks.clear();
}

void Sessions::ForgetIdle(Timestamp now, const Database& database, rocksdb::WriteBatch& batch) {
  const std::uint64_t now_ms = MillisecondsOf(now);
  while (!by_activity_.empty()) {
    const auto [last_active, id] = *by_activity_.begin();
    const bool idle = MillisecondsOf(last_active) + options_.idle_ms_max < now_ms;
    if (!idle && clients_.size() <= options_.sessions_max) break;
    // Not before what an absorbed group has forgotten.
    forgotten_ = std::max(forgotten_, last_active);
    RemoveChunks(id, clients_[id], database, batch);
    clients_.erase(id);
    by_activity_.erase(by_activity_.begin());
    WriteForgotten(database, batch);
  }
}

void Sessions::WriteForgotten(const Database& database, rocksdb::WriteBatch& batch) const {
  std::string forgotten;
  AppendFixed64(forgotten, forgotten_.value());
  batch.Put(database.meta(), kForgottenKey, forgotten).PermitUncheckedError();
}

void Sessions::Absorb(const Sessions& other, Timestamp now, const Database& database,
                      rocksdb::WriteBatch& batch) {
  const auto rewrite = [&](ClientId id, Client& client) {
    Prune(client);
    std::vector<std::uint64_t> sequences;
    for (const auto& [sequence, result] : client.results) sequences.push_back(sequence);
    RemoveChunks(id, client, database, batch);
    WriteChunk(id, client, sequences, database, batch);
  };
  if (other.forgotten_) {
    for (auto& [id, client] : clients_) {
      if (other.clients_.contains(id) || client.unsure_until >= other.forgotten_) continue;
      client.unsure_until = other.forgotten_;
      rewrite(id, client);
    }
  }
  for (const auto& [id, theirs] : other.clients_) {
    const auto [found, added] = clients_.try_emplace(id);
    Client& client = found->second;
    by_activity_.erase({client.last_active, id});
    const Timestamp unsure = added ? forgotten_ : Timestamp();
    client.unsure_until = std::max({client.unsure_until, theirs.unsure_until, unsure});
    client.last_active = std::max(client.last_active, theirs.last_active);
    client.acknowledged_below = std::max(client.acknowledged_below, theirs.acknowledged_below);
    client.pruned_below = std::max(client.pruned_below, theirs.pruned_below);
    for (const auto& [sequence, result] : theirs.results) {
      WriteResult& known = client.results[sequence];
      if (known.timestamp < result.timestamp) known = result;
    }
    client.results.erase(client.results.begin(), client.results.lower_bound(client.pruned_below));
    by_activity_.emplace(client.last_active, id);
    rewrite(id, client);
  }
  if (other.forgotten_ > forgotten_) {
    forgotten_ = other.forgotten_;
    WriteForgotten(database, batch);
  }
  ForgetIdle(now, database, batch);
}

std::uint64_t Sessions::Hash() const {
  std::string all;
  AppendFixed64(all, forgotten_.value());
  for (const auto& [id, client] : clients_) {
    AppendFixed64(all, id.value());
    AppendVarint(all, client.acknowledged_below);
    AppendVarint(all, client.pruned_below);
    AppendFixed64(all, client.last_active.value());
    AppendFixed64(all, client.unsure_until.value());
    for (const auto& [sequence, result] : client.results) AppendResult(all, sequence, result);
  }
  return static_cast<std::uint64_t>(Crc32c(all)) << 32 | all.size();
}

}  // namespace flotilla::kv
