// ScanReactor: KV.Scan, page by page through the gateway.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "base/clock.h"
#include "cmd/kvd/api_codec.h"
#include "cmd/kvd/metrics.h"
#include "shard/gateway.h"

namespace flotilla {

class ScanReactor final : public grpc::ServerWriteReactor<v1::ScanResponse> {
 public:
  // Lives until gRPC is done with it and no page is under way.
  static ScanReactor* Start(Gateway* gateway, const v1::ScanRequest& request, MonoTime deadline,
                            RequestTimer timer);

  void OnWriteDone(bool ok) override;
  void OnDone() override { self_ = nullptr; }

 private:
  class Page;

  ScanReactor(Gateway* gateway, const v1::ScanRequest& request, MonoTime deadline,
              RequestTimer timer);

  void AskForPage();
  void OnPage(GatewayAnswer answer);
  void End(const Status& status);

  Gateway* const gateway_;
  v1::ScanRequest request_;
  const MonoTime deadline_;
  const bool limited_;
  std::uint64_t rows_left_;
  RequestTimer timer_;
  ScanToken scan_;
  v1::ScanResponse page_;
  std::shared_ptr<ScanReactor> self_;
};

}  // namespace flotilla
