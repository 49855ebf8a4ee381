#include "tests/corruption/subject.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "kv/limits.h"
#include "tests/fuzz/lone_log.h"

namespace flotilla::corruption {
namespace {

using fuzz::LoneLog;
using fuzz::LoneNode;

constexpr char kData[] = "/data";
constexpr char kGroup[] = "/data/groups/2/";
// Of the write that is under way when the process is killed; not among the rows.
constexpr char kTailKey[] = "tail";
constexpr int kRounds = 220;
constexpr std::uint64_t kKeys = 1500;

NodeOptions Options() {
  NodeOptions options = LoneNode::SmallOptions();
  // A part of the log is still there when the state machine has it already.
  options.compact_after_bytes = 512 << 10;
  return options;
}

raft::LogOptions OptionsOfLog() {
  raft::LogOptions options = Options().log;
  options.directory = std::string(kData) + "/wal";
  return options;
}

std::string KeyOf(std::uint64_t number) { return fmt::format("key-{:05}", number); }

bool SameRow(const kv::ScanRow& a, const kv::ScanRow& b) {
  return a.key == b.key && a.value == b.value && a.version == b.version &&
         a.expires_at_ms == b.expires_at_ms;
}

// Every row, page by page.
StatusOr<std::vector<kv::ScanRow>> ScanAll(LoneNode& node) {
  std::vector<kv::ScanRow> rows;
  ScanCall scan;
  do {
    auto answer = node.Ask({.id = 1, .deadline = {}, .call = scan});
    if (!answer) return Error(Reason::kDeadlineExceeded, "a scan has no answer");
    RETURN_IF_ERROR(answer->status);
    auto& page = std::get<kv::ScanPage>(answer->result);
    std::move(page.rows.begin(), page.rows.end(), std::back_inserter(rows));
    scan.request.start = page.more ? page.resume_key : "";
  } while (!scan.request.start.empty());
  std::erase_if(rows, [](const kv::ScanRow& row) { return row.key == kTailKey; });
  return rows;
}

// The same by key: point reads go by the files' filters.
StatusOr<std::vector<kv::GetResult>> GetAll(LoneNode& node) {
  BatchGetCall gets;
  for (std::uint64_t key = 0; key < kKeys; ++key) gets.keys.push_back(KeyOf(key));
  auto answer = node.Ask({.id = 1, .deadline = {}, .call = std::move(gets)});
  if (!answer) return Error(Reason::kDeadlineExceeded, "a batch of gets has no answer");
  RETURN_IF_ERROR(answer->status);
  return std::get<std::vector<kv::GetResult>>(std::move(answer->result));
}

// Whether the point reads found just the rows.
bool SameByKey(const std::vector<kv::GetResult>& results, const std::vector<kv::ScanRow>& rows) {
  auto row = rows.begin();
  for (std::uint64_t key = 0; key < kKeys; ++key) {
    const kv::GetResult& got = results[key];
    const bool there = row != rows.end() && row->key == KeyOf(key);
    if (got.found != there) return false;
    if (!there) continue;
    if (got.value != row->value || got.version != row->version) return false;
    ++row;
  }
  return row == rows.end();
}

// An error must be about damage, name a file and, where a file has places, a place, and a remedy.
Finding Refusal(Verdict verdict, const Status& status, const Damage& damage) {
  const std::string text(MessageOf(status));
  const auto says = [&](std::string_view words) { return text.find(words) != std::string::npos; };
  const std::string name = damage.path.substr(damage.path.rfind('/') + 1);
  // A file that says which others count: those it names wrongly are missing then, or it is itself.
  const bool index = damage.file == FileKind::kCurrent || damage.file == FileKind::kManifest ||
                     name == "CURRENT" || name.starts_with("MANIFEST");
  const bool names = says(kData) && (index || says(name.substr(0, name.rfind('.'))));
  const bool places = damage.file == FileKind::kLog || damage.file == FileKind::kTable ||
                      damage.file == FileKind::kBlob;
  const bool place = !places || damage.kind > DamageKind::kZeroByte || says("offset");
  const bool remedy = says("join it again") || says("join again") || says("join anew");
  const bool good = ReasonOf(status) == Reason::kDataDamaged && names && place && remedy;
  return {good ? verdict : Verdict::kPoorRefusal, text};
}

Image MoveFiles(Image image, const std::string& from, const std::string& to, bool keep) {
  Image moved;
  for (const auto& [path, content] : image) {
    if (path.starts_with(from)) moved[to + path.substr(from.size())] = content;
  }
  if (!keep) std::erase_if(image, [&](const auto& file) { return file.first.starts_with(from); });
  image.merge(moved);
  return image;
}

}  // namespace

std::string_view NameOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kRight:
      return "right or repaired";
    case Verdict::kRefusedStart:
      return "refused at start";
    case Verdict::kRefusedRead:
      return "refused at a read";
    case Verdict::kGaveUp:
      return "gave up";
    case Verdict::kPoorRefusal:
      return "POOR REFUSAL";
    case Verdict::kWrong:
      return "WRONG";
    case Verdict::kHung:
      break;
  }
  return "HUNG";
}

