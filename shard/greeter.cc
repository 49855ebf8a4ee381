#include "shard/greeter.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <set>
#include <utility>

#include "shard/address_call.h"

namespace flotilla {
namespace {

constexpr Duration kRoundPause = std::chrono::milliseconds(1000);
constexpr Duration kHelloTimeout = std::chrono::milliseconds(800);
constexpr Duration kJoinTimeout = std::chrono::seconds(5);

}  // namespace

Greeter::Greeter(Options options, World world)
    : options_(std::move(options)), world_(std::move(world)), random_(options_.seed) {}

void Greeter::Start() { Round(); }

void Greeter::End() {
  ended_ = true;
  stopped_ = true;
}

void Greeter::Again() {
  if (!ended_ || stopped_) return;
  ended_ = false;
  kin_.clear();
  stranger_.reset();
  Round();
}

std::vector<std::string> Greeter::Others() const {
  std::set<std::string> addresses(options_.join.begin(), options_.join.end());
  for (const std::string& address : world_.members()) addresses.insert(address);
  addresses.erase(options_.address);
  return {addresses.begin(), addresses.end()};
}

void Greeter::Call(const std::string& address, raft::PeerMethod method, std::string body,
                   std::function<void(std::string_view)> then) {
  const Duration timeout = method == raft::PeerMethod::kJoin ? kJoinTimeout : kHelloTimeout;
  CallOnStrand(world_.transport, world_.strand, address, method, std::move(body), timeout,
               [self = shared_from_this(), then = std::move(then)](const StatusOr<Bytes>& answer) {
                 if (answer.ok() && !self->ended_) then(answer->view());
               });
}

void Greeter::Round() {
  if (ended_) return;
  if (kin_.empty() && stranger_) {
    ended_ = true;
    world_.refuse(Error(
        Reason::kWrongCluster,
        fmt::format("the data in {} belongs to cluster {:016x}, but {} to cluster {:016x}: give "
                    "the node its own data directory, or an empty one to join that cluster, or "
                    "mend `join`",
                    options_.data_directory, options_.cluster.value(), stranger_->address,
                    stranger_->cluster.value())));
    return;
  }
  const bool on_record = world_.on_record();
  const bool alone = Others().empty();
  if (on_record && (alone || !kin_.empty())) {
    ended_ = true;
    return;
  }
  if (!on_record) Announce();
  GreetAll();
  const Duration pause = kRoundPause + kRoundPause * random_.Below(20) / 100;
  world_.strand->After(pause, [self = shared_from_this()] { self->Round(); });
}

void Greeter::GreetAll() {
  const Hello mine{.uuid = options_.uuid,
                   .address = options_.address,
                   .expect = 0,
                   .cluster = options_.cluster,
                   .founding = {},
                   .heard_of = {}};
  for (const std::string& address : Others()) {
    Call(address, raft::PeerMethod::kHello, EncodeHello(mine),
         [this, address](std::string_view body) {
           const StatusOr<Hello> hello = DecodeHello(body);
           if (hello.ok()) OnAnswer(address, *hello);
         });
  }
}

void Greeter::OnAnswer(const std::string& address, const Hello& hello) {
  if (!hello.cluster || hello.uuid == options_.uuid) return;
  if (hello.cluster != options_.cluster) {
    stranger_ = Stranger{.address = address, .cluster = hello.cluster};
  } else if (std::find(kin_.begin(), kin_.end(), address) == kin_.end()) {
    kin_.push_back(address);
    world_.meet(hello.members.records);
  }
}

void Greeter::Announce() {
  world_.record_here();
  if (kin_.empty()) return;
  const std::string& address = kin_[next_++ % kin_.size()];
  world_.logger->info("telling {} that this node's address is {} now", address, options_.address);
  const JoinCall call{.uuid = options_.uuid,
                      .address = options_.address,
                      .promote = false,
                      .member = options_.node};
  Call(address, raft::PeerMethod::kJoin, EncodeJoinCall(call),
       [this, address](std::string_view body) {
         const StatusOr<Admission> admission = DecodeAdmission(body);
         if (!admission.ok()) return;
         if (admission->status.ok()) {
           world_.meet(admission->members.records);
         } else {
           world_.logger->warn("{} did not take this node's address: {}", address,
                               MessageOf(admission->status));
         }
       });
}

}  // namespace flotilla
