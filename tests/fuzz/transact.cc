// Messages on a stream of transactions, to a whole node: every request gets exactly one answer, and
// nothing is left open when the stream has gone.
//
// input: (prefixed TransactRequest)*

#include <google/protobuf/text_format.h>

#include <map>

#include "cmd/kvd/transact_session.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lone_node.h"
#include "tests/fuzz/messages.h"

namespace flotilla::fuzz {
namespace {

std::string Message(const std::string& text) {
  v1::TransactRequest request;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return WriteMessage(request);
}

}  // namespace

void Fuzz(std::string_view input) {
  auto messages = ReadMessages<v1::TransactRequest>(input);
  if (messages.empty()) return;

  LoneNode node(std::make_shared<sim::SimFileSystem>());
  CHECK(node.Open(LoneNode::SmallOptions()).ok());
  CHECK(node.RunUntilReady());
  std::map<std::uint64_t, int> due;  // answers, by the client's id
  const auto session = std::make_shared<TransactSession>(
      TransactSession::Options{.transactions_max = 4, .requests_max = 16},
      &node.node().transactions(), &node.node().gateway(), &node.clock(),
      [&](const v1::TransactResponse& answers) {
        for (const v1::TxnResponse& answer : answers.responses()) {
          CHECK_GT(due[answer.id()], 0) << "an answer that nobody waits for";
          if (--due[answer.id()] == 0) due.erase(answer.id());
          CHECK(answer.response_case() != v1::TxnResponse::RESPONSE_NOT_SET);
        }
      });
  for (v1::TransactRequest& message : messages) {
    for (const v1::TxnRequest& request : message.requests()) ++due[request.id()];
    session->OnRequests(message);
  }
  CHECK(node.RunUntil([&] { return due.empty(); }, std::chrono::seconds(30)));
  session->Close();
  CHECK(node.RunUntil([&] { return node.node().transactions().List().empty(); },
                      std::chrono::seconds(30)));
  CHECK(!node.fatal().has_value()) << node.fatal()->ToString();
}

std::vector<std::string> Seeds() {
  const std::string writes = Message(R"(
      requests { id: 1 begin { isolation: ISOLATION_SERIALIZABLE timeout { seconds: 5 } } }
      requests { id: 2 put { key: "k" value: "v" ttl { seconds: 2 } } }
      requests { id: 3 set_savepoint { name: "s" } }
      requests { id: 4 delete { key: "b" } }
      requests { id: 5 roll_back_to { name: "s" } }
      requests { id: 6 get { key: "k" keyspace: "default" } }
      requests { id: 7 commit {} })");
  const std::string reads = Message(R"(
      requests { id: 11 transaction: 1 begin { read_only: true read_timestamp: 9 } }
      requests { id: 12 transaction: 1 timeout_ms: 100 batch_get { keys: "k" keys: "b" } }
      requests { id: 13 transaction: 1 scan { prefix: "k" limit: 1 reverse: true } }
      requests { id: 14 transaction: 1 roll_back {} })");
  const std::string meeting = Message(R"(
      requests { id: 21 transaction: 2 begin { isolation: ISOLATION_REPEATABLE_READ } }
      requests { id: 22 transaction: 3 begin { isolation: ISOLATION_READ_COMMITTED } }
      requests { id: 23 transaction: 2 get { key: "k" } }
      requests { id: 24 transaction: 2 put { key: "k" value: "2" } }
      requests { id: 25 transaction: 3 put { key: "k" value: "3" } }
      requests { id: 26 transaction: 3 commit {} }
      requests { id: 27 transaction: 2 commit {} }
      requests { id: 28 transaction: 2 begin { keyspace: "none" } })");
  return {writes, reads, meeting, writes + reads + meeting};
}

}  // namespace flotilla::fuzz
