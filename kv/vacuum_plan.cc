#include "kv/vacuum_plan.h"

#include <algorithm>
#include <utility>

namespace flotilla::kv {
namespace {

// Tables and the keys that they span.
struct Cluster {
  std::vector<const VersionTable*> tables;
  std::string first;
  std::string last;

  bool Overlaps(const VersionTable& table) const {
    return table.first <= last && table.last >= first;
  }
  void Add(const VersionTable& table) {
    first = tables.empty() ? table.first : std::min(first, table.first);
    last = tables.empty() ? table.last : std::max(last, table.last);
    tables.push_back(&table);
  }
  bool busy() const {
    return std::ranges::any_of(tables, [](const VersionTable* table) { return table->busy; });
  }
};

bool Worthwhile(const Cluster& cluster, const VacuumRules& rules) {
  std::uint64_t due = 0;
  std::uint64_t versions = 0;
  bool levels = false;
  for (const VersionTable* table : cluster.tables) {
    due += DueVersions(table->counts, rules.safe_point, rules.tombstone_point);
    versions += table->counts.versions;
    levels |= table->level != cluster.tables.front()->level || table->level == 0;
  }
  if (rules.thorough) return due > 0 || (levels && cluster.tables.size() > 1);
  return due > 0 && static_cast<double>(due) >= rules.fraction_min * static_cast<double>(versions);
}

VacuumSlice SliceOf(const Cluster& cluster, int output_level, const VacuumRules& rules) {
  VacuumSlice slice;
  for (const VersionTable* table : cluster.tables) {
    slice.tables.push_back(table->number);
    slice.bytes += table->bytes;
  }
  slice.output_level = output_level;
  slice.complete = output_level == rules.last_level;
  slice.after = {.level0_done = true, .from = cluster.last + '\0'};
  return slice;
}

// Those of the levels from 1 to `level_max` that overlap the cluster, and what overlaps them.
void Close(const std::vector<VersionTable>& tables, int level_max, Cluster& cluster) {
  for (bool grown = true; grown;) {
    grown = false;
    for (const VersionTable& table : tables) {
      if (table.level == 0 || table.level > level_max || !cluster.Overlaps(table)) continue;
      if (std::ranges::find(cluster.tables, &table) != cluster.tables.end()) continue;
      cluster.Add(table);
      grown = true;
    }
  }
}

std::optional<VacuumSlice> Level0(const std::vector<VersionTable>& tables,
                                  const VacuumRules& rules) {
  Cluster cluster;
  for (const VersionTable& table : tables) {
    if (table.level == 0) cluster.Add(table);
  }
  if (cluster.tables.empty()) return std::nullopt;
  const bool worthwhile = Worthwhile(cluster, rules);
  Close(tables, rules.base_level, cluster);
  if ((!worthwhile && !Worthwhile(cluster, rules)) || cluster.busy()) return std::nullopt;
  VacuumSlice slice = SliceOf(cluster, rules.base_level, rules);
  slice.after.from.clear();
  return slice;
}

}  // namespace

std::uint64_t DueVersions(const VersionCounts& counts, Timestamp safe_point,
                          Timestamp tombstone_point) {
  return counts.dead.Until(safe_point) + counts.tombstones.Until(tombstone_point);
}

std::optional<VacuumSlice> PlanSlice(const std::vector<VersionTable>& tables,
                                     const VacuumCursor& cursor, const VacuumRules& rules) {
  if (!cursor.level0_done) {
    if (std::optional<VacuumSlice> slice = Level0(tables, rules)) return slice;
  }
  std::vector<const VersionTable*> in_order;
  for (const VersionTable& table : tables) {
    if (table.level > 0 && table.first >= cursor.from) in_order.push_back(&table);
  }
  std::ranges::sort(in_order, {}, [](const VersionTable* table) {
    return std::pair(std::string_view(table->first), table->number);
  });
  std::string past;
  for (const VersionTable* table : in_order) {
    if (!past.empty() && table->first <= past) continue;  // of the cluster before
    Cluster cluster;
    cluster.Add(*table);
    Close(tables, rules.last_level, cluster);
    past = cluster.last;
    if (!cluster.busy() && Worthwhile(cluster, rules)) {
      return SliceOf(cluster, rules.last_level, rules);
    }
  }
  return std::nullopt;
}

}  // namespace flotilla::kv
