// What nodes say before they are members: the bodies of CallAddress() calls.
//
//   kHello   -> Hello of the asked node (the asker's own rides along, so that both learn)
//   kPropose -> one byte: 1 when it promises to wait for this founding
//   kFound   -> one byte: 1 when it is now a member by this founding
//   kJoin    -> Admission
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "shard/founding.h"
#include "shard/members.h"

namespace flotilla {

struct Hello {
  NodeUuid uuid;
  std::string address;
  std::uint32_t expect = 0;
  // Zero while it belongs to no cluster.
  ClusterId cluster;
  // The founding that made it a member, if it founded its cluster.
  std::string founding;
  // Other new nodes that it has heard of, by address: one common address is enough to find all.
  std::vector<std::string> heard_of;
  // Of a member: who is where, as it knows; ids and addresses alone.
  Members members = {};
};

std::string EncodeHello(const Hello& hello);
StatusOr<Hello> DecodeHello(std::string_view body);

// A coordinator's proposal, and its final word.
struct FoundingCall {
  NodeUuid coordinator;
  Founding founding;
};

std::string EncodeFoundingCall(const FoundingCall& call);
StatusOr<FoundingCall> DecodeFoundingCall(std::string_view body);

struct JoinCall {
  NodeUuid uuid;
  std::string address;
  bool promote = true;
  // Whom it is already, when it only tells where it is: it does not take another id.
  NodeId member = {};
};

std::string EncodeJoinCall(const JoinCall& call);
StatusOr<JoinCall> DecodeJoinCall(std::string_view body);

struct Admission {
  Status status;
  ClusterId cluster;
  NodeId node;
  // Addresses to dial first; the group's log brings the rest.
  Members members;
};

std::string EncodeAdmission(const Admission& admission);
StatusOr<Admission> DecodeAdmission(std::string_view body);

}  // namespace flotilla
