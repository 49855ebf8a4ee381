// DirectoryStream: a server stream that follows this node's copy of the directory.
//
// Whatever changes while a message is on its way goes into the next one: a slow reader is never
// behind by more than one message, and nothing queues up for it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/executor.h"
#include "base/status.h"
#include "cmd/kvd/rpc.h"
#include "shard/node.h"

namespace flotilla {

enum class StreamStep : std::uint8_t { kWait, kSend, kEnd };

template <class Response>
class DirectoryStream final : public grpc::ServerWriteReactor<Response>,
                              public std::enable_shared_from_this<DirectoryStream<Response>> {
 public:
  // Fills in what the reader lacks of the image. On the strand.
  using Next =
      std::function<StatusOr<StreamStep>(const std::shared_ptr<const DirectoryImage>&, Response&)>;

  // Lives until gRPC is done with it. Begins once the copy is as new as the call; node and strand
  // outlive it.
  static DirectoryStream* Start(Node* node, Strand* strand, MonoTime deadline, Next next) {
    const std::shared_ptr<DirectoryStream> stream(
        new DirectoryStream(node, strand, std::move(next)));
    stream->self_ = stream;
    stream->watch_ = node->WatchDirectory([weak = stream->weak_from_this()] {
      if (const auto self = weak.lock()) self->Poke();
    });
    node->RefreshDirectory(deadline, [stream](Status status) {
      stream->strand_->Post([stream, status = std::move(status)] {
        stream->ready_ = true;
        if (status.ok()) {
          stream->Advance();
        } else {
          stream->End(status);
        }
      });
    });
    return stream.get();
  }

  void OnWriteDone(bool ok) override {
    strand_->Post([self = this->shared_from_this(), ok] {
      self->writing_ = false;
      if (ok) {
        self->Advance();
      } else {
        self->End(Error(Reason::kCancelled, "the reader has gone"));
      }
    });
  }
  void OnCancel() override {
    strand_->Post([self = this->shared_from_this()] {
      self->End(Error(Reason::kCancelled, "the reader has gone"));
    });
  }
  void OnDone() override { self_ = nullptr; }

 private:
  DirectoryStream(Node* node, Strand* strand, Next next)
      : node_(node), strand_(strand), next_(std::move(next)) {}

  void Poke() {
    if (poked_.exchange(true)) return;
    strand_->Post([self = this->shared_from_this()] {
      self->poked_.store(false);
      self->Advance();
    });
  }

  void Advance() {
    if (!ready_ || writing_ || ended_) return;
    if (node_->state() == NodeState::kLeft) {
      End(Error(Reason::kNodeStopping, "the node has left the cluster: follow another one"));
      return;
    }
    response_.Clear();
    const StatusOr<StreamStep> step = next_(node_->DirectoryView(), response_);
    if (!step.ok()) {
      End(step.status());
    } else if (*step == StreamStep::kEnd) {
      End(absl::OkStatus());
    } else if (*step == StreamStep::kSend) {
      writing_ = true;
      this->StartWrite(&response_);
    }
  }

  void End(const Status& status) {
    if (std::exchange(ended_, true)) return;
    node_->EndWatch(watch_);
    this->Finish(ToGrpc(status));
  }

  Node* const node_;
  Strand* const strand_;
  const Next next_;
  std::shared_ptr<DirectoryStream> self_;
  std::atomic<bool> poked_{false};
  // ---- of the strand from here on ----
  Node::WatchId watch_ = 0;
  bool ready_ = false;
  bool writing_ = false;
  bool ended_ = false;
  Response response_;
};

}  // namespace flotilla
