#include "cmd/kvd/listener.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace flotilla {
namespace {

// What is kept from connections: a quarter, within these.
constexpr int kReserveMin = 32;
constexpr int kReserveMax = 1024;
constexpr int kBacklog = 1024;
// Until descriptors are looked for again when there are none at all.
constexpr int kPauseMs = 100;
constexpr rlim_t kDescriptorsWanted = 1 << 20;

void Set(int socket, int level, int option) {
  const int on = 1;
  setsockopt(socket, level, option, &on, sizeof on);
}

// A listening socket, or -1 with errno.
int ListenOn(const addrinfo& address) {
  const int opened =
      socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, address.ai_protocol);
  if (opened < 0) return -1;
  Set(opened, SOL_SOCKET, SO_REUSEADDR);
  if (address.ai_family == AF_INET6) Set(opened, IPPROTO_IPV6, IPV6_V6ONLY);
  if (bind(opened, address.ai_addr, address.ai_addrlen) == 0 && listen(opened, kBacklog) == 0) {
    return opened;
  }
  const int error = errno;
  close(opened);
  errno = error;
  return -1;
}

}  // namespace

int RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kReserveMax;
  const rlim_t wanted = std::min(limit.rlim_max, std::max(limit.rlim_cur, kDescriptorsWanted));
  if (limit.rlim_cur < wanted) {
    const rlimit raised{.rlim_cur = wanted, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit.rlim_cur = wanted;
  }
  return static_cast<int>(std::min(limit.rlim_cur, kDescriptorsWanted));
}

Listener::Listener(int descriptors_max, std::shared_ptr<spdlog::logger> logger)
    : descriptors_max_(descriptors_max),
      connections_below_(descriptors_max -
                         std::clamp(descriptors_max / 4, kReserveMin, kReserveMax)),
      logger_(std::move(logger)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

StatusOr<std::unique_ptr<Listener>> Listener::Open(const std::string& address, int descriptors_max,
                                                   std::shared_ptr<spdlog::logger> logger) {
  std::unique_ptr<Listener> listener(new Listener(descriptors_max, std::move(logger)));
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  std::string why;
  const int failed = getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (failed != 0) why = gai_strerror(failed);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const int socket = ListenOn(*one);
    if (socket >= 0) {
      listener->sockets_.push_back(socket);
    } else {
      why = std::strerror(errno);
    }
  }
  if (found != nullptr) freeaddrinfo(found);
  if (!listener->sockets_.empty() && listener->wake_ >= 0) return listener;
  return Error(Reason::kBadRequest,
               fmt::format("cannot listen on {}: {}; is the port in use, or the address not this "
                           "machine's? choose another --listen",
                           address, why));
}

Listener::~Listener() {
  strand_ = nullptr;
  for (const int socket : sockets_) close(socket);
  if (wake_ >= 0) close(wake_);
}

void Listener::Start(Executor& executor, HandOver hand_over) {
  hand_over_ = std::move(hand_over);
  strand_ = executor.NewThreadStrand("accept");
  strand_->Post([this] { Run(); });
}

void Listener::Stop() { eventfd_write(wake_, 1); }

void Listener::Run() {
  std::vector<pollfd> polled{{.fd = wake_, .events = POLLIN, .revents = 0}};
  for (const int socket : sockets_)
    polled.push_back({.fd = socket, .events = POLLIN, .revents = 0});
  while (polled[0].revents == 0) {
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    for (std::size_t i = 1; i < polled.size(); ++i) {
      if (polled[i].revents != 0) AcceptFrom(polled[i].fd);
    }
  }
}

void Listener::AcceptFrom(int socket) {
  const int taken = accept4(socket, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (taken < 0) {
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
    Refuse(true);
    // The connection still waits, and would be found again at once.
    pollfd stop{.fd = wake_, .events = POLLIN, .revents = 0};
    poll(&stop, 1, kPauseMs);
    return;
  }
  if (taken >= connections_below_) {
    close(taken);
    Refuse(false);
    return;
  }
  if (std::exchange(refusing_, false)) logger_->info("connections are accepted again");
  Set(taken, IPPROTO_TCP, TCP_NODELAY);
  hand_over_(taken);
}

void Listener::Refuse(bool out_of_descriptors) {
  if (std::exchange(refusing_, true)) return;
  logger_->error(
      "{} of {} file descriptors are in use{}: new connections are refused until some are given "
      "back; raise `ulimit -n`, or close connections",
      out_of_descriptors ? descriptors_max_ : connections_below_, descriptors_max_,
      out_of_descriptors ? "" : ", and the rest is kept for log and data");
}

}  // namespace flotilla
