// batch: several writes from a file, all or nothing.
#include <fmt/format.h>

#include <sstream>

#include "cmd/kvctl/app.h"
#include "cmd/kvctl/json.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {
namespace {

constexpr char kFormat[] =
    "One operation a line; # starts a comment:\n"
    "  put KEY VALUE\n"
    "  delete KEY\n"
    "  delete-range FROM TO\n"
    "Words with blanks go in quotes; \\n, \\t and \\xNN are understood outside of '...'.";

Status AddOperation(const Session& session, const std::vector<std::string>& words,
                    client::WriteBatch& batch) {
  std::vector<std::string> arguments;
  for (std::size_t i = 1; i < words.size(); ++i) {
    ASSIGN_OR_RETURN(arguments.emplace_back(), session.Argument(words[i]));
  }
  const std::string& name = words[0];
  if (name == "put" && arguments.size() == 2) {
    batch.Put(arguments[0], arguments[1]);
  } else if (name == "delete" && arguments.size() == 1) {
    batch.Delete(arguments[0]);
  } else if (name == "delete-range" && arguments.size() == 2) {
    batch.DeleteRange(arguments[0], arguments[1]);
  } else {
    return Error(Reason::kBadRequest,
                 "expected `put KEY VALUE`, `delete KEY` or `delete-range FROM TO`");
  }
  return absl::OkStatus();
}

StatusOr<client::WriteBatch> Parse(const Session& session, const std::string& file,
                                   const std::string& text) {
  client::WriteBatch batch;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::string error;
    const auto words = SplitWords(line, &error);
    Status status = words ? absl::OkStatus() : Error(Reason::kBadRequest, error);
    if (words) {
      if (words->empty() || words->front().rfind('#', 0) == 0) continue;
      status = AddOperation(session, *words, batch);
    }
    if (!status.ok()) return Annotate(status, fmt::format("{}:{}", file, number));
  }
  if (batch.empty()) return Error(Reason::kBadRequest, file + " has no operation");
  return batch;
}

Status Batch(Session& session, const std::string& file) {
  ASSIGN_OR_RETURN(const std::string text, Session::ReadFile(file));
  ASSIGN_OR_RETURN(const client::WriteBatch batch,
                   Parse(session, file == "-" ? "standard input" : file, text));
  ASSIGN_OR_RETURN(auto* const client, session.Client());
  ASSIGN_OR_RETURN(const client::BatchResult result, client->Write(batch));
  if (session.FormatFor(false) == Format::kJson) {
    session.PrintLine(JsonObject()
                          .Number64("operations", batch.size())
                          .Number64("version", result.version.value())
                          .Number64("deleted", result.deleted)
                          .str());
  } else {
    session.PrintLine(fmt::format("ok: {} operations", batch.size()));
    session.Detail(
        fmt::format("version {}, {} keys deleted", result.version.value(), result.deleted));
  }
  return absl::OkStatus();
}

}  // namespace

void AddBatchCommand(CLI::App& app, Session& session) {
  auto file = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("batch", "Write several keys in one atomic step");
  command->add_option("-f,--file", *file, "the operations; - reads standard input")->required();
  command->footer(kFormat);
  command->callback([=, &session] {
    const Status status = Batch(session, *file);
    if (!status.ok()) session.Fail(status);
  });
}

}  // namespace flotilla::kvctl
