#include "cmd/kvd/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>
#include <vector>

#include "base/timestamp.h"

namespace flotilla {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using MetricLabels = std::vector<ClientMetric::Label>;

constexpr std::array<const char*, kMethods> kMethodNames{
    "Get",   "BatchGet", "Put",       "Delete",  "DeleteRange", "CompareAndSet",
    "Batch", "Scan",     "Aggregate", "Execute", "History"};

class Families {
 public:
  void Gauge(const std::string& name, const std::string& help, double value,
             MetricLabels labels = {}) {
    Add(name, help, MetricType::Gauge, std::move(labels)).gauge.value = value;
  }
  void Counter(const std::string& name, const std::string& help, double value,
               MetricLabels labels = {}) {
    Add(name, help, MetricType::Counter, std::move(labels)).counter.value = value;
  }
  ClientMetric& Histogram(const std::string& name, const std::string& help, MetricLabels labels) {
    return Add(name, help, MetricType::Histogram, std::move(labels));
  }
  std::string Text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  ClientMetric& Add(const std::string& name, const std::string& help, MetricType type,
                    MetricLabels labels) {
    MetricFamily* family = nullptr;
    for (MetricFamily& one : families_) {
      if (one.name == name) family = &one;
    }
    if (family == nullptr) {
      families_.push_back({name, help, type, {}});
      family = &families_.back();
    }
    ClientMetric& metric = family->metric.emplace_back();
    metric.label = std::move(labels);
    return metric;
  }

