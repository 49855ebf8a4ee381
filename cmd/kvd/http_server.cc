#include "cmd/kvd/http_server.h"

#include <civetweb.h>
#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace flotilla {

struct HttpServer::Impl {
  Pages pages;
  mg_context* context = nullptr;
};

namespace {

const char* Meaning(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 405:
      return "Method Not Allowed";
    default:
      return "Service Unavailable";
  }
}

int Serve(mg_connection* connection, void* page_function) {
  const std::string_view method = mg_get_request_info(connection)->request_method;
  const HttpServer::Page page =
      method == "GET" || method == "HEAD"
          ? (*static_cast<std::function<HttpServer::Page()>*>(page_function))()
          : HttpServer::Page{.code = 405, .body = "only GET and HEAD are served here\n"};
  mg_printf(
      connection,
      "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
      page.code, Meaning(page.code), page.type.c_str(), page.body.size());
  if (method != "HEAD") mg_write(connection, page.body.data(), page.body.size());
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

int HttpServer::port() const {
  mg_server_port ports[1]{};
  return mg_get_server_ports(impl_->context, 1, ports) == 1 ? ports[0].port : 0;
}

HttpServer::~HttpServer() { mg_stop(impl_->context); }

}  // namespace flotilla
