#include "cmd/kvd/rpc.h"

#include "cmd/kvd/api_codec.h"

namespace flotilla {

MonoTime DeadlineOf(const grpc::CallbackServerContext& context, const Clock& clock,
                    Duration fallback) {
  const gpr_timespec deadline = gpr_convert_clock_type(context.raw_deadline(), GPR_CLOCK_MONOTONIC);
  const gpr_timespec left = gpr_time_sub(deadline, gpr_now(GPR_CLOCK_MONOTONIC));
  constexpr std::int64_t kSecondsMax = 86'400;
  if (gpr_time_cmp(deadline, gpr_inf_future(GPR_CLOCK_MONOTONIC)) == 0 ||
      left.tv_sec > kSecondsMax) {
    return clock.Now() + fallback;
  }
  return clock.Now() + std::chrono::seconds(left.tv_sec) + std::chrono::nanoseconds(left.tv_nsec);
}

grpc::Status ToGrpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  google::rpc::Status details;
  EncodeError(status, details);
  return {static_cast<grpc::StatusCode>(status.code()), details.message(),
          details.SerializeAsString()};
}

}  // namespace flotilla
