// The client library in one page: puts and gets, a compare-and-set loop, a scan.
//
//   flotilla_example --endpoints 127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103
//
// Writes a few keys below "example/" and removes them at the end.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "client/client.h"

using flotilla::MessageOf;
using flotilla::Reason;
using flotilla::ReasonOf;
using flotilla::Status;
using flotilla::client::Client;
using flotilla::client::Condition;
using flotilla::client::Scanner;
using flotilla::client::WriteBatch;

namespace {

// Adds one to a counter, whoever else does so at the same time: read, change, write if nobody has
// written meanwhile, else again.
Status Increment(Client& client, const std::string& key) {
  for (;;) {
    const auto now = client.Get(key);
    if (!now.ok()) return now.status();
    const int count = now->found ? std::stoi(now->value) : 0;
    const auto condition = now->found ? Condition::VersionIs(now->version) : Condition::Absent();
    const auto written = client.CompareAndSet(key, condition, std::to_string(count + 1));
    if (written.ok()) return written.status();
    if (ReasonOf(written.status()) != Reason::kConditionFailed) return written.status();
  }
}

Status Run(Client& client) {
  // Several writes in one atomic step.
  const auto fruit = client.Write(WriteBatch()
                                      .Put("example/fruit/apple", "red")
                                      .Put("example/fruit/banana", "yellow")
                                      .Put("example/fruit/cherry", "dark red"));
  if (!fruit.ok()) return fruit.status();

  const auto apple = client.Get("example/fruit/apple");
  if (!apple.ok()) return apple.status();
  std::printf("an apple is %s (version %llu)\n", apple->value.c_str(),
              static_cast<unsigned long long>(apple->version.value()));

  for (int i = 0; i < 3; ++i) {
    if (const Status status = Increment(client, "example/counter"); !status.ok()) return status;
  }
  const auto counter = client.Get("example/counter");
  if (!counter.ok()) return counter.status();
  std::printf("the counter stands at %s\n", counter->value.c_str());

  Scanner scanner = client.Scan({.prefix = "example/fruit/"});
  while (scanner.Next()) {
    std::printf("%s is %s\n", scanner.row().key.c_str(), scanner.row().value.c_str());
  }
  if (!scanner.status().ok()) return scanner.status();

  const auto removed = client.DeleteRange("example/", "example0");  // '0' follows '/'
  if (!removed.ok()) return removed.status();
  std::printf("removed %llu keys\n", static_cast<unsigned long long>(removed->deleted));
  return absl::OkStatus();
}

std::vector<std::string> Split(std::string_view list) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    const auto comma = list.find(',');
    parts.emplace_back(list.substr(0, comma));
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
  }
  return parts;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || std::string_view(argv[1]) != "--endpoints") {
    std::fprintf(stderr, "usage: %s --endpoints HOST:PORT,...\n", argv[0]);
    return 2;
  }
  const auto client = Client::Create({.endpoints = Split(argv[2]), .wait_for_ready = false});
  const Status status = client.ok() ? Run(**client) : client.status();
  if (status.ok()) return 0;
  std::fprintf(stderr, "error: %.*s\n", static_cast<int>(MessageOf(status).size()),
               MessageOf(status).data());
  return 1;
}
