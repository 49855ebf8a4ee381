#include "tests/sim/txn_history.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace flotilla::sim {
namespace {

constexpr char kDeleted[] = "deleted";

struct Value {
  std::uint64_t number = 0;
  bool final = true;
};

bool IsDeletion(const std::string& value) { return value.substr(value.rfind(':') + 1) == kDeleted; }

// Nothing: it is no transaction's.
std::optional<Value> Parse(const std::string& value) {
  const std::vector<std::string> parts = absl::StrSplit(value, ':');
  Value parsed;
  if (parts.size() != 3 || !absl::SimpleAtoi(parts[0], &parsed.number)) return std::nullopt;
  parsed.final = parts[1] == "final";
  return parsed;
}

}  // namespace

std::string TxnHistory::ValueOf(std::uint64_t number, bool final, std::int64_t balance) {
  return fmt::format("{}:{}:{}", number, final ? "final" : "draft", balance);
}

std::int64_t TxnHistory::BalanceOf(const std::string& value) {
  std::int64_t balance = 0;
  return absl::SimpleAtoi(value.substr(value.rfind(':') + 1), &balance) ? balance : 0;
}

std::string TxnHistory::DeletedBy(std::uint64_t number) {
  return fmt::format("{}:final:{}", number, kDeleted);
}

void TxnHistory::NoteVersion(const std::string& key, Timestamp version, const std::string& value) {
  const auto [known, first] = versions_[key].emplace(version, value);
  if (first || known->second == value || !failure_.empty()) return;
  failure_ = fmt::format("version {} of '{}' is '{}' and '{}'", version.value(), key, known->second,
                         value);
}

void TxnHistory::Note(TxnRun run) {
  if (run.commit) {
    acknowledged_ = std::max(acknowledged_, run.commit);
    ++committed_;
    for (const auto& [key, value] : run.writes) NoteVersion(key, run.commit, value);
  }
  by_number_[run.number] = runs_.size();
  runs_.push_back(std::move(run));
}

Timestamp TxnHistory::Next(const std::string& key, Timestamp version) const {
  const auto found = versions_.find(key);
  if (found == versions_.end()) return {};
  const auto next = found->second.upper_bound(version);
  return next == found->second.end() ? Timestamp() : next->first;
}

std::string TxnHistory::CheckValues() {
  std::map<std::uint64_t, std::pair<Timestamp, std::string>> committed_at;
  for (const auto& [key, versions] : versions_) {
    for (const auto& [version, value] : versions) {
      const std::optional<Value> parsed = Parse(value);
      if (!parsed) continue;
      if (!parsed->final) {
        return fmt::format("'{}' has a value that transaction {} overwrote itself", key,
                           parsed->number);
      }
      const auto [known, first] = committed_at.emplace(parsed->number, std::pair(version, key));
      if (!first && known->second.first != version) {
        return fmt::format("transaction {} has version {} of '{}' and version {} of '{}'",
                           parsed->number, known->second.first.value(), known->second.second,
                           version.value(), key);
      }
      const auto run = by_number_.find(parsed->number);
      if (run == by_number_.end()) continue;
      if (runs_[run->second].refused) {
        return fmt::format("transaction {} was refused, and '{}' has a version of it",
                           parsed->number, key);
      }
      // What it is not known to have committed.
      runs_[run->second].commit = version;
    }
  }
  return "";
}

void TxnHistory::NoteSeen() {
  for (const TxnRun& run : runs_) {
    for (const auto& [key, value] : run.writes) {
      if (run.commit) {
        NoteVersion(key, run.commit, value);
      } else if (!run.refused && IsDeletion(value)) {
        perhaps_deleted_.insert(key);
      }
    }
  }
}

