#include "tests/fuzz/lone_node.h"

#include <utility>

#include "base/check.h"
#include "base/logger.h"

namespace flotilla::fuzz {
namespace {

constexpr sim::ProcessId kProcess = 1;
constexpr Duration kSlice = std::chrono::milliseconds(1);

class OneAnswer final : public AnswerSink {
 public:
  void OnAnswers(std::vector<GatewayAnswer> answers) override {
    CHECK(!answer.has_value() && answers.size() == 1) << "one request, one answer";
    answer = std::move(answers.front());
  }

  std::optional<GatewayAnswer> answer;
};

}  // namespace

void SilentTransport::CallAddress(const std::string& address, std::uint32_t, Bytes, Duration,
                                  UniqueFunction<void(StatusOr<Bytes>)> done) {
  done(Error(Reason::kUnreachable, address + ": nobody is there"));
}

NodeOptions LoneNode::SmallOptions() {
  NodeOptions options;
  options.data_directory = "/data";
  options.advertise_address = "n1:1";
  options.bootstrap_expect = 1;
  options.log.segment_bytes = 64 << 10;
  options.log.cache_bytes = 16 << 10;
  options.compact_after_bytes = 1 << 20;
  options.store.memtable_bytes = 64 << 10;
  options.block_cache_bytes = 1 << 20;
  options.write_buffer_bytes = 4 << 20;
  return options;
}

LoneNode::~LoneNode() {
  // What is destroyed now changes nothing on the disk.
  if (process_) disk_->PowerOff();
  Destroy();
}

void LoneNode::Destroy() {
  if (!process_) return;
  process_->Stop();
  node_ = nullptr;
  env_ = nullptr;
  loop_.Purge(kProcess);
  process_ = nullptr;
}

Status LoneNode::Open(const NodeOptions& options) {
  CHECK(!process_);
  process_ = std::make_unique<sim::SimProcess>(&loop_, kProcess);
  env_ = std::make_unique<kv::InlineEnv>(disk_, process_.get());
  World world;
  world.executor = process_.get();
  world.clock = process_.get();
  world.transport = &transport_;
  world.env = env_.get();
  world.logger = NullLogger();
  world.inline_background_work = true;
  ASSIGN_OR_RETURN(node_, Node::Open(options, world));
  node_->Start([this](Status status) { fatal_ = std::move(status); });
  return absl::OkStatus();
}

bool LoneNode::RunUntil(const std::function<bool()>& condition, Duration time) {
  const MonoTime end = loop_.now() + time;
  while (!condition()) {
    if (loop_.now() >= end || fatal_) return condition();
    loop_.RunFor(kSlice);
  }
  return true;
}

bool LoneNode::RunUntilReady(Duration time) {
  return RunUntil([this] { return node_->Ready() && node_->Leads(GroupId()); }, time);
}

std::optional<GatewayAnswer> LoneNode::Ask(GatewayRequest request) {
  constexpr Duration kTimeout = std::chrono::seconds(5);
  request.deadline = clock().Now() + kTimeout;
  auto sink = std::make_shared<OneAnswer>();
  std::vector<GatewayRequest> requests;
  requests.push_back(std::move(request));
  node_->gateway().Submit(std::move(requests), sink);
  RunUntil([&] { return sink->answer.has_value(); }, 2 * kTimeout);
  return std::move(sink->answer);
}

bool LoneNode::Stop() {
  bool stopped = false;
  node_->Stop(std::chrono::seconds(1), [&] { stopped = true; });
  const MonoTime end = loop_.now() + std::chrono::seconds(30);
  while (!stopped && loop_.now() < end) loop_.RunFor(kSlice);
  if (stopped) Destroy();
  return stopped;
}

}  // namespace flotilla::fuzz
