// Messages on a client's stream, to a whole node: every request gets exactly one answer.
//
// input: (prefixed PipelineRequest)*

#include <map>

#include "cmd/kvd/pipeline_session.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lone_node.h"
#include "tests/fuzz/messages.h"

namespace flotilla::fuzz {
namespace {

// Answers still due, by the client's id.
using Open = std::map<std::uint64_t, int>;

}  // namespace

void Fuzz(std::string_view input) {
  auto messages = ReadMessages<v1::PipelineRequest>(input);
  if (messages.empty()) return;

  LoneNode node(std::make_shared<sim::SimFileSystem>());
  CHECK(node.Open(LoneNode::SmallOptions()).ok());
  CHECK(node.RunUntilReady());
  Open open;
  const auto session = std::make_shared<PipelineSession>(
      PipelineSession::Options(), &node.node().gateway(), &node.clock(),
      [&](const v1::PipelineResponse& answers) {
        for (const v1::Response& answer : answers.responses()) {
          CHECK_GT(open[answer.id()], 0) << "an answer that nobody waits for";
          if (--open[answer.id()] == 0) open.erase(answer.id());
          CHECK(answer.response_case() != v1::Response::RESPONSE_NOT_SET);
          CHECK(answer.IsInitialized());
        }
      });
  for (v1::PipelineRequest& message : messages) {
    for (const v1::Request& request : message.requests()) ++open[request.id()];
    session->OnRequests(message);
  }
  // The longest timeout that a request can name is answered long before it.
  CHECK(node.RunUntil([&] { return open.empty(); }, std::chrono::seconds(20)));
  CHECK(!node.fatal().has_value()) << node.fatal()->ToString();
  CHECK_EQ(session->open(), 0u);
  session->Close();
}

std::vector<std::string> Seeds() {
  v1::PipelineRequest writes;
  v1::Request& put = *writes.add_requests();
  put.set_id(1);
  put.mutable_put()->mutable_header()->set_client_id(7);
  put.mutable_put()->mutable_header()->set_sequence(1);
  put.mutable_put()->set_key("k");
  put.mutable_put()->set_value("v");
  put.mutable_put()->mutable_ttl()->set_seconds(2);
  v1::Request& cas = *writes.add_requests();
  cas.set_id(2);
  cas.set_timeout_ms(500);
  cas.mutable_compare_and_set()->set_key("k");
  cas.mutable_compare_and_set()->mutable_condition()->set_value("v");
  cas.mutable_compare_and_set()->set_value("w");
  v1::Request& batch = *writes.add_requests();
  batch.set_id(3);
  batch.mutable_batch()->add_operations()->mutable_put()->set_key("b");
  batch.mutable_batch()->add_operations()->mutable_delete_()->set_key("k");
  batch.mutable_batch()->add_operations()->mutable_delete_range()->set_start("x");
  v1::Request& erase = *writes.add_requests();
  erase.set_id(4);
  erase.mutable_delete_()->set_key("b");
  v1::Request& erase_range = *writes.add_requests();
  erase_range.set_id(5);
  erase_range.mutable_delete_range()->set_end("b");

  v1::PipelineRequest reads;
  v1::Request& get = *reads.add_requests();
  get.set_id(6);
  get.mutable_get()->set_key("k");
  v1::Request& gets = *reads.add_requests();
  gets.set_id(7);
  gets.mutable_batch_get()->add_keys("k");
  gets.mutable_batch_get()->add_keys("b");
  v1::Request& scan = *reads.add_requests();
  scan.set_id(8);
  scan.mutable_scan()->set_page_size(1);
  v1::Request& reverse = *reads.add_requests();
  reverse.set_id(9);
  reverse.mutable_scan()->set_prefix("b");
  reverse.mutable_scan()->set_reverse(true);
  reverse.mutable_scan()->set_consistency(v1::CONSISTENCY_EVENTUAL);
  return {WriteMessage(writes), WriteMessage(reads), WriteMessage(writes) + WriteMessage(reads)};
}

}  // namespace flotilla::fuzz
