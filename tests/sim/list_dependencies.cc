#include "tests/sim/list_dependencies.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/check.h"

namespace flotilla::sim {

const char* NameOf(ListAnomalyKind kind) {
  switch (kind) {
    case ListAnomalyKind::kMadeUp:
      return "made up";
    case ListAnomalyKind::kInternal:
      return "internal";
    case ListAnomalyKind::kAbortedRead:
      return "G1a: aborted read";
    case ListAnomalyKind::kIntermediateRead:
      return "G1b: intermediate read";
    case ListAnomalyKind::kLostUpdate:
      return "P4: lost update";
    case ListAnomalyKind::kStaleRead:
      return "stale read";
    case ListAnomalyKind::kDirtyWrite:
      return "G0: dirty write";
    case ListAnomalyKind::kCircular:
      return "G1c: circular information flow";
    case ListAnomalyKind::kReadSkew:
      return "G-single: read skew";
    case ListAnomalyKind::kLongFork:
      return "G-nonadjacent: long fork";
    case ListAnomalyKind::kWriteSkew:
      return "G2: write skew";
  }
  return "";
}

ListDependencies::ListDependencies(const std::vector<ListTxn>& history)
    : history_(history), seen_(history.size()), committed_(history.size()) {
  NoteVersions();
  for (std::size_t txn = 0; txn < history_.size(); ++txn) NoteReads(txn);
  Depend();
  DependOnTime();
}

std::string ListDependencies::Name(std::size_t txn) const {
  constexpr const char* kLevels[] = {"?", "read uncommitted", "read committed", "repeatable read",
                                     "serializable"};
  const ListTxn& one = history_[txn];
  return fmt::format("transaction {} ({}{}{})", one.number,
                     kLevels[static_cast<std::size_t>(one.isolation)],
                     one.read_only ? ", read-only" : "", one.locks ? ", locks" : "");
}

void ListDependencies::NoteVersions() {
  for (std::size_t txn = 0; txn < history_.size(); ++txn) {
    committed_[txn] = history_[txn].fate == ListFate::kCommitted;
    std::map<std::string, ListElement> last;
    for (const ListStep& step : history_[txn].steps) {
      if (!step.appended) continue;
      Version version{.writer = txn, .key = step.key, .list = step.found};
      version.list.push_back(*step.appended);
      const bool first = versions_.emplace(*step.appended, std::move(version)).second;
      CHECK(first) << "element " << *step.appended << " was appended twice";
      if (const auto before = last.find(step.key); before != last.end()) {
        versions_.at(before->second).final = false;
      }
      last[step.key] = *step.appended;
    }
  }
}

void ListDependencies::NoteReads(std::size_t txn) {
  const bool doomed = history_[txn].locks && history_[txn].fate != ListFate::kCommitted;
  const bool snapshot = ReadsSnapshot(history_[txn]) && !doomed;
  std::map<std::string, List> own;    // as its last append left it
  std::map<std::string, List> first;  // as it found it first
  for (const ListStep& step : history_[txn].steps) {
    if (const auto mine = own.find(step.key); mine != own.end()) {
      if (step.found != mine->second) {
        Report(ListAnomalyKind::kInternal,
               fmt::format("{} appended to '{}', which made it {}, and found {}", Name(txn),
                           step.key, mine->second, step.found));
      }
    } else {
      const auto [before, is_first] = first.emplace(step.key, step.found);
      if (snapshot && !is_first && before->second != step.found) {
        Report(ListAnomalyKind::kInternal,
               fmt::format("{} found {} in '{}', and then {}", Name(txn), before->second, step.key,
                           step.found));
      }
      Look(txn, step);
    }
    if (!step.appended) continue;
    List after = step.found;
    after.push_back(*step.appended);
    own[step.key] = std::move(after);
  }
}

void ListDependencies::Look(std::size_t txn, const ListStep& step) {
  const ListElement last = step.found.empty() ? 0 : step.found.back();
  seen_[txn].push_back({.version = {step.key, last}, .appended = step.appended.has_value()});
  if (last == 0) return;
  const auto known = versions_.find(last);
  if (known == versions_.end() || known->second.key != step.key ||
      known->second.list != step.found) {
    Report(ListAnomalyKind::kMadeUp, fmt::format("{} found {} in '{}', which nobody has written",
                                                 Name(txn), step.found, step.key));
    seen_[txn].pop_back();
    return;
  }
  const Version& version = known->second;
  if (!version.final) {
    Report(ListAnomalyKind::kIntermediateRead,
           fmt::format("{} found {} in '{}', to which {} then appended more", Name(txn), step.found,
                       step.key, Name(version.writer)));
  }
  if (!ReadsCommitted(history_[txn])) return;
  if (history_[version.writer].fate == ListFate::kAborted) {
    Report(ListAnomalyKind::kAbortedRead,
           fmt::format("{} found {} in '{}', the end of which is of {}, which was not committed",
                       Name(txn), step.found, step.key, Name(version.writer)));
    return;
  }
  committed_[version.writer] = true;
}

void ListDependencies::Add(ListDependency::Kind kind, std::size_t from, std::size_t to,
                           const std::string& key) {
  if (from != to) all_.push_back({.kind = kind, .from = from, .to = to, .key = key});
}

void ListDependencies::Depend() {
  using Kind = ListDependency::Kind;
  std::map<Place, std::set<std::size_t>> followed_by;  // who wrote the versions after it
  for (std::size_t txn = 0; txn < history_.size(); ++txn) {
    if (!committed_[txn]) continue;
    for (const Seen& seen : seen_[txn]) {
      if (seen.appended) followed_by[seen.version].insert(txn);
    }
  }
  for (std::size_t txn = 0; txn < history_.size(); ++txn) {
    if (!committed_[txn]) continue;
    for (const Seen& seen : seen_[txn]) {
      const auto& [key, last] = seen.version;
      if (last != 0) {
        const std::size_t writer = versions_.at(last).writer;
        if (committed_[writer]) {
          if (seen.appended) Add(Kind::kWw, writer, txn, key);
          Add(Kind::kWr, writer, txn, key);
        }
      }
      for (const std::size_t next : followed_by[seen.version]) {
        Add(Kind::kRw, txn, next, key);
        const ListTxn& writer = history_[next];
        if (next != txn && writer.ended && *writer.ended < history_[txn].begun) {
          Report(ListAnomalyKind::kStaleRead,
                 fmt::format("{} did not see what {} had appended to '{}' {} us before it began",
                             Name(txn), Name(next), key,
                             (history_[txn].begun - *writer.ended).count() / 1000));
        }
      }
    }
  }
  for (const auto& [place, writers] : followed_by) {
    std::vector<std::string> names;
    for (const std::size_t txn : writers) {
      if (history_[txn].isolation >= kv::Isolation::kRepeatableRead) names.push_back(Name(txn));
    }
    if (names.size() < 2) continue;
    Report(ListAnomalyKind::kLostUpdate, fmt::format("{} appended to the same version of '{}'",
                                                     fmt::join(names, " and "), place.first));
  }
}

// Edges from those alone that ended last, of those that had ended by then: the others follow.
void ListDependencies::DependOnTime() {
  struct Event {
    MonoTime at;
    bool ends;
    std::size_t txn;
  };
  std::vector<Event> events;
  for (std::size_t txn = 0; txn < history_.size(); ++txn) {
    if (!committed_[txn]) continue;
    events.push_back({history_[txn].begun, false, txn});
    if (history_[txn].ended) events.push_back({*history_[txn].ended, true, txn});
  }
  std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
    return std::tie(a.at, a.ends, a.txn) < std::tie(b.at, b.ends, b.txn);
  });
  std::set<std::size_t> last;
  std::map<std::size_t, std::vector<std::size_t>> before;
  for (const Event& event : events) {
    if (event.ends) {
      for (const std::size_t one : before[event.txn]) last.erase(one);
      last.insert(event.txn);
      continue;
    }
    before[event.txn].assign(last.begin(), last.end());
    for (const std::size_t one : last) Add(ListDependency::Kind::kRt, one, event.txn);
  }
}

}  // namespace flotilla::sim
