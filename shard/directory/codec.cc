#include "shard/directory/codec.h"

#include <spdlog/fmt/fmt.h>

#include <limits>
#include <utility>

#include "base/coding.h"

namespace flotilla {
namespace {

constexpr std::uint8_t kFormat = 1;
constexpr std::string_view kKeyspacePrefix = "keyspace/";
constexpr std::string_view kShardPrefix = "shard/";
constexpr std::string_view kNodePrefix = "node/";
constexpr std::string_view kJobPrefix = "job/";
constexpr std::string_view kCountersKey = "next";
constexpr std::string_view kWindowKey = "timestamp";
// More in one list is not ours.
constexpr std::uint64_t kListMax = 10'000;

std::string IdKey(std::string_view prefix, std::uint64_t id) {
  std::string key(prefix);
  AppendOrdered64(key, id);
  return key;
}

class Writer {
 public:
  Writer() { bytes_.push_back(static_cast<char>(kFormat)); }

  template <class Id>
  Writer& Put(Id id)
    requires requires { id.value(); }
  {
    AppendVarint(bytes_, id.value());
    return *this;
  }
  Writer& Put(std::uint64_t number) {
    AppendVarint(bytes_, number);
    return *this;
  }
  Writer& Put(std::string_view text) {
    AppendPrefixed(bytes_, text);
    return *this;
  }
  Writer& Put(const Labels& labels) {
    Put(labels.size());
    for (const auto& [name, value] : labels) Put(name).Put(value);
    return *this;
  }
  Writer& Put(const std::set<NodeId>& nodes) {
    Put(nodes.size());
    for (const NodeId node : nodes) Put(node);
    return *this;
  }
  Writer& Put(const std::vector<std::string>& texts) {
    Put(texts.size());
    for (const std::string& text : texts) Put(text);
    return *this;
  }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Every Get() after one that failed fails too.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : reader_(bytes) {
    std::uint8_t format = 0;
    good_ = reader_.Byte(format) && format == kFormat;
  }

  bool complete() const { return good_ && reader_.empty(); }

  template <class Id>
  Fields& Get(Id& id)
    requires requires { id.value(); }
  {
    std::uint64_t number = 0;
    Get(number);
    using Value = decltype(id.value());
    good_ = good_ && number <= std::numeric_limits<Value>::max();
    id = Id(static_cast<Value>(number));
    return *this;
  }
  Fields& Get(std::uint64_t& number) {
    good_ = good_ && reader_.Varint(number);
    return *this;
  }
  Fields& Get(std::uint32_t& number) {
    std::uint64_t wide = 0;
    Get(wide);
    good_ = good_ && wide <= UINT32_MAX;
    number = static_cast<std::uint32_t>(wide);
    return *this;
  }
  Fields& Get(bool& flag) {
    std::uint64_t number = 0;
    Get(number);
    good_ = good_ && number <= 1;
    flag = number == 1;
    return *this;
  }
  Fields& Get(Duration& span) {
    std::uint64_t number = 0;
    Get(number);
    good_ = good_ && number <= static_cast<std::uint64_t>(Duration::max().count());
    span = Duration(static_cast<Duration::rep>(number));
    return *this;
  }
  // An enum whose values run from 1 to `last`.
  template <class Enum>
  Fields& Get(Enum& value, Enum last) {
    std::uint64_t number = 0;
    Get(number);
    good_ = good_ && number >= 1 && number <= static_cast<std::uint64_t>(last);
    value = static_cast<Enum>(number);
    return *this;
  }
  Fields& Get(std::string& text) {
    std::string_view view;
    good_ = good_ && reader_.Prefixed(view);
    text = view;
    return *this;
  }
  Fields& Get(Labels& labels) {
    return List([&] {
      std::string name;
      Get(name).Get(labels[name]);
    });
  }
  Fields& Get(std::set<NodeId>& nodes) {
    return List([&] {
      NodeId node;
      Get(node);
      nodes.insert(node);
    });
  }
  Fields& Get(std::vector<std::string>& texts) {
    return List([&] { Get(texts.emplace_back()); });
  }

