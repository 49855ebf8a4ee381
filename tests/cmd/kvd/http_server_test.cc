#include "cmd/kvd/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <mutex>
#include <utility>

namespace flotilla {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class HttpServerTest : public ::testing::Test {
 protected:
  // One server for all: stopping takes civetweb two seconds.
  static void SetUpTestSuite() {
    std::signal(SIGPIPE, SIG_IGN);  // as kvd does
    HttpServer::Pages pages;
    pages.healthz = [] { return HttpServer::Page{.body = "ok\n"}; };
    pages.readyz = [] { return HttpServer::Page{.code = 503, .body = "not yet\n"}; };
    pages.metrics = [] {
      return HttpServer::Page{.type = "text/plain; version=0.0.4", .body = Metrics()};
    };
    auto server = HttpServer::Start("127.0.0.1:0", std::move(pages));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  // And it stops with connections open.
  static void TearDownTestSuite() {
    const int idle = Connect();
    const int half = Connect();
    EXPECT_GT(send(half, "GET /hea", 8, MSG_NOSIGNAL), 0);
    server_ = nullptr;
    close(idle);
    close(half);
  }
  HttpServerTest() { SetMetrics("a_metric 1\n"); }

  static void SetMetrics(std::string text) {
    const std::lock_guard lock(metrics_mutex_);
    metrics_ = std::move(text);
  }
  static std::string Metrics() {
    const std::lock_guard lock(metrics_mutex_);
    return metrics_;
  }

  static int Connect() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(server_->port()));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    return fd;
  }

  // Sends as much as is taken, and reads all that comes back.
  std::string Exchange(std::string_view bytes) const {
    const int fd = Connect();
    while (!bytes.empty()) {
      const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    shutdown(fd, SHUT_WR);
    std::string answer;
    char buffer[4096];
    for (ssize_t got = 0; (got = recv(fd, buffer, sizeof buffer, 0)) > 0;) {
      answer.append(buffer, static_cast<std::size_t>(got));
    }
    close(fd);
    return answer;
  }

  std::string Get(const std::string& path) const {
    return Exchange("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
  }

  // Read by the server's threads.
  static inline std::mutex metrics_mutex_;
  static inline std::string metrics_;
  static inline std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ServesItsThreePages) {
  EXPECT_THAT(Get("/healthz"), AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), EndsWith("\r\n\r\nok\n")));
  EXPECT_THAT(Get("/readyz"), AllOf(StartsWith("HTTP/1.1 503 Service Unavailable\r\n"),
                                    EndsWith("\r\n\r\nnot yet\n")));
  EXPECT_THAT(Get("/metrics"),
              AllOf(HasSubstr("Content-Type: text/plain; version=0.0.4\r\n"),
                    HasSubstr("Content-Length: 11\r\n"), EndsWith("a_metric 1\n")));
}

TEST_F(HttpServerTest, APageOfMegabytesArrivesWhole) {
  SetMetrics(std::string(8 << 20, 'm'));
  EXPECT_THAT(Get("/metrics").size(), testing::Gt(Metrics().size()));
}

TEST_F(HttpServerTest, QueriesAndOldProtocolsAreServed) {
  EXPECT_THAT(Get("/healthz?verbose=1"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Exchange("GET /healthz HTTP/1.0\r\n\r\n"), HasSubstr("200 OK"));
}

TEST_F(HttpServerTest, OtherPathsAreNotFound) {
  for (const char* path : {"/", "/nothing", "/healthz/more", "/healthzz", "/x/healthz", "/..",
                           "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd"}) {
    const std::string answer = Get(path);
    EXPECT_THAT(answer, testing::AnyOf(StartsWith("HTTP/1.1 404"), StartsWith("HTTP/1.1 400")))
        << path;
    EXPECT_THAT(answer, Not(HasSubstr("root:"))) << path;
  }
}

TEST_F(HttpServerTest, OnlyReadingIsAllowed) {
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH"}) {
    EXPECT_THAT(Exchange(std::string(method) +
                         " /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"),
                StartsWith("HTTP/1.1 405"))
        << method;
  }
  const std::string head = Exchange("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(head, AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("Content-Length: 3\r\n"),
                          EndsWith("\r\n\r\n")));
}

TEST_F(HttpServerTest, JunkAndHugeRequestsDoNotBringItDown) {
  const std::string megabyte(1 << 20, 'x');
  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte.push_back(static_cast<char>(i));
  const std::string junk[] = {
      "",
      "\r\n\r\n",
      "GET",
      "GET /healthz",
      "GET /healthz HTTP/9.9\r\n\r\n",
      every_byte,
      megabyte,
      "GET /" + megabyte + " HTTP/1.1\r\n\r\n",
      "GET /healthz HTTP/1.1\r\nX: " + megabyte + "\r\n\r\n",
      "POST /healthz HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
      "POST /healthz HTTP/1.1\r\nContent-Length: -1\r\n\r\n" + megabyte,
      "POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + megabyte,
      "GET /%00%ff%zz HTTP/1.1\r\n\r\n",
      "\x16\x03\x01\x02" + every_byte,
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  };
  for (const std::string& request : junk) {
    Exchange(request);
    ASSERT_THAT(Get("/healthz"), StartsWith("HTTP/1.1 200")) << request.substr(0, 60);
  }
}

TEST_F(HttpServerTest, ClientsThatLeaveEarlyDoNotBringItDown) {
  SetMetrics(std::string(8 << 20, 'm'));
  for (int i = 0; i < 20; ++i) {
    const int fd = Connect();
    const std::string request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    EXPECT_GT(send(fd, request.data(), request.size(), MSG_NOSIGNAL), 0);
    close(fd);
  }
  EXPECT_THAT(Get("/healthz"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, AnAddressInUseIsAnErrorThatSaysWhichAndWhatToDo) {
  const std::string address = "127.0.0.1:" + std::to_string(server_->port());
  const auto second = HttpServer::Start(address, {});
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(MessageOf(second.status()), AllOf(HasSubstr(address), HasSubstr("--http-listen")));
}

}  // namespace
}  // namespace flotilla
