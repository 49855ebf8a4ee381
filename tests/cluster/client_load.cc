#include "tests/cluster/client_load.h"

#include <absl/strings/str_split.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <thread>
#include <vector>

namespace flotilla::client {

std::string ClientLoad::wrong() const {
  std::lock_guard lock(mutex_);
  return wrong_;
}

void ClientLoad::Wrong(const std::string& what) {
  std::lock_guard lock(mutex_);
  if (wrong_.empty()) wrong_ = what;
  stopped_ = true;
}

void ClientLoad::Note(const Status& status) {
  std::lock_guard lock(mutex_);
  fmt::print(stderr, "{}: {}\n", InfoOf(ReasonOf(status)).name, MessageOf(status));
}

int RunLoad(int argc, char** argv,
            const std::function<std::unique_ptr<ClientLoad>(Client*)>& make) {
  if (argc != 3) return 2;
  ClientOptions options;
  options.endpoints = absl::StrSplit(argv[1], ',');
  options.keyspace = argv[2];
  options.timeout = std::chrono::seconds(30);
  auto client = Client::Create(options);
  if (!client.ok()) return 2;
  const std::unique_ptr<ClientLoad> load = make(client->get());
  if (const Status open = load->Open(); !open.ok()) {
    fmt::print("not opened: {}\n", MessageOf(open));
    return 2;
  }
  std::thread input([&load] {
    for (std::string line; std::getline(std::cin, line);) {
      fmt::print("{}\n", load->Counts());
      std::fflush(stdout);
    }
    load->Stop();
  });
  std::vector<std::thread> threads;
  Random random(SeedFromSystem());
  for (int i = 0; i < load->threads(); ++i) {
    threads.emplace_back([&load, i, mine = random.Fork()] { load->Work(i, mine); });
  }
  for (std::thread& thread : threads) thread.join();
  load->Close();
  const std::string wrong = load->wrong();
  if (!wrong.empty()) {
    fmt::print("wrong: {}\n", wrong);
    std::fflush(stdout);
  }
  input.join();
  return wrong.empty() ? 0 : 1;
}

}  // namespace flotilla::client
