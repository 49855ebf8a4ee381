#include "raft/transport/peer_link.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/turn.h"
#include "raft/transport/codec.h"

namespace flotilla::raft {
namespace {

constexpr auto kLargeLinger = std::chrono::seconds(2);

}  // namespace

// The gRPC side of one attempt. Keeps itself and its link alive until OnDone().
class PeerLink::Stream : public grpc::ClientWriteReactor<internal::PeerBatch> {
 public:
  explicit Stream(std::shared_ptr<PeerLink> link) : link_(std::move(link)) {}

  void Start(std::shared_ptr<Stream> self) {
    self_ = std::move(self);
    link_->stub_->async()->Exchange(&context_, &reply_, this);
    // The hold lets writes start from outside of reactions; it is removed when the stream ends.
    AddHold();
    *batch_.mutable_hello() = link_->hello_;
    StartWrite(&batch_);
    StartCall();
  }

  internal::PeerBatch& batch() { return batch_; }
  void Write() { StartWrite(&batch_); }
  void Cancel() { context_.TryCancel(); }
  // Exactly once, and no write starts afterwards.
  void Release() { RemoveHold(); }

  void OnReadInitialMetadataDone(bool ok) override {
    link_->OnAnswered(ok && context_.GetServerInitialMetadata().contains(kPeerAcceptedKey));
  }
  void OnWriteDone(bool ok) override { link_->OnWritten(ok); }
  void OnDone(const grpc::Status& status) override {
    // To its end, this object's and perhaps that of the link and its channel.
    const std::shared_ptr<Stream> self = std::move(self_);
    link_->OnEnded(status);
  }

 private:
  const std::shared_ptr<PeerLink> link_;
  std::shared_ptr<Stream> self_;
  grpc::ClientContext context_;
  internal::PeerBatch batch_;
  internal::ExchangeReply reply_;
};

PeerLink::PeerLink(const PeerLinkOptions& options, const World& world, internal::Hello hello,
                   std::shared_ptr<grpc::Channel> channel)
    : options_(options),
      world_(world),
      hello_(std::move(hello)),
      peer_(hello_.to()),
      stub_(internal::Peer::NewStub(std::move(channel))),
      random_(world.seed),
      pause_(options.reconnect_pause_min) {}

void PeerLink::Connect() {
  std::shared_ptr<Stream> stream;
  {
    std::lock_guard lock(mutex_);
    if (closed_ || stream_) return;
    stream_ = std::make_shared<Stream>(shared_from_this());
    stream = stream_;
    writing_ = true;  // the hello
    refused_ = false;
  }
  stream->Start(stream);
}

// Writes when it goes, run or not: the link waits for the completion.
class PeerLink::DeferredWrite {
 public:
  DeferredWrite(std::shared_ptr<Stream> stream, std::vector<PeerMessage> messages)
      : stream_(std::move(stream)), messages_(std::move(messages)) {}
  ~DeferredWrite() { Write(*stream_, messages_); }

