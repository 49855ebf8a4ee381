#include "tests/kv/machine.h"

#include <algorithm>

namespace flotilla::kv {
namespace {

template <class Base, class Result>
class Collecting final : public Base {
 public:
  explicit Collecting(std::optional<Result>* result) : result_(result) {}
  void Complete(std::conditional_t<std::is_same_v<Base, WriteProposal>, Result, const Result&>
                    result) override {
    *result_ = std::move(result);
  }
  void Fail(const Status&) override { ADD_FAILURE() << "a proposal failed"; }

 private:
  std::optional<Result>* const result_;
};

void SyncDirectory(sim::SimFileSystem& disk, const std::string& path) {
  const rocksdb::IOOptions io;
  std::unique_ptr<rocksdb::FSDirectory> directory;
  EXPECT_TRUE(disk.NewDirectory(path, io, &directory, nullptr).ok());
  EXPECT_TRUE(directory->Fsync(io, nullptr).ok());
}

void MakeDirectory(sim::SimFileSystem& disk, const std::string& path, const std::string& parent) {
  EXPECT_TRUE(disk.CreateDir(path, {}, nullptr).ok());
  SyncDirectory(disk, parent);
}

void RemoveTree(sim::SimFileSystem& disk, const std::string& path) {
  std::vector<std::string> names;
  EXPECT_TRUE(disk.GetChildren(path, {}, &names, nullptr).ok());
  for (const std::string& name : names) {
    const std::string inner = path + "/" + name;
    bool is_directory = false;
    EXPECT_TRUE(disk.IsDirectory(inner, {}, &is_directory, nullptr).ok());
    if (is_directory) {
      RemoveTree(disk, inner);
    } else {
      EXPECT_TRUE(disk.DeleteFile(inner, {}, nullptr).ok());
    }
  }
  EXPECT_TRUE(disk.DeleteDir(path, {}, nullptr).ok());
}

}  // namespace

Machine::Machine(StoreOptions options) : options_(std::move(options)) {
  options_.inline_background_work = true;
  if (options_.memtable_bytes > (1 << 20)) options_.memtable_bytes = 16 << 10;
  options_.directory_of = &DirectoryOf;
  options_.store_of = [this](GroupId group) {
    return stores_.contains(group) ? stores_.at(group) : nullptr;
  };
  options_.on_split = [this](GroupId child) { ++births_[child]; };
  MakeDirectory(*disk_, "/groups", "/");
  MakeDirectory(*disk_, DirectoryOf(kParent), "/groups");
  EXPECT_TRUE(PowerOn().ok());
}

Machine::~Machine() { stores_.clear(); }

std::string Machine::DirectoryOf(GroupId group) {
  return "/groups/" + std::to_string(group.value());
}

Status Machine::PowerOn() {
  env_ = std::make_unique<InlineEnv>(disk_, &clock_);
  resources_ = MakeStoreResources(
      env_.get(),
      {.cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20, .inline_background_work = true});
  return OpenAll();
}

Status Machine::OpenGroup(GroupId group) {
  StoreOptions options = options_;
  options.group = group;
  options.directory = DirectoryOf(group);
  ASSIGN_OR_RETURN(stores_[group], Store::Open(options, resources_));
  return absl::OkStatus();
}

Status Machine::OpenAll() {
  std::vector<std::string> names;
  if (!disk_->GetChildren("/groups", {}, &names, nullptr).ok()) {
    return Error(Reason::kInternal, "the groups cannot be listed");
  }
  for (const std::string& name : names) {
    const GroupId group(std::stoull(name));
    if (stores_.contains(group)) continue;
    const Status opened = OpenGroup(group);
    if (opened.ok()) continue;
    stores_.erase(group);
    return opened;
  }
  return absl::OkStatus();
}

void Machine::EndProcess() {
  stores_.clear();
  resources_ = {};
  env_ = nullptr;
}

void Machine::Kill() {
  disk_->SetCallHook(nullptr);
  disk_->Kill();
  EndProcess();
  disk_->PowerOn();
  const Status opened = PowerOn();
  ASSERT_TRUE(opened.ok()) << MessageOf(opened);
}

void Machine::LosePower(std::uint64_t seed) {
  Random random(seed);
  disk_->SetCallHook(nullptr);
  disk_->PowerOff();
  EndProcess();
  disk_->PowerCut(random);
  disk_->PowerOn();
}

void Machine::PowerCut(std::uint64_t seed) {
  LosePower(seed);
  const Status opened = PowerOn();
  ASSERT_TRUE(opened.ok()) << MessageOf(opened);
}

bool Machine::TryPowerCut(std::uint64_t seed, std::uint64_t cut_at) {
  LosePower(seed);
  CutAt(cut_at);
  const Status opened = PowerOn();
  disk_->SetCallHook(nullptr);
  return opened.ok();
}

void Machine::CutAt(std::uint64_t call) {
  const std::uint64_t before = disk_->calls();
  disk_->SetCallHook([this, before, call](const sim::DiskCall& made) {
    if (call == 0 || made.number - before < call) return rocksdb::IOStatus::OK();
    // RocksDB ends the process when it cannot read a file that it is about to take in.
    const bool taken_in = made.path.find("/taking/") != std::string_view::npos;
    if (taken_in && made.operation == sim::DiskOperation::kRead) return rocksdb::IOStatus::OK();
    disk_->PowerOff();
    return rocksdb::IOStatus::IOError("the power is gone");
  });
}

std::vector<GroupId> Machine::groups() const {
  std::vector<GroupId> out;
  for (const auto& [group, store] : stores_) out.push_back(group);
  return out;
}

GroupId Machine::Holder(std::string_view key) {
  GroupId holder;
  for (const auto& [group, store] : stores_) {
    if (!store->range().Contains(Encoded(key))) continue;
    EXPECT_FALSE(holder) << key << " has two groups";
    holder = group;
  }
  EXPECT_TRUE(holder) << key << " has no group";
  return holder;
}

void Machine::Log(GroupId group, raft::EntryKind kind, Bytes payload) {
  std::vector<raft::Entry>& log = logs_[group];
  log.push_back({.term = raft::Term(1),
                 .index = raft::Index(FirstIndex(group) + log.size()),
                 .kind = kind,
                 .payload = std::move(payload)});
}

void Machine::LogBatch(GroupId group, const std::vector<std::string>& commands,
                       std::uint64_t advance_ms) {
  timestamp_ = Timestamp(timestamp_.value() + (advance_ms << kTimestampCounterBits));
  CommandBatchWriter writer(timestamp_);
  for (const std::string& command : commands) writer.Add(command);
  Log(group, raft::EntryKind::kCommand, std::move(writer).Finish());
}

void Machine::LogWrite(GroupId group, const std::vector<CommandView>& commands,
                       std::uint64_t advance_ms) {
  std::vector<std::string> encoded;
  for (const CommandView& command : commands) encoded.push_back(EncodeCommand(command));
  LogBatch(group, encoded, advance_ms);
}

void Machine::LogSteps(GroupId group, const std::vector<TxnCommand>& steps,
                       std::uint64_t advance_ms) {
  std::vector<std::string> encoded;
  for (const TxnCommand& step : steps) encoded.push_back(EncodeTxnCommand(step));
  LogBatch(group, encoded, advance_ms);
}

void Machine::LogControl(GroupId group, Epoch expected, decltype(ControlCommand::change) change) {
  Log(group, raft::EntryKind::kControl,
      Bytes(EncodeControl({.expected_epoch = expected, .change = std::move(change)})));
}

Status Machine::ApplyLast(GroupId group, std::unique_ptr<raft::Proposal> proposal) {
  std::vector<raft::AppliedEntry> entries(1);
  entries[0].entry = logs_.at(group).back();
  entries[0].proposal = std::move(proposal);
  RETURN_IF_ERROR(store(group).Apply(entries));
  return OpenAll();
}

std::vector<WriteResult> Machine::ApplyWrites(GroupId group, std::size_t count) {
  std::optional<std::vector<WriteResult>> results;
  using Waiting = Collecting<WriteProposal, std::vector<WriteResult>>;
  const Status applied = ApplyLast(group, std::make_unique<Waiting>(&results));
  EXPECT_TRUE(applied.ok()) << MessageOf(applied);
  return results.value_or(std::vector<WriteResult>(count));
}

std::vector<WriteResult> Machine::Write(GroupId group, const std::vector<CommandView>& commands,
                                        std::uint64_t advance_ms) {
  LogWrite(group, commands, advance_ms);
  return ApplyWrites(group, commands.size());
}

std::vector<WriteResult> Machine::Step(GroupId group, const std::vector<TxnCommand>& steps,
                                       std::uint64_t advance_ms) {
  LogSteps(group, steps, advance_ms);
  return ApplyWrites(group, steps.size());
}

WriteResult Machine::Write(GroupId group, const WriteOp& op, const Session& session) {
  return Write(group, {CommandView{.session = session, .ops = {op}}}).front();
}

ControlResult Machine::Control(GroupId group, decltype(ControlCommand::change) change,
                               std::optional<Epoch> expected) {
  LogControl(group, expected.value_or(store(group).range().epoch), std::move(change));
  std::optional<ControlResult> result;
  const Status applied =
      ApplyLast(group, std::make_unique<Collecting<ControlProposal, ControlResult>>(&result));
  EXPECT_TRUE(applied.ok()) << MessageOf(applied);
  EXPECT_TRUE(result.has_value());
  return result.value_or(ControlResult());
}

Absorb Machine::FreezeFor(GroupId right) {
  const ControlResult frozen = Control(right, Freeze{});
  EXPECT_EQ(frozen.outcome, ControlOutcome::kApplied);
  return {.right = right, .held = frozen.range, .frozen_at = frozen.index};
}

void Machine::Remove(GroupId group) {
  stores_.erase(group);
  logs_.erase(group);
  RemoveTree(*disk_, DirectoryOf(group));
  SyncDirectory(*disk_, "/groups");
}

Status Machine::Replay(GroupId group, std::size_t batch) {
  const std::vector<raft::Entry>& log = logs_[group];
  while (true) {
    const std::uint64_t next = store(group).applied().value() + 1 - FirstIndex(group);
    if (next >= log.size()) return OpenAll();
    std::vector<raft::AppliedEntry> entries;
    for (std::uint64_t i = next; i < log.size() && entries.size() < batch; ++i) {
      entries.emplace_back().entry = log[i];
    }
    RETURN_IF_ERROR(store(group).Apply(entries));
  }
}

std::optional<std::string> Machine::Get(GroupId group, std::string_view key) {
  const auto result = store(group).Get(kDefaultKeyspace, key);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() && result->found ? std::optional(result->value) : std::nullopt;
}

std::map<std::string, std::string> Machine::All(GroupId group) {
  const ShardRange range = store(group).range();
  ScanRequest request;
  if (!range.start.empty()) request.start = UserKeyAt(range.start);
  if (!range.end.empty()) request.end = UserKeyAt(range.end);
  std::map<std::string, std::string> rows;
  while (true) {
    const auto page = store(group).Scan(request);
    EXPECT_TRUE(page.ok()) << page.status();
    if (!page.ok()) return rows;
    for (const ScanRow& row : page->rows) rows[row.key] = row.value;
    if (!page->more) return rows;
    request.start = page->resume_key;
  }
}

std::uint64_t Machine::Hash(GroupId group) {
  const auto hash = store(group).StateHash();
  EXPECT_TRUE(hash.ok()) << hash.status();
  return hash.value_or(0);
}

}  // namespace flotilla::kv