bool Acceptable(Verdict verdict) { return verdict < Verdict::kPoorRefusal; }

// ---- the content ----------------------------------------------------------------------------

void Subject::Write(LoneNode& node, const kv::CommandView& command) {
  const std::string encoded = kv::EncodeCommand(command);
  const auto answer =
      node.Ask({.id = 1, .deadline = {}, .call = WriteCall{.command = Bytes(encoded)}});
  CHECK(answer.has_value() && answer->status.ok());
  if (command.session.sequence == 0) return;
  answered_.push_back({encoded, std::get<kv::WriteResult>(answer->result).timestamp});
}

void Subject::Fill(LoneNode& node) {
  Random random(1);
  std::vector<std::string> texts;
  for (int round = 1; round <= kRounds; ++round) {
    texts.clear();
    texts.reserve(64);
    const auto keep = [&](std::string text) {
      return std::string_view(texts.emplace_back(std::move(text)));
    };
    const auto key = [&] { return keep(KeyOf(random.Below(kKeys))); };
    kv::CommandView command;
    for (int i = 0; i < 20; ++i) {
      std::string value(random.Between(20, 600), '\0');
      for (char& byte : value) byte = static_cast<char>('a' + random.Below(26));
      command.ops.push_back({.key = key(),
                             .value = keep(std::move(value)),
                             .ttl_ms = random.Chance(0.1) ? 3'600'000u : 0u});
    }
    command.ops.push_back({.kind = kv::WriteKind::kDelete, .key = key()});
    if (round % 3 == 0) {
      // Of a session, and in the end not acknowledged: the results are kept.
      command.session = {.client = ClientId(static_cast<std::uint64_t>(7 + round % 2)),
                         .sequence = static_cast<std::uint64_t>(round)};
    }
    if (round % 50 == 0) {
      command.ops.push_back({.key = key(), .value = keep(std::string(100'000, 'L'))});
    }
    Write(node, command);
  }
}

void Subject::AddState(const std::string& name, Image image, bool killed) {
  State state{.name = name, .image = std::move(image), .entries = {}, .durable_entries = 0};
  sim::SimFileSystem files;
  WriteImage(state.image, files);
  LoneLog log(files, OptionsOfLog());
  CHECK(log.status().ok()) << log.status().ToString();
  auto entries = log.ReadAll(kFirstDataGroup);
  CHECK(entries.ok());
  state.entries = *std::move(entries);
  state.durable_entries = state.entries.size() - (killed ? 1 : 0);
  states_.push_back(std::move(state));
}

Subject::Subject() {
  auto disk = std::make_shared<sim::SimFileSystem>();
  {
    LoneNode node(disk);
    CHECK(node.Open(Options()).ok());
    CHECK(node.RunUntilReady());
    Fill(node);
    auto rows = ScanAll(node);
    CHECK(rows.ok() && !rows->empty());
    rows_ = *std::move(rows);
    kv::CommandView tail;
    tail.ops.push_back({.key = kTailKey, .value = "?"});
    Write(node, tail);
    AddState("killed", ReadImage(*disk, kData), true);
    CHECK(node.Stop());
  }
  const Image stopped = ReadImage(*disk, kData);
  AddState("stopped", stopped, false);
  const std::string db = std::string(kGroup) + "db/";
  AddState("killed between the renames of an install",
           MoveFiles(MoveFiles(stopped, db, std::string(kGroup) + "db.old/", true), db,
                     std::string(kGroup) + "db.new/", false),
           false);
  AddState("killed while snapshots were sent and received",
           MoveFiles(MoveFiles(stopped, db, std::string(kGroup) + "checkpoints/9-1/", true), db,
                     std::string(kGroup) + "incoming/", true),
           false);
}

// ---- a trial --------------------------------------------------------------------------------

Finding Subject::ExamineLog(const State& state, const Image& image, const Damage& damage) const {
  sim::SimFileSystem files;
  WriteImage(image, files);
  LoneLog log(files, OptionsOfLog());
  if (!log.status().ok()) return Refusal(Verdict::kRefusedStart, log.status(), damage);
  if (!log.recovery().groups.contains(kFirstDataGroup)) {
    return {Verdict::kWrong, "the log opened without the group"};
  }
  const auto entries = log.ReadAll(kFirstDataGroup);
  if (!entries.ok()) return Refusal(Verdict::kRefusedRead, entries.status(), damage);
  const bool all = entries->size() >= state.durable_entries &&
                   entries->size() <= state.entries.size() &&
                   std::equal(entries->begin(), entries->end(), state.entries.begin());
  if (all) return {};
  return {Verdict::kWrong, fmt::format("the log opened with {} of {} entries, or others",
                                       entries->size(), state.durable_entries)};
}

std::optional<Finding> Subject::Compare(LoneNode& node, const Damage& damage) const {
  const auto rows = ScanAll(node);
  if (node.fatal()) return Refusal(Verdict::kGaveUp, *node.fatal(), damage);
  if (!rows.ok()) return Refusal(Verdict::kRefusedRead, rows.status(), damage);
  if (!std::equal(rows->begin(), rows->end(), rows_.begin(), rows_.end(), SameRow)) {
    return Finding{Verdict::kWrong, fmt::format("{} rows where {} were written, or others",
                                                rows->size(), rows_.size())};
  }
  const auto gets = GetAll(node);
  if (!gets.ok()) return Refusal(Verdict::kRefusedRead, gets.status(), damage);
  if (!SameByKey(*gets, rows_)) {
    return Finding{Verdict::kWrong, "reading by key finds other rows than were written"};
  }
  for (const Answered& answered : answered_) {
    const auto again =
        node.Ask({.id = 1, .deadline = {}, .call = WriteCall{.command = Bytes(answered.command)}});
    if (node.fatal()) return Refusal(Verdict::kGaveUp, *node.fatal(), damage);
    if (!again) return Finding{Verdict::kHung, "a write has no answer"};
    if (!again->status.ok()) return Refusal(Verdict::kRefusedRead, again->status, damage);
    if (std::get<kv::WriteResult>(again->result).timestamp != answered.timestamp) {
      return Finding{Verdict::kWrong, "a repeated write was executed again"};
    }
  }
  return std::nullopt;
}

Finding Subject::ExamineNode(const Image& image, const Damage& damage) const {
  auto disk = std::make_shared<sim::SimFileSystem>();
  WriteImage(image, *disk);
  LoneNode node(disk);
  if (const Status opened = node.Open(Options()); !opened.ok()) {
    return Refusal(Verdict::kRefusedStart, opened, damage);
  }
  if (!node.RunUntilReady()) {
    if (node.fatal()) return Refusal(Verdict::kGaveUp, *node.fatal(), damage);
    return {Verdict::kHung, "the node is never ready"};
  }
  if (std::optional<Finding> finding = Compare(node, damage)) return *std::move(finding);
  if (!node.Stop()) return {Verdict::kHung, "the node does not stop"};
  return {};
}

Finding Subject::Examine(const State& state, const Image& image, const Damage& damage) const {
  if (damage.file == FileKind::kLog || damage.file == FileKind::kSpare) {
    Finding finding = ExamineLog(state, image, damage);
    if (!Acceptable(finding.verdict)) return finding;
  }
  return ExamineNode(image, damage);
}

}  // namespace flotilla::corruption
