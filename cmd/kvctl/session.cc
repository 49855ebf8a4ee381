#include "cmd/kvctl/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "cmd/kvctl/hints.h"
#include "cmd/kvctl/text.h"

namespace flotilla::kvctl {

std::optional<Duration> ParseDuration(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number <= 0 || number > 1'000'000'000) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  if (unit == "ms") return std::chrono::milliseconds(number);
  if (unit == "s") return std::chrono::seconds(number);
  if (unit == "m") return std::chrono::minutes(number);
  if (unit == "h") return std::chrono::hours(number);
  return std::nullopt;
}

StatusOr<Duration> Session::Timeout() const {
  if (const auto timeout = ParseDuration(flags.timeout)) return *timeout;
  return Error(Reason::kBadRequest,
               fmt::format("--timeout {} is not a duration: write 500ms, 5s or 2m", flags.timeout));
}

std::string Session::ClientKey() const {
  return fmt::format("{}|{}|{}", fmt::join(flags.endpoints, ","), flags.keyspace, flags.timeout);
}

StatusOr<client::Client*> Session::Client() {
  if (client_ && client_key_ == ClientKey()) return client_.get();
  ASSIGN_OR_RETURN(const Duration timeout, Timeout());
  client::ClientOptions options;
  options.endpoints = flags.endpoints;
  options.keyspace = flags.keyspace;
  options.timeout = timeout;
  options.connection_timeout = std::min<Duration>(timeout, std::chrono::milliseconds(900));
  options.wait_for_ready = false;
  ASSIGN_OR_RETURN(client_, client::Client::Create(options));
  client_key_ = ClientKey();
  admin_.reset();
  return client_.get();
}

StatusOr<client::Admin*> Session::Admin() {
  if (admin_ && client_key_ == ClientKey()) return admin_.get();
  ASSIGN_OR_RETURN(const Duration timeout, Timeout());
  client::ClientOptions options;
  options.endpoints = flags.endpoints;
  RETURN_IF_ERROR(client::ValidateOptions(options));
  admin_ = std::make_unique<client::Admin>(flags.endpoints, timeout);
  if (client_key_ != ClientKey()) client_.reset();
  client_key_ = ClientKey();
  return admin_.get();
}

client::ReadOptions Session::ReadOptions() const {
  if (flags.at != 0) {
    return {.consistency = client::ReadConsistency::kSnapshot, .as_of = Timestamp(flags.at)};
  }
  return {.consistency = flags.consistency == "eventual" ? client::ReadConsistency::kEventual
                                                         : client::ReadConsistency::kLinearizable};
}

StatusOr<std::string> Session::Argument(const std::string& text) const {
  if (!flags.hex) return text;
  if (auto bytes = FromHex(text)) return *std::move(bytes);
  return Error(Reason::kBadRequest,
               fmt::format("'{}' is not hexadecimal, and --hex is given", text));
}

StatusOr<std::string> Session::ReadFile(const std::string& path) {
  std::ostringstream content;
  if (path == "-") {
    content << std::cin.rdbuf();
    std::cin.clear();
    return content.str();
  }
  std::ifstream file(path, std::ios::binary);
  if (!file || !(content << file.rdbuf() || file.peek() == EOF)) {
    return Error(Reason::kBadRequest,
                 fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  }
  return content.str();
}

Format Session::FormatFor(bool many) const {
  if (flags.output == "json") return Format::kJson;
  if (flags.output == "table") return Format::kTable;
  if (flags.output == "plain") return Format::kPlain;
  return many && IsTerminal() ? Format::kTable : Format::kPlain;
}

bool Session::IsTerminal() const { return isatty(fileno(out_)) == 1; }

bool Session::Color() const {
  return !flags.no_color && IsTerminal() && std::getenv("NO_COLOR") == nullptr;
}

void Session::Print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), out_); }

void Session::PrintLine(std::string_view text) {
  Print(text);
  std::fputc('\n', out_);
}

std::string Session::Show(std::string_view bytes) const {
  return flags.hex ? ToHex(bytes) : Escape(bytes);
}

void Session::Note(std::string_view text) {
  std::fflush(out_);
  fmt::print(err_, "{}\n", text);
}

void Session::Progress(std::string_view text) {
  if (isatty(fileno(err_)) != 1) return;
  fmt::print(err_, "\r\033[K{}", text);
  std::fflush(err_);
}

void Session::Detail(std::string_view text) {
  if (flags.verbose) Note(text);
}

int Session::Fail(const Status& status) {
  const Reason reason = ReasonOf(status);
  const int code = InfoOf(reason).exit_code;
  Fail(code, MessageOf(status), HintFor(status));
  Detail(fmt::format("reason: {}", InfoOf(reason).name));
  return code;
}

int Session::Fail(int code, std::string_view error, std::string_view hint) {
  std::fflush(out_);
  const bool red = !flags.no_color && isatty(fileno(err_)) == 1;
  fmt::print(err_, "{}error:{} {}\n", red ? "\033[31m" : "", red ? "\033[0m" : "", error);
  if (!hint.empty()) fmt::print(err_, "hint:  {}\n", hint);
  exit_code = code;
  return code;
}

}  // namespace flotilla::kvctl
