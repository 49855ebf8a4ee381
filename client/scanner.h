// Scanner: walks over the rows of a scan, page by page.
//
//   Scanner scanner = client->Scan({.prefix = "user/"});
//   while (scanner.Next()) Use(scanner.row());
//   if (!scanner.status().ok()) ...
//
// Each page is one consistent moment; later pages may see later writes. Blocking; one thread at a
// time. The client outlives it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "client/options.h"

namespace flotilla::client {

class Client;

class Scanner {
 public:
  Scanner(Client* client, ScanOptions options);

  // Advances to the next row; fetches a page when the last one is used up. False at the end and
  // after an error, which status() then has. Call it before the first row().
  bool Next();

  // The row that Next() reached; valid until the next call of it. May be moved from.
  Row& row() { return page_.rows[at_]; }
  const Status& status() const { return status_; }
  // Rows reached so far.
  std::uint64_t count() const { return count_; }

 private:
  Client* const client_;
  ScanOptions options_;
  ScanPage page_;
  std::size_t at_ = 0;
  std::uint64_t count_ = 0;
  bool started_ = false;
  Status status_;
};

}  // namespace flotilla::client
