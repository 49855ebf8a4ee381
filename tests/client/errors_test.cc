#include "client/errors.h"

#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace flotilla::client {
namespace {

TEST(ClientErrors, ReasonAndMetadataSurviveTheWire) {
  google::rpc::Status wire;
  ToWire(Error(Reason::kNotLeader, "ask another", {{"leader_address", "b:2"}}), &wire);
  EXPECT_EQ(wire.code(), 14);
  const Status back = FromWire(wire);
  EXPECT_EQ(ReasonOf(back), Reason::kNotLeader);
  EXPECT_EQ(MessageOf(back), "ask another");
  EXPECT_EQ(MetadataOf(back), (ErrorMetadata{{"leader_address", "b:2"}}));
}

TEST(ClientErrors, EveryReasonSurvivesTheWire) {
#define FLOTILLA_REASON(name, ...)                              \
  {                                                             \
    google::rpc::Status wire;                                   \
    ToWire(Error(Reason::name, "x"), &wire);                    \
    EXPECT_EQ(ReasonOf(FromWire(wire)), Reason::name) << #name; \
  }
#include "base/reasons.inc"
#undef FLOTILLA_REASON
}

TEST(ClientErrors, UnknownReasonFallsBackOnTheCode) {
  google::rpc::Status wire;
  wire.set_code(14);
  google::rpc::ErrorInfo info;
  info.set_domain("flotilla");
  info.set_reason("OF_A_LATER_VERSION");
  wire.add_details()->PackFrom(info);
  EXPECT_EQ(ReasonOf(FromWire(wire)), Reason::kUnreachable);
  wire.set_code(13);
  EXPECT_EQ(ReasonOf(FromWire(wire)), Reason::kInternal);
}

TEST(ClientErrors, FailedConnectionNamesAddressAndSystemError) {
  const Status error =
      FromGrpc(14,
               "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:9: Failed "
               "to connect to remote host: Connection refused",
               "", "127.0.0.1:9");
  EXPECT_EQ(ReasonOf(error), Reason::kUnreachable);
  EXPECT_EQ(MessageOf(error), "no connection to 127.0.0.1:9: Connection refused");
}

TEST(ClientErrors, GarbageInDetailsIsIgnored) {
  EXPECT_EQ(ReasonOf(FromGrpc(5, "hm", "\xff\xff garbage", "a:1")), Reason::kInternal);
  EXPECT_EQ(ReasonOf(FromGrpc(12, "hm", "", "a:1")), Reason::kUnimplemented);
}

}  // namespace
}  // namespace flotilla::client
