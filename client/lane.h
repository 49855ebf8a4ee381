// Lane: one connection of the pool, and what the dispatcher knows of it.
//
// Internal to the library. Fields without a note belong to the dispatcher's lock. A lane is kept
// alive by the pool and, until OnClosed, by its connection.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "client/connection.h"
#include "client/pace.h"
#include "flotilla/v1/kv.pb.h"

namespace flotilla::client {

class Dispatcher;

class Lane final : public ConnectionObserver {
 public:
  enum class State : std::uint8_t { kConnecting, kUp, kDown };

  Lane(std::weak_ptr<Dispatcher> dispatcher, std::string to, MonoTime now)
      : address(std::move(to)), heard(now), dispatcher_(std::move(dispatcher)) {}

  void OnConnected(Timestamp newest) override;
  void OnSent() override;
  void OnResponses(v1::PipelineResponse& responses) override;
  void OnClosed(const Status& status) override;

  // A thread is about to Send() the batch.
  void BeginSend() {
    sending = true;
    ++senders;
  }

  const std::string address;
  State state = State::kConnecting;
  std::shared_ptr<Connection> connection;
  // A batch was given to Send() and OnSent has not come.
  bool sending = false;
  // Threads inside Send(), or on their way into or out of it: the batch's calls must stay as they
  // are, and so must the connection. OnSent may come, and another thread go in, before one is out.
  int senders = 0;
  std::size_t in_flight = 0;
  std::size_t batch_bytes = 0;  // of the newest one
  Pace pace;
  // When the connection last showed life, or began to owe an answer.
  MonoTime heard;
  // It was asked for a sign of life, and has shown none since.
  bool probing = false;

  // Borrows the requests of the calls that it names. Of the one thread that set `sending`.
  v1::PipelineRequest batch;
  // Held during Send(): answers to a batch are looked at only once it is sent.
  std::mutex send_mutex;

 private:
  const std::weak_ptr<Dispatcher> dispatcher_;
};

}  // namespace flotilla::client
