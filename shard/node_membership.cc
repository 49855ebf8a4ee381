// Becoming a member: forming a cluster, joining one, and letting others in.

#include <spdlog/fmt/fmt.h>

#include <utility>

#include "base/check.h"
#include "shard/answers.h"
#include "shard/node_impl.h"

namespace flotilla {
namespace {

constexpr Duration kAdmissionTimeout = std::chrono::seconds(4);
constexpr Duration kJoinRetryPause = std::chrono::seconds(1);
constexpr std::size_t kMetMax = 256;

Bytes YesOrNo(bool yes) { return Bytes(std::string(1, yes ? '\1' : '\0')); }

}  // namespace

void NodeImpl::StartFormation() {
  Formation::Options options;
  options.uuid = identity_.uuid;
  options.address = options_.advertise_address;
  options.join = options_.join;
  options.expect = options_.bootstrap_expect;
  options.promote = options_.promote_joined;
  options.seed = random_.Next();
  Formation::World world;
  world.transport = world_.transport;
  world.clock = world_.clock;
  world.strand = control_.get();
  world.logger = world_.logger;
  world.found = [this](const Founding& founding, UniqueFunction<void(Status)> done) {
    Found(founding, std::move(done));
  };
  world.join = [this](const Admission& admission) {
    Identity identity = identity_;
    identity.cluster = admission.cluster;
    identity.node = admission.node;
    JoinAs(identity, admission.members.records);
  };
  formation_ = std::make_shared<Formation>(options, world);
  if (options_.bootstrap_expect == 0) state_ = NodeState::kJoining;
  formation_->Start();
}

Hello NodeImpl::OwnHello() const {
  std::lock_guard lock(mutex_);
  Hello hello;
  hello.uuid = identity_.uuid;
  hello.address = options_.advertise_address;
  hello.expect = options_.bootstrap_expect;
  hello.cluster = identity_.cluster;
  if (identity_.founding) hello.founding = EncodeFounding(*identity_.founding);
  for (const auto& [node, address] : addresses_) {
    hello.members.records.push_back(
        {.node = node, .uuid = {}, .address = address, .promote = false});
  }
  return hello;
}

void NodeImpl::AnswerAddressCall(raft::PeerMethod method, Bytes body,
                                 UniqueFunction<void(StatusOr<Bytes>)> reply) {
  // On a transport's thread; everything about formation lives on the control strand.
  control_->Post([this, method, body = std::move(body), reply = std::move(reply)]() mutable {
    if (stopping_.load()) {
      reply(StoppingError());
      return;
    }
    const bool forming = formation_ != nullptr;
    switch (method) {
      case raft::PeerMethod::kHello: {
        const StatusOr<Hello> hello = DecodeHello(body.view());
        if (hello.ok() && forming) formation_->OnHello(*hello);
        if (hello.ok() && !forming) LearnAddress(*hello);
        Hello own = OwnHello();
        if (forming) own.heard_of = formation_->HeardOf();
        reply(Bytes(EncodeHello(own)));
        return;
      }
      case raft::PeerMethod::kPropose: {
        const StatusOr<FoundingCall> call = DecodeFoundingCall(body.view());
        reply(YesOrNo(call.ok() && forming && formation_->OnPropose(*call)));
        return;
      }
      case raft::PeerMethod::kFound: {
        StatusOr<FoundingCall> call = DecodeFoundingCall(body.view());
        if (call.ok() && forming) {
          formation_->OnFound(*std::move(call), [reply = std::move(reply)](bool yes) mutable {
            reply(YesOrNo(yes));
          });
        } else {
          reply(YesOrNo(call.ok() && identity_.founding == call->founding));
        }
        return;
      }
      case raft::PeerMethod::kJoin: {
        StatusOr<JoinCall> call = DecodeJoinCall(body.view());
        if (!call.ok()) {
          reply(call.status());
        } else {
          Admit(*std::move(call), std::move(reply));
        }
        return;
      }
      default:
        reply(Error(Reason::kUnimplemented, "this version does not know the peer's request"));
    }
  });
}

// Every founder writes the first groups' logs by itself, the same on all, and its identity last:
// whoever has an identity has a log that says the same.
void NodeImpl::Found(const Founding& founding, UniqueFunction<void(Status)> done) {
  const MemberRecord* const self = founding.members.FindUuid(identity_.uuid);
  CHECK(self != nullptr);
  Identity identity = identity_;
  identity.cluster = founding.cluster;
  identity.node = self->node;
  identity.founding = founding;

  auto shared_done = std::make_shared<UniqueFunction<void(Status)>>(std::move(done));
  // One after the other: the last is durable only with those before it.
  const std::vector<FoundedGroup> groups = FoundedGroups(founding);
  Status queued;
  for (const FoundedGroup& group : groups) {
    raft::LogWrite write;
    write.group = group.group;
    write.hard_state = raft::HardState{.term = raft::Term(1), .vote = {}, .commit = {}};
    write.entries = group.entries;
    const bool last = group.group == groups.back().group;
    queued = log_->Append(std::move(write), [this, identity, shared_done, last](Status status) {
      if (!last) return;
      disk_->Post([this, identity, shared_done, status] {
        const Status stored = status.ok() ? directory_->StoreIdentity(identity) : status;
        control_->Post([this, identity, shared_done, stored] {
          if (!stored.ok()) {
            (*shared_done)(stored);
            return;
          }
          FinishFounding(identity, std::move(*shared_done));
        });
      });
    });
    if (!queued.ok()) break;
  }
  if (!queued.ok()) (*shared_done)(queued);
}

void NodeImpl::FinishFounding(const Identity& identity, UniqueFunction<void(Status)> done) {
  const Founding& founding = *identity.founding;
  world_.logger->info("founded cluster {:016x} as node {} of {}", identity.cluster.value(),
                      identity.node.value(), founding.members.records.size());
  {
    std::lock_guard lock(mutex_);
    identity_ = identity;
    for (const FoundedGroup& group : FoundedGroups(founding)) had_.insert(group.group);
  }
  OpenFoundedGroups(identity, std::move(done));
}

// Tried again while the disk is full.
void NodeImpl::OpenFoundedGroups(const Identity& identity, UniqueFunction<void(Status)> done) {
  disk_->Post([this, identity, done = std::move(done)]() mutable {
    Status opened;
    for (const FoundedGroup& group : FoundedGroups(*identity.founding)) {
      if (opened.ok() && !FindReplica(group.group)) {
        opened = OpenGroup(group.group, AsRecovered(group));
      }
    }
    control_->Post([this, identity, opened, done = std::move(done)]() mutable {
      if (ReasonOf(opened) == Reason::kDiskFull) {
        world_.logger->error("the first groups cannot be opened, which is tried again: {}",
                             MessageOf(opened));
        control_->After(kJoinRetryPause, [this, identity, done = std::move(done)]() mutable {
          OpenFoundedGroups(identity, std::move(done));
        });
        return;
      }
      if (!opened.ok()) {
        Fatal(Annotate(opened, "opening the first groups"));
      } else {
        BecomeMember(identity, identity.founding->members.records);
      }
      done(opened);
    });
  });
}

// The log first, so that a member without one has surely lost it.
void NodeImpl::JoinAs(const Identity& identity, const std::vector<MemberRecord>& contacts) {
  const auto stored = [this, identity, contacts](const Status& status) {
    if (ReasonOf(status) == Reason::kDiskFull) {
      control_->After(kJoinRetryPause, [this, identity, contacts] { JoinAs(identity, contacts); });
    } else if (!status.ok()) {
      Fatal(Annotate(status, "joining the cluster"));
    } else {
      world_.logger->info("joined cluster {:016x} as node {}", identity.cluster.value(),
                          identity.node.value());
      BecomeMember(identity, contacts);
    }
  };
  raft::LogWrite write;
  write.group = kDirectoryGroup;
  write.hard_state = raft::HardState();
  const Status queued = log_->Append(std::move(write), [this, identity, stored](Status logged) {
    disk_->Post([this, identity, stored, logged] {
      const Status status = logged.ok() ? directory_->StoreIdentity(identity) : logged;
      control_->Post([stored, status] { stored(status); });
    });
  });
  if (!queued.ok()) stored(queued);
}

void NodeImpl::Meet(const std::vector<MemberRecord>& contacts) {
  std::vector<raft::PeerAddress> peers;
  {
    std::lock_guard lock(mutex_);
    for (const MemberRecord& record : contacts) {
      if (!addresses_.contains(record.node) && met_.size() < kMetMax) {
        met_[record.node] = record.address;
      }
    }
    peers = Peers();
  }
  Reach(peers);
}

void NodeImpl::BecomeMember(const Identity& identity, const std::vector<MemberRecord>& contacts) {
  if (formation_) formation_->End();
  formation_ = nullptr;
  {
    std::lock_guard lock(mutex_);
    identity_ = identity;
  }
  calls_->SetSelf(identity.node);
  router_->SetSelf(identity.node);
  admin_->SetSelf(identity.node);
  if (!stopping_.load()) state_ = NodeState::kServing;
  world_.transport->Start(identity.cluster, identity.node, this);
  StartGossip();
  Meet(contacts);
  if (!stopping_.load()) Greet();
}

void NodeImpl::Greet() {
  Greeter::Options options;
  options.uuid = identity_.uuid;
  options.node = identity_.node;
  options.cluster = identity_.cluster;
  options.address = options_.advertise_address;
  options.join = options_.join;
  options.data_directory = directory_->path();
  options.seed = random_.Next();
  Greeter::World world;
  world.transport = world_.transport;
  world.strand = control_.get();
  world.logger = world_.logger;
  world.members = [this] {
    std::lock_guard lock(mutex_);
    std::vector<std::string> others;
    for (const auto& [node, address] : addresses_) {
      if (node != identity_.node) others.push_back(address);
    }
    return others;
  };
  // A learner that has yet to hear of its own admission has nothing on record, rightly; but one
  // that was restarted before knows nobody whom it could answer.
  world.on_record = [this] {
    std::lock_guard lock(mutex_);
    if (addresses_.empty() && met_.empty()) return false;
    const auto known = addresses_.find(identity_.node);
    return known == addresses_.end() || known->second == options_.advertise_address;
  };
  world.meet = [this](const std::vector<MemberRecord>& contacts) {
    Meet(contacts);
    HearOfMembers(contacts);
  };
  world.record_here = [this] {
    if (!Leads(kDirectoryGroup)) return;
    AdminRequest request;
    request.verb = AdminVerb::kAddMember;
    request.group = kDirectoryGroup;
    request.node = identity_.node;
    request.uuid = identity_.uuid;
    request.address = options_.advertise_address;
    admin_->Execute(std::move(request), world_.clock->Now() + kAdmissionTimeout,
                    [](const AdminResult&) {});
  };
  world.refuse = [this](const Status& status) { Fatal(status); };
  greeter_ = std::make_shared<Greeter>(options, world);
  greeter_->Start();
}

void NodeImpl::LearnAddress(const Hello& hello) {
  std::vector<raft::PeerAddress> peers;
  {
    std::lock_guard lock(mutex_);
    if (!hello.uuid || hello.address.empty() || hello.cluster != identity_.cluster) return;
    const auto node = uuids_.find(hello.uuid);
    if (node == uuids_.end() || node->second == identity_.node) return;
    std::string& known = addresses_[node->second];
    if (known == hello.address) return;
    world_.logger->info("node {} is reached at {} now, not at {}", node->second.value(),
                        hello.address, known);
    known = hello.address;
    learned_[node->second] = {.instead_of = recorded_[node->second], .address = hello.address};
    peers = Peers();
  }
  Reach(peers);
}

void NodeImpl::Admit(JoinCall call, UniqueFunction<void(StatusOr<Bytes>)> reply) {
  if (!identity_.member()) {
    reply(Error(Reason::kNotReady, "this node is not a member of a cluster itself"));
    return;
  }
  AdminRequest request;
  request.verb = AdminVerb::kAddMember;
  request.group = kDirectoryGroup;
  request.node = call.member;
  request.uuid = call.uuid;
  request.address = std::move(call.address);
  request.promote = call.promote;
  admin_->Execute(std::move(request), world_.clock->Now() + kAdmissionTimeout,
                  [this, reply = std::move(reply)](AdminResult result) mutable {
                    Admission admission;
                    admission.status = std::move(result.status);
                    admission.cluster = identity_.cluster;
                    admission.node = result.node;
                    {
                      std::lock_guard lock(mutex_);
                      for (const auto& [node, address] : addresses_) {
                        admission.members.records.push_back(
                            {.node = node, .uuid = {}, .address = address, .promote = false});
                      }
                    }
                    reply(Bytes(EncodeAdmission(admission)));
                  });
}

}  // namespace flotilla
