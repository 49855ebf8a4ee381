// HttpServer: /healthz, /readyz and /metrics, by civetweb on threads of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"

namespace flotilla {

class HttpServer {
 public:
  struct Page {
    int code = 200;
    std::string type = "text/plain; charset=utf-8";
    std::string body;
  };
  struct Pages {
    std::function<Page()> healthz;
    std::function<Page()> readyz;
    std::function<Page()> metrics;
  };

  // `address` is HOST:PORT; port 0 takes a free one. The error names the address and the system's
  // reason.
  static StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& address, Pages pages);
  ~HttpServer();

  // Where it listens.
  int port() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace flotilla
