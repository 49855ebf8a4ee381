#include "tests/sim/list_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>

#include "tests/sim/cycles.h"

namespace flotilla::sim {
namespace {

using Kind = ListDependency::Kind;

bool Wrote(const ListTxn& txn) {
  return std::any_of(txn.steps.begin(), txn.steps.end(),
                     [](const ListStep& step) { return step.appended.has_value(); });
}

class Cycles {
 public:
  explicit Cycles(const std::vector<ListTxn>& history)
      : history_(history), dependencies_(history) {}

  std::optional<ListAnomaly> Find() {
    if (!dependencies_.anomalies().empty()) return dependencies_.anomalies().front();
    const auto any = [](const ListDependency&) { return true; };
    const auto is_rw = [](const ListDependency& one) { return one.kind == Kind::kRw; };
    const auto writes = [](const ListDependency& one) {
      return one.kind == Kind::kWw || one.kind == Kind::kRt;
    };
    if (auto found = FindIn(writes, any)) return Report(ListAnomalyKind::kDirtyWrite, *found);
    const auto flows = [&](const ListDependency& one) {
      return writes(one) || (one.kind == Kind::kWr && ReadsCommitted(history_[one.to]));
    };
    if (auto found = FindIn(flows, any)) return Report(ListAnomalyKind::kCircular, *found);
    const auto snapshots = [&](const ListDependency& one) {
      return flows(one) || (is_rw(one) && ReadsSnapshot(history_[one.from]));
    };
    if (auto found = FindApart(snapshots)) {
      const auto rws = std::count_if(found->begin(), found->end(), [&](const Edge& edge) {
        return is_rw(dependencies_.all()[edge.label]);
      });
      return Report(rws == 1 ? ListAnomalyKind::kReadSkew : ListAnomalyKind::kLongFork, *found);
    }
    const auto serial = [&](const ListDependency& one) {
      return flows(one) || (is_rw(one) && IsSerial(history_[one.from]));
    };
    if (auto found = FindIn(serial, is_rw)) return Report(ListAnomalyKind::kWriteSkew, *found);
    return std::nullopt;
  }

 private:
  using Accepts = std::function<bool(const ListDependency&)>;

  // All of it is at one moment.
  static bool IsSerial(const ListTxn& txn) {
    return txn.isolation == kv::Isolation::kSerializable || (ReadsSnapshot(txn) && !Wrote(txn));
  }

  std::optional<std::vector<Edge>> FindIn(const Accepts& counts, const Accepts& through) const {
    std::vector<Edge> edges;
    for (std::size_t i = 0; i < dependencies_.all().size(); ++i) {
      const ListDependency& one = dependencies_.all()[i];
      if (counts(one)) edges.push_back({.from = one.from, .to = one.to, .label = i});
    }
    std::vector<Edge> cycle = FindCycle(history_.size(), edges, [&](const Edge& edge) {
      return through(dependencies_.all()[edge.label]);
    });
    if (cycle.empty()) return std::nullopt;
    return cycle;
  }

  // With some rw, no two of them one after the other: in a graph that has every transaction twice,
  // once for who comes there by an rw.
  std::optional<std::vector<Edge>> FindApart(const Accepts& counts) const {
    const std::size_t n = history_.size();
    std::vector<Edge> edges;
    for (std::size_t i = 0; i < dependencies_.all().size(); ++i) {
      const ListDependency& one = dependencies_.all()[i];
      if (!counts(one)) continue;
      if (one.kind == Kind::kRw) {
        edges.push_back({.from = one.from, .to = n + one.to, .label = i});
      } else {
        edges.push_back({.from = one.from, .to = one.to, .label = i});
        edges.push_back({.from = n + one.from, .to = one.to, .label = i});
      }
    }
    std::vector<Edge> cycle = FindCycle(2 * n, edges, [&](const Edge& edge) {
      return dependencies_.all()[edge.label].kind == Kind::kRw;
    });
    if (cycle.empty()) return std::nullopt;
    return cycle;
  }

  ListAnomaly Report(ListAnomalyKind kind, const std::vector<Edge>& cycle) const {
    static constexpr const char* kNames[] = {"ww", "wr", "rw", "rt"};
    std::string how;
    for (const Edge& edge : cycle) {
      const ListDependency& one = dependencies_.all()[edge.label];
      how += fmt::format("{} ({}) -{}{}{}-> ", history_[one.from].number,
                         static_cast<int>(history_[one.from].isolation),
                         kNames[static_cast<std::size_t>(one.kind)], one.key.empty() ? "" : " ",
                         one.key);
    }
    const ListDependency& first = dependencies_.all()[cycle.front().label];
    return {kind, how + std::to_string(history_[first.from].number)};
  }

  const std::vector<ListTxn>& history_;
  const ListDependencies dependencies_;
};

}  // namespace

std::optional<ListAnomaly> FindAnomaly(const std::vector<ListTxn>& history) {
  return Cycles(history).Find();
}

}  // namespace flotilla::sim