 private:
  template <class One>
  Fields& List(One one) {
    std::uint64_t count = 0;
    Get(count);
    good_ = good_ && count <= kListMax;
    for (std::uint64_t i = 0; i < count && good_; ++i) one();
    return *this;
  }

  Reader reader_;
  bool good_ = false;
};

struct Encoder {
  std::string operator()(const KeyspaceDescriptor& one) const {
    return Writer()
        .Put(one.id)
        .Put(one.name)
        .Put(static_cast<std::uint64_t>(one.partitioning))
        .Put(one.replicas)
        .Put(one.apart)
        .Put(one.require)
        .Put(one.shards_min)
        .Put(static_cast<std::uint64_t>(one.retention.count()))
        .Put(one.dropping)
        .Take();
  }
  std::string operator()(const ShardDescriptor& one) const {
    return Writer()
        .Put(one.group)
        .Put(one.keyspace)
        .Put(one.start)
        .Put(one.end)
        .Put(one.epoch)
        .Put(one.voters)
        .Put(one.learners)
        .Put(one.pinned)
        .Take();
  }
  std::string operator()(const NodeRecord& one) const {
    return Writer()
        .Put(one.node)
        .Put(one.uuid)
        .Put(one.address)
        .Put(one.labels)
        .Put(one.weight)
        .Put(one.disk_bytes)
        .Put(static_cast<std::uint64_t>(one.role))
        .Take();
  }
  std::string operator()(const JobRecord& one) const {
    return Writer()
        .Put(one.id)
        .Put(static_cast<std::uint64_t>(one.kind))
        .Put(static_cast<std::uint64_t>(one.state))
        .Put(one.step)
        .Put(one.group)
        .Put(one.other)
        .Put(one.key)
        .Put(one.from)
        .Put(one.to)
        .Put(one.keyspace)
        .Put(one.reason)
        .Put(one.error)
        .Put(one.created)
        .Put(one.updated)
        .Take();
  }
  std::string operator()(const Counters& one) const {
    return Writer()
        .Put(one.next_keyspace)
        .Put(one.next_group)
        .Put(one.next_job)
        .Put(one.next_node)
        .Put(one.edition)
        .Take();
  }
  std::string operator()(const TimestampWindow& one) const { return Writer().Put(one.end).Take(); }
};

void Decode(Fields& in, KeyspaceDescriptor& one) {
  in.Get(one.id)
      .Get(one.name)
      .Get(one.partitioning, Partitioning::kHash)
      .Get(one.replicas)
      .Get(one.apart)
      .Get(one.require)
      .Get(one.shards_min)
      .Get(one.retention)
      .Get(one.dropping);
}

void Decode(Fields& in, ShardDescriptor& one) {
  in.Get(one.group)
      .Get(one.keyspace)
      .Get(one.start)
      .Get(one.end)
      .Get(one.epoch)
      .Get(one.voters)
      .Get(one.learners)
      .Get(one.pinned);
}

void Decode(Fields& in, NodeRecord& one) {
  in.Get(one.node)
      .Get(one.uuid)
      .Get(one.address)
      .Get(one.labels)
      .Get(one.weight)
      .Get(one.disk_bytes)
      .Get(one.role, NodeRole::kDecommissioned);
}

void Decode(Fields& in, JobRecord& one) {
  in.Get(one.id)
      .Get(one.kind, JobKind::kDropKeyspace)
      .Get(one.state, JobState::kFailed)
      .Get(one.step)
      .Get(one.group)
      .Get(one.other)
      .Get(one.key)
      .Get(one.from)
      .Get(one.to)
      .Get(one.keyspace)
      .Get(one.reason)
      .Get(one.error)
      .Get(one.created)
      .Get(one.updated);
}

void Decode(Fields& in, Counters& one) {
  in.Get(one.next_keyspace)
      .Get(one.next_group)
      .Get(one.next_job)
      .Get(one.next_node)
      .Get(one.edition);
}

void Decode(Fields& in, TimestampWindow& one) { in.Get(one.end); }

template <class Row>
StatusOr<DirectoryRow> DecodeAs(std::string_view key, std::string_view value) {
  Row row;
  Fields fields(value);
  Decode(fields, row);
  if (fields.complete() && RowKey(DirectoryRow(row)) == key) return DirectoryRow(std::move(row));
  return Error(Reason::kDataDamaged,
               fmt::format("the directory's row {} is damaged, or of a newer version",
                           key.substr(0, key.find('/'))));
}

}  // namespace

std::string RowKey(kv::KeyspaceId keyspace) { return IdKey(kKeyspacePrefix, keyspace.value()); }
std::string RowKey(GroupId group) { return IdKey(kShardPrefix, group.value()); }
std::string RowKey(NodeId node) { return IdKey(kNodePrefix, node.value()); }
std::string RowKey(JobId job) { return IdKey(kJobPrefix, job.value()); }

std::string RowKey(const DirectoryRow& row) {
  struct Namer {
    std::string operator()(const KeyspaceDescriptor& one) const { return RowKey(one.id); }
    std::string operator()(const ShardDescriptor& one) const { return RowKey(one.group); }
    std::string operator()(const NodeRecord& one) const { return RowKey(one.node); }
    std::string operator()(const JobRecord& one) const { return RowKey(one.id); }
    std::string operator()(const Counters&) const { return std::string(kCountersKey); }
    std::string operator()(const TimestampWindow&) const { return std::string(kWindowKey); }
  };
  return std::visit(Namer(), row);
}

std::string EncodeRow(const DirectoryRow& row) { return std::visit(Encoder(), row); }

StatusOr<RowId> ParseRowKey(std::string_view key) {
  if (key == kCountersKey) return RowId{.kind = RowKind::kCounters, .number = 0};
  if (key == kWindowKey) return RowId{.kind = RowKind::kWindow, .number = 0};
  const auto numbered = [&](std::string_view prefix, RowKind kind) -> std::optional<RowId> {
    if (!key.starts_with(prefix)) return std::nullopt;
    Reader reader(key.substr(prefix.size()));
    RowId id{.kind = kind, .number = 0};
    if (!reader.Ordered64(id.number) || !reader.empty()) return std::nullopt;
    return id;
  };
  for (const auto& [prefix, kind] :
       {std::pair(kKeyspacePrefix, RowKind::kKeyspace), std::pair(kShardPrefix, RowKind::kShard),
        std::pair(kNodePrefix, RowKind::kNode), std::pair(kJobPrefix, RowKind::kJob)}) {
    if (const std::optional<RowId> id = numbered(prefix, kind)) return *id;
  }
  return Error(Reason::kDataDamaged, "the directory has a row of a kind that nobody knows");
}

StatusOr<DirectoryRow> DecodeRow(std::string_view key, std::string_view value) {
  ASSIGN_OR_RETURN(const RowId id, ParseRowKey(key));
  switch (id.kind) {
    case RowKind::kKeyspace:
      return DecodeAs<KeyspaceDescriptor>(key, value);
    case RowKind::kShard:
      return DecodeAs<ShardDescriptor>(key, value);
    case RowKind::kNode:
      return DecodeAs<NodeRecord>(key, value);
    case RowKind::kJob:
      return DecodeAs<JobRecord>(key, value);
    case RowKind::kCounters:
      return DecodeAs<Counters>(key, value);
    case RowKind::kWindow:
      return DecodeAs<TimestampWindow>(key, value);
  }
  return Error(Reason::kInternal, "a row of no kind");
}

}  // namespace flotilla
