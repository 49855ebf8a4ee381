#include "client/scanner.h"

#include <utility>

#include "client/client.h"

namespace flotilla::client {

Scanner::Scanner(Client* client, ScanOptions options)
    : client_(client), options_(std::move(options)) {}

bool Scanner::Next() {
  if (!status_.ok()) return false;
  const std::uint64_t limit = options_.limit;
  if (limit != 0 && count_ >= limit) return false;
  if (started_ && at_ + 1 < page_.rows.size()) {
    ++at_;
    ++count_;
    return true;
  }
  // A page may come empty and yet not be the last: expired rows, for instance.
  while (!started_ || !page_.continuation_token.empty()) {
    ScanOptions rest = options_;
    if (limit != 0) rest.limit = limit - count_;
    const std::string token = std::move(page_.continuation_token);
    auto page = client_->GetPage(rest, token);
    started_ = true;
    at_ = 0;
    page_ = {};
    if (!page.ok()) {
      status_ = page.status();
      return false;
    }
    page_ = *std::move(page);
    if (page_.rows.empty()) continue;
    ++count_;
    return true;
  }
  page_.rows.clear();
  return false;
}

}  // namespace flotilla::client
