#include "tests/fuzz/lone_log.h"

#include <utility>

#include "base/check.h"

namespace flotilla::fuzz {
namespace {

constexpr Duration kPlenty = std::chrono::seconds(1);
constexpr std::size_t kReadBytes = 4 << 10;

}  // namespace

LoneLog::LoneLog(sim::SimFileSystem& files, const raft::LogOptions& options) : process_(&loop_, 1) {
  raft::Log::World world;
  world.files = &files;
  world.clock = &process_;
  world.writer = process_.NewBlockingStrand("log");
  world.on_fatal = [](const Status& status) { CHECK(false) << status.ToString(); };
  auto opened = raft::Log::Open(options, std::move(world), recovery_);
  status_ = opened.status();
  if (opened.ok()) log_ = *std::move(opened);
}

LoneLog::~LoneLog() {
  if (!log_) return;
  bool stopped = false;
  log_->Stop([&] { stopped = true; });
  loop_.RunFor(kPlenty);
  CHECK(stopped);
}

StatusOr<std::vector<raft::Entry>> LoneLog::ReadAll(GroupId group) {
  const raft::RecoveredGroup& recovered = recovery_.groups.at(group);
  const raft::Index end = recovered.start_index.Next() + recovered.entries.size();
  std::vector<raft::Entry> all;
  for (raft::Index next = recovered.start_index.Next(); next < end;) {
    ASSIGN_OR_RETURN(std::vector<raft::Entry> some, log_->Read(group, {next, end}, kReadBytes));
    CHECK(!some.empty());
    for (raft::Entry& entry : some) {
      CHECK_EQ(entry.index, next);
      next = next.Next();
      all.push_back(std::move(entry));
    }
  }
  return all;
}

Status LoneLog::AppendOne(GroupId group, std::string payload) {
  constexpr raft::Term kLaterThanAny{1'000'000};
  const raft::RecoveredGroup& recovered = recovery_.groups.at(group);
  raft::LogWrite write;
  write.group = group;
  write.entries = {{.term = kLaterThanAny,
                    .index = recovered.start_index.Next() + recovered.entries.size(),
                    .kind = raft::EntryKind::kCommand,
                    .payload = Bytes(std::move(payload))}};
  Status written = Error(Reason::kInternal, "the write never ended");
  RETURN_IF_ERROR(log_->Append(std::move(write), [&](const Status& status) { written = status; }));
  loop_.RunFor(kPlenty);
  return written;
}

}  // namespace flotilla::fuzz
