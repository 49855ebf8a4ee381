#include "cmd/kvd/http_server.h"

#include <civetweb.h>
#include <fmt/format.h>

#include <utility>

namespace flotilla {

struct HttpServer::Impl {
  Pages pages;
  mg_context* context = nullptr;
};

namespace {

int Serve(mg_connection* connection, void* page_function) {
  const HttpServer::Page page = (*static_cast<std::function<HttpServer::Page()>*>(page_function))();
  mg_printf(
      connection,
      "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
      page.code, page.code == 200 ? "OK" : "Service Unavailable", page.type.c_str(),
      page.body.size());
  mg_write(connection, page.body.data(), page.body.size());
  return page.code;
}

}  // namespace

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& address, Pages pages) {
  auto impl = std::make_unique<Impl>();
  impl->pages = std::move(pages);
  const char* options[] = {"listening_ports",    address.c_str(), "num_threads", "2",
                           "request_timeout_ms", "5000",          nullptr};
  mg_init_data init{};
  init.configuration_options = options;
  char text[256] = "";
  mg_error_data error{};
  error.text = text;
  error.text_buffer_size = sizeof text;
  impl->context = mg_start2(&init, &error);
  if (impl->context == nullptr) {
    return Error(Reason::kBadRequest,
                 fmt::format("cannot serve HTTP on {}: {}; is the port in use? choose another "
                             "--http-listen",
                             address, text));
  }
  mg_set_request_handler(impl->context, "/healthz$", Serve, &impl->pages.healthz);
  mg_set_request_handler(impl->context, "/readyz$", Serve, &impl->pages.readyz);
  mg_set_request_handler(impl->context, "/metrics$", Serve, &impl->pages.metrics);
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::~HttpServer() { mg_stop(impl_->context); }

}  // namespace flotilla