 private:
  const std::shared_ptr<Stream> stream_;
  const std::vector<PeerMessage> messages_;
};

void PeerLink::Send(std::vector<PeerMessage> messages) {
  std::unique_lock lock(mutex_);
  if (closed_) return;
  // Without a stream the message would be old when one is there again.
  if (!stream_) {
    dropped_ += messages.size();
    const bool asks = std::any_of(messages.begin(), messages.end(), [](const PeerMessage& message) {
      return std::holds_alternative<Call>(message.payload);
    });
    // Whoever waits for an answer is told; Raft's own messages need no such word.
    if (asks) {
      world_.strand->Post([weak = weak_from_this()] {
        if (const auto link = weak.lock()) link->world_.on_unreachable(link->peer_);
      });
    }
    return;
  }
  for (PeerMessage& message : messages) {
    const std::size_t bytes = WireBytes(message);
    if (bytes > options_.message_bytes_max) {
      ++dropped_;
      continue;
    }
    const bool fits = queue_.empty() || (queue_bytes_ + bytes <= options_.queue_bytes_max &&
                                         queue_.size() < options_.queue_messages_max);
    if (!fits) {
      ++dropped_;
      continue;
    }
    queue_bytes_ += bytes;
    queue_.push_back(std::move(message));
  }
  if (writing_ || queue_.empty() || std::exchange(gathering_, true)) return;
  lock.unlock();
  GatheringTurn::AtEnd([self = shared_from_this()] { self->WriteGathered(); });
}

void PeerLink::WriteGathered() {
  std::unique_lock lock(mutex_);
  gathering_ = false;
  if (closed_ || !stream_ || writing_ || queue_.empty()) return;
  std::size_t bytes = 0;
  std::vector<PeerMessage> batch = TakeBatch(bytes);
  const std::shared_ptr<Stream> stream = stream_;
  writing_ = true;
  lock.unlock();
  if (bytes <= options_.batch_bytes_max) {
    Write(*stream, batch);
    return;
  }
  // Encoding megabytes would hold the sender up, who may be about to send heartbeats.
  auto write = std::make_unique<DeferredWrite>(stream, std::move(batch));
  world_.strand->Post([write = std::move(write)]() mutable { write = nullptr; });
}

std::vector<PeerMessage> PeerLink::TakeBatch(std::size_t& bytes) {
  std::size_t taken = 0;
  while (taken < queue_.size()) {
    const std::size_t size = WireBytes(queue_[taken]);
    if (taken > 0 && bytes + size > options_.batch_bytes_max) break;
    bytes += size;
    ++taken;
  }
  queue_bytes_ -= std::min(queue_bytes_, bytes);
  if (taken == queue_.size()) return std::exchange(queue_, {});
  const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(taken);
  std::vector<PeerMessage> batch(std::make_move_iterator(queue_.begin()),
                                 std::make_move_iterator(end));
  queue_.erase(queue_.begin(), end);
  return batch;
}

void PeerLink::Write(Stream& stream, const std::vector<PeerMessage>& messages) {
  stream.batch().Clear();
  for (const PeerMessage& message : messages) AddToBatch(message, stream.batch());
  stream.Write();
}

void PeerLink::OnAnswered(bool accepted) {
  std::shared_ptr<Stream> refused;
  std::weak_ptr<Stream> beating;
  {
    std::lock_guard lock(mutex_);
    if (accepted) {
      if (closed_) return;
      beating = stream_;
      reachable_ = true;
      reported_codes_ = 0;
      pause_ = options_.reconnect_pause_min;
    } else {
      refused_ = true;
      if (!writing_) refused = stream_;
      writing_ = true;
    }
  }
  // Not cancelled: OnDone shall bring the peer's own word.
  if (refused) refused->Release();
  if (!accepted) return;
  Pulse(beating);
  world_.on_reachable(peer_);
}

void PeerLink::Pulse(const std::weak_ptr<Stream>& beating) {
  world_.strand->After(world_.pulse, [weak = weak_from_this(), beating] {
    const std::shared_ptr<PeerLink> link = weak.lock();
    const std::shared_ptr<Stream> stream = beating.lock();
    if (!link || !stream) return;
    bool busy = false;
    {
      std::lock_guard lock(link->mutex_);
      if (link->closed_ || link->stream_ != stream) return;
      // A write that is under way will say the same.
      busy = std::exchange(link->writing_, true);
    }
    if (!busy) Write(*stream, {});
    link->Pulse(beating);
  });
}

void PeerLink::OnWritten(bool ok) {
  std::shared_ptr<Stream> stream;
  std::vector<PeerMessage> next;
  bool over = false;
  bool cancel = false;
  {
    std::lock_guard lock(mutex_);
    stream = stream_;
    if (!ok || closed_ || refused_) {
      // OnDone follows once the hold is gone; until then no write may start.
      over = true;
      cancel = !refused_;
    } else {
      std::size_t bytes = 0;
      next = TakeBatch(bytes);
      writing_ = !next.empty();
    }
  }
  if (over) {
    if (cancel) stream->Cancel();
    stream->Release();
  } else if (!next.empty()) {
    Write(*stream, next);
  }
}

bool PeerLink::News(grpc::StatusCode code) {
  const std::uint32_t bit = 1u << (static_cast<std::uint32_t>(code) % 32);
  const bool news = (reported_codes_ & bit) == 0;
  reported_codes_ |= bit;
  return news;
}

void PeerLink::OnEnded(const grpc::Status& status) {
  bool report = false;
  bool news = false;
  Duration wait{0};
  {
    std::lock_guard lock(mutex_);
    stream_ = nullptr;
    writing_ = false;
    queue_.clear();
    queue_bytes_ = 0;
    reachable_ = false;
    // Every time: what was sent while this attempt was under way is lost, too.
    report = !closed_;
    news = report && News(status.error_code());
    const auto span = static_cast<std::uint64_t>(pause_.count());
    wait = Duration(static_cast<std::int64_t>(random_.Between(span / 2, span)));
    pause_ = std::min(pause_ * 2, options_.reconnect_pause_max);
    if (!closed_) {
      world_.strand->After(wait, [weak = weak_from_this()] {
        if (const std::shared_ptr<PeerLink> link = weak.lock()) link->Connect();
      });
    }
  }
  if (news && world_.on_trouble) world_.on_trouble(peer_, status);
  if (report) world_.on_unreachable(peer_);
}

void PeerLink::Close() {
  std::shared_ptr<Stream> stream;
  bool idle = false;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    stream = stream_;
    idle = !writing_;
    writing_ = true;
  }
  if (!stream) return;
  stream->Cancel();
  // With a write under way its completion releases the hold.
  if (idle) stream->Release();
}

std::uint64_t PeerLink::dropped() const {
  std::lock_guard lock(mutex_);
  return dropped_;
}

void PeerLink::NoteLarge() {
  std::lock_guard lock(mutex_);
  const std::uint64_t number = ++large_sent_;
  large_ = number;
  world_.strand->After(kLargeLinger, [weak = weak_from_this(), number] {
    const std::shared_ptr<PeerLink> link = weak.lock();
    if (!link) return;
    std::lock_guard link_lock(link->mutex_);
    if (link->large_ == number) link->large_ = 0;
  });
}

bool PeerLink::Carrying() const {
  std::lock_guard lock(mutex_);
  return large_ != 0 || writing_ || !queue_.empty();
}

}  // namespace flotilla::raft
