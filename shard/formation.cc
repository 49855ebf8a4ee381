#include "shard/formation.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <set>
#include <utility>

#include "shard/address_call.h"

namespace flotilla {
namespace {

constexpr Duration kRoundPause = std::chrono::milliseconds(100);
constexpr Duration kCallTimeout = std::chrono::milliseconds(1000);
constexpr Duration kJoinTimeout = std::chrono::seconds(5);
constexpr Duration kJoinPauseMin = std::chrono::milliseconds(200);
constexpr Duration kJoinPauseMax = std::chrono::seconds(5);
// A node that was not heard of for so long is not counted as there.
constexpr Duration kSeenFor = std::chrono::seconds(3);
constexpr Duration kPromiseFor = std::chrono::seconds(4);
constexpr int kRoundsBetweenWords = 50;
constexpr std::size_t kRumouredMax = 100;

}  // namespace

Formation::Formation(const Options& options, const World& world)
    : options_(options), world_(world), random_(options.seed) {}

void Formation::Start() {
  joining_ = options_.expect == 0;
  Round();
}

void Formation::End() { ended_ = true; }

std::vector<std::string> Formation::Others() const {
  std::set<std::string> addresses(options_.join.begin(), options_.join.end());
  for (const auto& [uuid, seen] : seen_) addresses.insert(seen.address);
  addresses.insert(rumoured_.begin(), rumoured_.end());
  addresses.erase(options_.address);
  return {addresses.begin(), addresses.end()};
}

void Formation::Call(const std::string& address, raft::PeerMethod method, std::string body,
                     UniqueFunction<void(StatusOr<Bytes>)> then) {
  const Duration timeout = method == raft::PeerMethod::kJoin ? kJoinTimeout : kCallTimeout;
  CallOnStrand(world_.transport, world_.strand, address, method, std::move(body), timeout,
               [self = shared_from_this(), then = std::move(then)](StatusOr<Bytes> answer) mutable {
                 if (!self->ended_) then(std::move(answer));
               });
}

void Formation::Round() {
  if (ended_) return;
  AskAll();
  TryToFound();
  if (++rounds_ % kRoundsBetweenWords == 0) {
    world_.logger->info("not a member of a cluster yet: {}",
                        joining_ ? fmt::format("asking {} to be let in", fmt::join(Others(), ", "))
                                 : fmt::format("{} of {} new nodes have found each other",
                                               seen_.size() + 1, options_.expect));
  }
  const Duration pause = kRoundPause + kRoundPause * random_.Below(100) / 100;
  world_.strand->After(pause, [self = shared_from_this()] { self->Round(); });
}

void Formation::AskAll() {
  const Hello mine{.uuid = options_.uuid,
                   .address = options_.address,
                   .expect = options_.expect,
                   .cluster = {},
                   .founding = {},
                   .heard_of = {}};
  for (const std::string& address : Others()) {
    Call(address, raft::PeerMethod::kHello, EncodeHello(mine),
         [this, address](StatusOr<Bytes> answer) {
           if (!answer.ok()) return;
           const StatusOr<Hello> hello = DecodeHello(answer->view());
           if (hello.ok()) OnAnswer(address, *hello);
         });
  }
}

void Formation::OnAnswer(const std::string& address, const Hello& hello) {
  if (hello.uuid == options_.uuid) return;  // an alias of this node
  for (const std::string& other : hello.heard_of) {
    if (rumoured_.size() < kRumouredMax) rumoured_.insert(other);
  }
  if (!hello.cluster) {
    OnHello(hello);
    return;
  }
  seen_.erase(hello.uuid);
  const StatusOr<Founding> founding = DecodeFounding(hello.founding);
  if (founding.ok() && founding->members.FindUuid(options_.uuid) != nullptr) {
    FoundHere(*founding, [](const Status&) {});
    return;
  }
  if (founding_here_ || proposing_) return;
  if (!joining_) world_.logger->info("{} belongs to a cluster: asking to be let in", address);
  joining_ = true;
  Join(address);
}

std::vector<std::string> Formation::HeardOf() const {
  std::vector<std::string> addresses;
  for (const auto& [uuid, seen] : seen_) addresses.push_back(seen.address);
  return addresses;
}

void Formation::OnHello(const Hello& hello) {
  if (ended_ || hello.uuid == options_.uuid || !hello.uuid || hello.cluster) return;
  if (hello.expect == 0 || hello.expect != options_.expect) return;
  // An older uuid of the same address is a data directory that is gone.
  std::erase_if(seen_, [&](const auto& entry) { return entry.second.address == hello.address; });
  seen_[hello.uuid] = {.address = hello.address, .at = world_.clock->Now()};
}

void Formation::TryToFound() {
  const MonoTime now = world_.clock->Now();
  std::erase_if(seen_, [&](const auto& entry) { return now - entry.second.at > kSeenFor; });
  if (joining_ || founding_here_ || proposing_ || options_.expect == 0) return;
  if (seen_.size() + 1 < options_.expect) return;
  if (promised_ && promised_until_ > now) return;
  if (!seen_.empty() && seen_.begin()->first < options_.uuid) return;  // it coordinates

  Founding founding;
  founding.cluster = ClusterId(random_.Next() | 1);
  std::vector<std::pair<NodeUuid, std::string>> founders{{options_.uuid, options_.address}};
  for (const auto& [uuid, seen] : seen_) {
    if (founders.size() < options_.expect) founders.emplace_back(uuid, seen.address);
  }
  // People number nodes by their addresses: so does the cluster.
  std::sort(founders.begin(), founders.end(),
            [](const auto& a, const auto& b) { return a.second < b.second; });
  for (const auto& [uuid, address] : founders) {
    const NodeId node = founding.members.next_node;
    founding.members.records.push_back(
        {.node = node, .uuid = uuid, .address = address, .promote = false});
    founding.members.next_node = node.Next();
  }
  Propose(std::move(founding));
}

void Formation::Propose(Founding founding) {
  proposing_ = true;
  promised_ = options_.uuid;
  promised_until_ = world_.clock->Now() + kPromiseFor;
  auto missing = std::make_shared<std::size_t>(founding.members.records.size() - 1);
  if (*missing == 0) {
    TellToFound(founding);
    return;
  }
  const std::string body = EncodeFoundingCall({.coordinator = options_.uuid, .founding = founding});
  auto answered = std::make_shared<std::size_t>(0);
  for (const MemberRecord& record : founding.members.records) {
    if (record.uuid == options_.uuid) continue;
    Call(record.address, raft::PeerMethod::kPropose, body,
         [this, founding, missing, answered, total = *missing](const StatusOr<Bytes>& answer) {
           if (answer.ok() && answer->view() == "\1") --*missing;
           if (++*answered < total) return;
           if (*missing == 0) {
             TellToFound(founding);
           } else {
             proposing_ = false;
             promised_ = NodeUuid();
           }
         });
  }
}

// All have promised. From here on every founder ends up with this founding, by this word or by
// asking a founder that has heard it.
void Formation::TellToFound(const Founding& founding) {
  world_.logger->info("founding cluster {:016x} with {} nodes", founding.cluster.value(),
                      founding.members.records.size());
  const std::string body = EncodeFoundingCall({.coordinator = options_.uuid, .founding = founding});
  FoundHere(founding, [self = shared_from_this(), founding, body](const Status& status) {
    if (!status.ok()) {
      self->proposing_ = false;
      return;
    }
    for (const MemberRecord& record : founding.members.records) {
      if (record.uuid == self->options_.uuid) continue;
      self->world_.transport->CallAddress(
          record.address, static_cast<std::uint32_t>(raft::PeerMethod::kFound),
          Bytes(std::string(body)), kCallTimeout, [](const StatusOr<Bytes>&) {});
    }
  });
}

void Formation::FoundHere(const Founding& founding, UniqueFunction<void(Status)> done) {
  if (founding_here_ || ended_) {
    done(Error(Reason::kNotReady, "a founding is under way here"));
    return;
  }
  founding_here_ = true;
  world_.found(founding,
               [self = shared_from_this(), done = std::move(done)](Status status) mutable {
                 if (!status.ok()) {
                   self->founding_here_ = false;
                   self->world_.logger->error("founding failed: {}", MessageOf(status));
                 }
                 done(std::move(status));
               });
}

bool Formation::OnPropose(const FoundingCall& call) {
  if (ended_ || founding_here_ || joining_) return false;
  if (call.founding.members.FindUuid(options_.uuid) == nullptr) return false;
  const MonoTime now = world_.clock->Now();
  if (promised_ && promised_ != call.coordinator && promised_until_ > now) return false;
  if (proposing_) return false;
  promised_ = call.coordinator;
  promised_until_ = now + kPromiseFor;
  return true;
}

void Formation::OnFound(FoundingCall call, UniqueFunction<void(bool)> reply) {
  if (ended_ || call.founding.members.FindUuid(options_.uuid) == nullptr) {
    reply(false);
    return;
  }
  FoundHere(call.founding,
            [reply = std::move(reply)](const Status& status) mutable { reply(status.ok()); });
}

void Formation::Join(const std::string& address) {
  if (join_asked_ || world_.clock->Now() < join_not_before_) return;
  join_asked_ = true;
  const JoinCall call{.uuid = options_.uuid,
                      .address = options_.address,
                      .promote = options_.promote,
                      .member = {}};
  Call(address, raft::PeerMethod::kJoin, EncodeJoinCall(call),
       [this, address](const StatusOr<Bytes>& answer) {
         join_asked_ = false;
         if (!answer.ok()) return;
         StatusOr<Admission> admission = DecodeAdmission(answer->view());
         if (!admission.ok()) return;
         if (!admission->status.ok()) {
           join_pause_ = std::clamp(join_pause_ * 2, kJoinPauseMin, kJoinPauseMax);
           join_not_before_ = world_.clock->Now() + join_pause_;
           const std::string refusal(MessageOf(admission->status));
           if (refusal == refusal_) return;
           refusal_ = refusal;
           world_.logger->warn("{} did not let this node in, which goes on asking: {}", address,
                               refusal);
           return;
         }
         ended_ = true;
         world_.join(*std::move(admission));
       });
}

}  // namespace flotilla