  std::vector<MetricFamily> families_;
};

// A series of each for so many groups, those with the lowest numbers; of all there are sums.
constexpr std::size_t kGroupsShown = 16;

void AddSums(Families& out, const std::vector<GroupInfo>& groups) {
  double led = 0;
  double quiescent = 0;
  double leaderless = 0;
  double keys = 0;
  double disk_bytes = 0;
  double memtable_bytes = 0;
  double sessions = 0;
  double commands = 0;
  double lag_max = 0;
  double dead = 0;
  double dead_bytes = 0;
  double due = 0;
  double runs = 0;
  double running = 0;
  double vacuum_seconds = 0;
  double collected = 0;
  for (const GroupInfo& group : groups) {
    led += group.core.role == raft::Role::kLeader ? 1 : 0;
    quiescent += group.core.quiescent ? 1 : 0;
    leaderless += group.core.leader ? 0 : 1;
    keys += static_cast<double>(group.sizes.keys_estimate);
    disk_bytes += static_cast<double>(group.sizes.disk_bytes);
    memtable_bytes += static_cast<double>(group.sizes.memtable_bytes);
    sessions += static_cast<double>(group.counts.sessions);
    commands += static_cast<double>(group.counts.applied_commands);
    dead += static_cast<double>(group.versions.dead);
    dead_bytes += static_cast<double>(group.versions.dead_bytes);
    due += static_cast<double>(group.versions.due);
    runs += static_cast<double>(group.vacuum.runs);
    running += group.vacuum.running ? 1 : 0;
    vacuum_seconds += std::chrono::duration<double>(group.vacuum.took_total).count();
    collected += static_cast<double>(group.counts.versions_collected);
    for (const raft::FollowerProgress& follower : group.core.followers) {
      lag_max =
          std::max(lag_max, static_cast<double>(group.core.last.value() - follower.match.value()));
    }
  }
  out.Gauge("flotilla_groups", "Groups with a replica on this node",
            static_cast<double>(groups.size()));
  out.Gauge("flotilla_groups_led", "Groups that this node leads", led);
  out.Gauge("flotilla_groups_quiescent", "Groups that have fallen silent for want of work",
            quiescent);
  out.Gauge("flotilla_groups_without_leader", "Groups of which this node knows no leader",
            leaderless);
  out.Gauge("flotilla_groups_keys_estimate", "Keys of all groups, versions included; an estimate",
            keys);
  out.Gauge("flotilla_groups_disk_bytes", "Bytes of all state machines' files", disk_bytes);
  out.Gauge("flotilla_groups_memtable_bytes", "Bytes in memtables of all groups", memtable_bytes);
  out.Gauge("flotilla_groups_sessions", "Client sessions of all groups", sessions);
  out.Gauge("flotilla_groups_follower_lag_entries_max",
            "Entries that the follower lacks that lags most, of the groups led here", lag_max);
  out.Counter("flotilla_groups_applied_commands_total", "Commands applied by all groups", commands);
  out.Gauge("flotilla_vacuum_dead_versions",
            "Superseded versions in files of all groups, as far as each file tells", dead);
  out.Gauge("flotilla_vacuum_dead_bytes", "Bytes of their keys and values, uncompressed",
            dead_bytes);
  out.Gauge("flotilla_vacuum_due_versions",
            "Those, and deletions, that neither retention nor readers keep", due);
  out.Counter("flotilla_vacuum_runs_total", "Vacuums of a group that have ended", runs);
  out.Gauge("flotilla_vacuum_running", "Vacuums under way", running);
  out.Counter("flotilla_vacuum_seconds_total", "Time that vacuums took, their rests included",
              vacuum_seconds);
  out.Counter("flotilla_vacuum_collected_versions_total",
              "Versions dropped, by vacuums and by other compactions", collected);
}

// Who holds the collectors up is named by `kvctl vacuum status`.
void AddReader(Families& out, const NodeInfo& node) {
  std::uint64_t now_ms = 0;
  for (const GroupInfo& group : node.groups) {
    now_ms = std::max(now_ms, MillisecondsOf(group.last_timestamp));
  }
  double age = 0;
  if (node.oldest_reader) {
    const std::uint64_t reads_at_ms = MillisecondsOf(node.oldest_reader->reads_at);
    age = static_cast<double>(now_ms - std::min(now_ms, reads_at_ms)) / 1000;
  }
  out.Gauge("flotilla_vacuum_oldest_reader_age_seconds",
            "How far back the oldest transaction reads that this node has heard of; 0: none", age);
  out.Gauge("flotilla_vacuum_oldest_reader_node", "The node that coordinates it; 0: none",
            node.oldest_reader ? static_cast<double>(node.oldest_reader->node.value()) : 0);
}

void AddGroup(Families& out, const GroupInfo& group) {
  const MetricLabels labels{{"group", std::to_string(group.group.value())}};
  const auto gauge = [&](const char* name, const char* help, std::uint64_t value) {
    out.Gauge(name, help, static_cast<double>(value), labels);
  };
  gauge("flotilla_raft_term", "Current term", group.core.term.value());
  gauge("flotilla_raft_leader", "1 when this node leads the group",
        group.core.role == raft::Role::kLeader ? 1 : 0);
  gauge("flotilla_raft_leader_node", "The leader's node id; 0 when none is known",
        group.core.leader.value());
  gauge("flotilla_raft_last_index", "Last index of the log", group.core.last.value());
  gauge("flotilla_raft_commit_index", "Commit index", group.core.commit.value());
  gauge("flotilla_raft_applied_index", "Applied index", group.applied.value());
  gauge("flotilla_raft_snapshot_index", "Index before the first one in the log",
        group.core.snapshot.index.value());
  gauge("flotilla_kv_keys_estimate", "Keys, versions included; an estimate",
        group.sizes.keys_estimate);
  gauge("flotilla_kv_disk_bytes", "Bytes of the state machine's files", group.sizes.disk_bytes);
  gauge("flotilla_kv_memtable_bytes", "Bytes in memtables", group.sizes.memtable_bytes);
  gauge("flotilla_kv_sessions", "Client sessions", group.counts.sessions);
  out.Counter("flotilla_kv_applied_commands_total", "Commands applied",
              static_cast<double>(group.counts.applied_commands), labels);
  out.Counter("flotilla_kv_versions_collected_total", "Old versions collected",
              static_cast<double>(group.counts.versions_collected), labels);
  for (const raft::FollowerProgress& follower : group.core.followers) {
    MetricLabels of_follower = labels;
    of_follower.push_back({"follower", std::to_string(follower.node.value())});
    out.Gauge("flotilla_raft_follower_lag_entries", "Entries that a follower lacks",
              static_cast<double>(group.core.last.value() - follower.match.value()),
              std::move(of_follower));
  }
}

}  // namespace

