// Scatter: serves one request whose keys lie in several shards. It parts the request by the
// directory, asks for the parts at the same time, and puts the answers together: of a batch of gets
// key by key, of a scan over slots (a hash keyspace) in the order of keys.
//
// A part that a group turns away, because shards have changed meanwhile, is parted anew by a newer
// copy of the directory; what has been answered stays.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/executor.h"
#include "shard/directory/directory.h"
#include "shard/gateway.h"

namespace flotilla {

class Scatter : public AnswerSink, public std::enable_shared_from_this<Scatter> {
 public:
  struct World {
    const Directory* directory = nullptr;
    Strand* strand = nullptr;  // runs what is tried again
    // Takes parts; WRONG_SHARD comes back as an answer.
    std::function<void(std::vector<GatewayRequest>, std::shared_ptr<AnswerSink>)> submit;
  };
  using Done = UniqueFunction<void(GatewayAnswer)>;

  // `request` is a BatchGetCall, or a ScanCall of a hash keyspace; `done` runs once, on any thread.
  static void Start(const World& world, const GatewayRequest& request, Done done);

  void OnAnswers(std::vector<GatewayAnswer> answers) final;

 protected:
  // A part, by its number: the whole request is the first.
  using Part = std::size_t;

  Scatter(const World& world, MonoTime deadline, Done done)
      : world_(world), deadline_(deadline), done_(std::move(done)) {}

  // All with the lock held. Parts `part` by the image; each of its parts is made known with Add().
  virtual void Divide(Part part, const DirectoryImage& image) = 0;
  virtual void Take(Part part, GatewayAnswer& answer) = 0;
  // Every part has been taken.
  virtual void Finish(GatewayAnswer& answer) = 0;

  // Parts are numbered one after the other.
  template <class Call>
  void Add(Call call) {
    GatewayRequest& request = to_ask_.emplace_back();
    request.id = next_part_++;
    request.deadline = deadline_;
    request.call = std::move(call);
  }

 private:
  void Ask(const std::vector<Part>& parts);

  const World world_;
  const MonoTime deadline_;

  std::mutex mutex_;
  Done done_;  // null once it has run
  Part next_part_ = 1;
  std::vector<GatewayRequest> to_ask_;
  std::size_t open_ = 0;
  GatewayAnswer answer_;
};

}  // namespace flotilla
