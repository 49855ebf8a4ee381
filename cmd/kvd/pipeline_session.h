// PipelineSession: one KV.Pipeline stream, without its wire.
//
// Requests of a message are submitted together; answers that became ready together leave together.
// The owner brings the messages: cmd/kvd over gRPC, the simulator over its network.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "cmd/kvd/api_codec.h"
#include "flotilla/v1/kv.pb.h"
#include "shard/gateway.h"

namespace flotilla {

class PipelineSession : public AnswerSink, public std::enable_shared_from_this<PipelineSession> {
 public:
  using Incoming = v1::PipelineRequest;
  using Outgoing = v1::PipelineResponse;

  struct Options {
    Duration default_timeout = std::chrono::seconds(10);
    // Unanswered requests of one stream; beyond it OVERLOADED.
    std::size_t open_max = 100'000;
  };
  // `send` hands answers to the wire; any thread; must not block. Not called after Close().
  using Send = std::function<void(v1::PipelineResponse)>;

  PipelineSession(const Options& options, Gateway* gateway, const Clock* clock, Send send);

  // Consumes the batch; an empty one is answered with the newest timestamp. One call at a time.
  void OnRequests(v1::PipelineRequest& batch);
  // The wire is gone: answers are dropped from here on.
  void Close();
  std::size_t open() const;

  // About how many bytes one answer takes in a message.
  static std::size_t BytesOf(const v1::Response& response);

  void OnAnswers(std::vector<GatewayAnswer> answers) override;

 private:
  struct Open {
    std::uint64_t id = 0;  // the client's
    v1::Request::RequestCase kind = v1::Request::REQUEST_NOT_SET;
    ScanToken scan;
  };

  // A request whose keyspace this node does not know, until it has looked again.
  struct Held {
    v1::Request request;
    MonoTime deadline;
    Status error;  // unless that helps
  };
  // What becomes of the requests of one message.
  struct Intake {
    std::vector<GatewayRequest> calls;
    std::vector<Open> opened;  // of the calls
    v1::PipelineResponse refused;
    std::vector<Held> unknown;  // their keyspaces
  };

  static Status Decode(v1::Request& request, KeyspaceNames& names, GatewayRequest& call,
                       Open& open);
  static void Refuse(std::uint64_t id, const Status& status, Intake& intake);
  void TakeIn(v1::Request& request, MonoTime deadline, KeyspaceNames& names, Intake& intake);
  // Sends out what was taken in, as far as there is room.
  void Admit(Intake intake);
  // Takes in once more what was held, with a newer copy of the directory.
  void Hold(std::vector<Held> unknown);
  void Release(std::vector<Held>& held, const Status& refreshed);
  void Emit(v1::PipelineResponse response);

  const Options options_;
  Gateway* const gateway_;
  const Clock* const clock_;

  std::mutex send_mutex_;
  Send send_;

  mutable std::mutex mutex_;
  std::uint64_t next_ = 1;
  std::unordered_map<std::uint64_t, Open> open_;
  std::size_t held_ = 0;
};

}  // namespace flotilla