std::optional<Timestamp> TxnHistory::VersionSeen(const TxnRead& read, Timestamp as_of,
                                                 std::string& failure) const {
  const auto versions = versions_.find(read.key);
  if (read.version || versions == versions_.end()) return read.version;
  auto newest = versions->second.upper_bound(as_of);
  if (newest == versions->second.begin()) return read.version;
  --newest;
  if (IsDeletion(newest->second)) return newest->first;
  if (!perhaps_deleted_.contains(read.key)) {
    failure = fmt::format("found no '{}', which had version {} ('{}')", read.key,
                          newest->first.value(), newest->second);
  }
  return std::nullopt;
}

Timestamp TxnHistory::ReadsAt(const TxnRun& run) const {
  Timestamp at = run.start;
  if (!run.locks) return at;
  for (const TxnRead& read : run.reads) {
    if (!read.locked) at = std::max(at, read.version);
  }
  return at;
}

std::string TxnHistory::CheckRun(const TxnRun& run) const {
  const auto name = [&] {
    return fmt::format("transaction {} (start {}, commit {})", run.number, run.start.value(),
                       run.commit.value());
  };
  if (run.start && run.start <= run.after) {
    return fmt::format("{} began after {} was acknowledged", name(), run.after.value());
  }
  const auto by = [&](const std::string& key, Timestamp version) {
    return fmt::format("version {} ('{}')", version.value(), versions_.at(key).at(version));
  };
  const bool snapshot = run.read_only || run.isolation >= kv::Isolation::kRepeatableRead;
  const bool writes = run.commit && !run.writes.empty();
  const Timestamp reads_at = ReadsAt(run);
  for (const TxnRead& read : run.reads) {
    if (!snapshot && !read.locked) continue;
    if (read.locked) {
      const Timestamp next = Next(read.key, read.version);
      const bool judged = writes || (run.commit && run.isolation == kv::Isolation::kSerializable);
      if (judged && read.version && next && next < run.commit) {
        return fmt::format("{} locked version {} of '{}', which had {} when it committed", name(),
                           read.version.value(), read.key, by(read.key, next));
      }
      continue;
    }
    if (read.version > reads_at) {
      return fmt::format("{} read version {} of '{}'", name(), read.version.value(), read.key);
    }
    // Of one that locks, when it saw that there was nothing is known at its commit alone.
    const bool later = run.locks && !read.version;
    if (later && !(writes && run.isolation == kv::Isolation::kSerializable)) continue;
    std::string failure;
    const std::optional<Timestamp> version =
        VersionSeen(read, later ? Timestamp(run.commit.value() - 1) : reads_at, failure);
    if (!failure.empty()) return fmt::format("{} {}", name(), failure);
    if (!version) continue;
    const Timestamp next = Next(read.key, *version);
    if (next && next <= reads_at) {
      return fmt::format("{} read version {} of '{}', which had {} by then", name(),
                         read.version.value(), read.key, by(read.key, next));
    }
    if (writes && run.isolation == kv::Isolation::kSerializable && next && next < run.commit) {
      return fmt::format("{} read version {} of '{}', which had {} when it committed", name(),
                         read.version.value(), read.key, by(read.key, next));
    }
  }
  if (!writes || run.isolation < kv::Isolation::kRepeatableRead) return "";
  for (const auto& [key, value] : run.writes) {
    // What was locked before the first other read may be of after the start.
    const bool before =
        run.locks && std::none_of(run.reads.begin(), run.reads.end(), [&](const auto& read) {
          return !read.locked && read.version && read.key == key;
        });
    if (before) continue;
    const Timestamp next = Next(key, reads_at);
    if (next && next < run.commit) {
      return fmt::format("{} wrote '{}', of which others had written {}", name(), key,
                         by(key, next));
    }
  }
  return "";
}

std::string TxnHistory::Check() {
  if (failure_.empty()) failure_ = CheckValues();
  NoteSeen();
  for (std::size_t i = 0; i < runs_.size() && failure_.empty(); ++i) failure_ = CheckRun(runs_[i]);
  return failure_;
}

}  // namespace flotilla::sim