void RequestMetrics::Count(Method method, const Status& status, Duration took) {
  PerMethod& one = methods_[static_cast<std::size_t>(method)];
  (status.ok() ? one.ok : one.failed).fetch_add(1, std::memory_order_relaxed);
  one.nanoseconds.fetch_add(static_cast<std::uint64_t>(took.count()), std::memory_order_relaxed);
  const double seconds = std::chrono::duration<double>(took).count();
  std::size_t bucket = 0;
  while (bucket < kBounds.size() && seconds > kBounds[bucket]) ++bucket;
  one.buckets[bucket].fetch_add(1, std::memory_order_relaxed);
}

MetricsPage::Process MetricsPage::ReadProcess() {
  Process process;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    process.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total_pages = 0;
  std::uint64_t resident_pages = 0;
  if (statm >> total_pages >> resident_pages) {
    process.resident_bytes = resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  }
  return process;
}

std::string MetricsPage::Render(const RequestMetrics& requests, const NodeInfo& node) {
  Families out;
  for (std::size_t i = 0; i < kMethods; ++i) {
    const RequestMetrics::PerMethod& one = requests.methods_[i];
    const MetricLabels method{{"method", kMethodNames[i]}};
    for (const auto& [result, count] :
         {std::pair("ok", one.ok.load()), std::pair("error", one.failed.load())}) {
      MetricLabels labels = method;
      labels.push_back({"result", result});
      out.Counter("flotilla_requests_total", "Unary requests and scans", static_cast<double>(count),
                  std::move(labels));
    }
    ClientMetric::Histogram& histogram =
        out.Histogram("flotilla_request_duration_seconds", "From arrival to answer", method)
            .histogram;
    std::uint64_t cumulative = 0;
    for (std::size_t bucket = 0; bucket <= RequestMetrics::kBounds.size(); ++bucket) {
      cumulative += one.buckets[bucket].load();
      const double bound = bucket < RequestMetrics::kBounds.size()
                               ? RequestMetrics::kBounds[bucket]
                               : std::numeric_limits<double>::infinity();
      histogram.bucket.push_back({cumulative, bound});
    }
    histogram.sample_count = cumulative;
    histogram.sample_sum = static_cast<double>(one.nanoseconds.load()) / 1e9;
  }
  out.Counter("flotilla_pipelined_requests_total", "Requests that came on streams",
              static_cast<double>(requests.pipelined_.load()));
  out.Gauge("flotilla_node_id", "This node's id; 0 until it is a member",
            static_cast<double>(node.node.value()));
  out.Gauge("flotilla_log_segments", "Segments of the log", static_cast<double>(node.log.segments));
  out.Gauge("flotilla_log_live_bytes", "Bytes of log that are still needed",
            static_cast<double>(node.log.live_bytes));
  out.Gauge("flotilla_log_pending_bytes", "Bytes that wait for the log's writer",
            static_cast<double>(node.log.pending_bytes));
  out.Counter("flotilla_log_appended_bytes_total", "Bytes written to the log",
              static_cast<double>(node.log.appended_bytes));
  out.Counter("flotilla_log_entries_total", "Entries written to the log",
              static_cast<double>(node.log.entries));
  out.Counter("flotilla_log_syncs_total", "Syncs of the log", static_cast<double>(node.log.syncs));
  out.Counter("flotilla_log_sync_seconds_total", "Time spent in syncs of the log",
              std::chrono::duration<double>(node.log.sync_time_total).count());
  AddSums(out, node.groups);
  AddReader(out, node);
  std::vector<const GroupInfo*> shown;
  for (const GroupInfo& group : node.groups) shown.push_back(&group);
  std::sort(shown.begin(), shown.end(),
            [](const GroupInfo* a, const GroupInfo* b) { return a->group < b->group; });
  shown.resize(std::min(shown.size(), kGroupsShown));
  for (const GroupInfo* group : shown) AddGroup(out, *group);
  const Process process = ReadProcess();
  out.Counter("process_cpu_seconds_total", "CPU time of this process", process.cpu_seconds);
  out.Gauge("process_resident_memory_bytes", "Resident memory of this process",
            static_cast<double>(process.resident_bytes));
  return out.Text();
}

}  // namespace flotilla
