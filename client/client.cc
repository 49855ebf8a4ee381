#include "client/client.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/random.h"
#include "client/dispatcher.h"
#include "client/own_world.h"
#include "client/retry.h"
#include "client/transactor.h"
#include "client/waiter.h"
#include "client/wire.h"

namespace flotilla::client {
namespace {

std::uint64_t PageRows(const ScanOptions& options) {
  const std::uint64_t page = std::clamp<std::uint64_t>(options.page_size, 1, 10'000);
  return options.limit == 0 ? page : std::min(page, options.limit);
}

constexpr auto kBounded = Dispatcher::Admission::kBounded;
constexpr auto kAlways = Dispatcher::Admission::kAlways;

}  // namespace

StatusOr<std::unique_ptr<Client>> Client::Create(const ClientOptions& options) {
  RETURN_IF_ERROR(ValidateOptions(options));
  auto own = std::make_unique<OwnWorld>();
  auto client = std::make_unique<Client>(options, ClientWorld{.executor = &own->executor,
                                                              .clock = &own->clock,
                                                              .connector = &own->connector,
                                                              .seed = SeedFromSystem()});
  client->own_world_ = std::move(own);
  return client;
}

Client::Client(const ClientOptions& options, const ClientWorld& world)
    : keyspace_(options.keyspace),
      dispatcher_(std::make_shared<Dispatcher>(options, world)),
      transactor_(std::make_shared<Transactor>(options, world)) {
  const Status valid = ValidateOptions(options);
  CHECK(valid.ok()) << MessageOf(valid);
}

Client::~Client() {
  Shutdown();
  if (!own_world_) return;
  own_world_->executor.Stop();
  // Their strands go before the executor.
  dispatcher_.reset();
  transactor_.reset();
}

void Client::Shutdown() {
  dispatcher_->Shutdown();
  transactor_->Shutdown();
}

std::uint64_t Client::client_id() const { return dispatcher_->client_id(); }

StatusOr<GetResult> Client::Get(std::string key, const ReadOptions& options) {
  Waiter<GetResult> waiter;
  dispatcher_->Submit(GetCall(keyspace_, std::move(key), options, waiter.Done()), options.timeout,
                      kAlways);
  return waiter.Wait();
}

void Client::GetAsync(std::string key, const ReadOptions& options, Callback<GetResult> done) {
  dispatcher_->Submit(GetCall(keyspace_, std::move(key), options, std::move(done)), options.timeout,
                      kBounded);
}

StatusOr<std::vector<GetResult>> Client::BatchGet(std::vector<std::string> keys,
                                                  const ReadOptions& options) {
  Waiter<std::vector<GetResult>> waiter;
  dispatcher_->Submit(BatchGetCall(keyspace_, std::move(keys), options, waiter.Done()),
                      options.timeout, kAlways);
  return waiter.Wait();
}

void Client::BatchGetAsync(std::vector<std::string> keys, const ReadOptions& options,
                           Callback<std::vector<GetResult>> done) {
  dispatcher_->Submit(BatchGetCall(keyspace_, std::move(keys), options, std::move(done)),
                      options.timeout, kBounded);
}

Scanner Client::Scan(ScanOptions options) { return Scanner(this, std::move(options)); }

void Client::ScanPageAsync(const ScanOptions& options, const std::string& token,
                           Callback<ScanPage> done) {
  dispatcher_->Submit(ScanCall(keyspace_, options, PageRows(options), token, std::move(done)),
                      options.read.timeout, kBounded);
}

StatusOr<ScanPage> Client::GetPage(const ScanOptions& options, const std::string& token) {
  Waiter<ScanPage> waiter;
  dispatcher_->Submit(ScanCall(keyspace_, options, PageRows(options), token, waiter.Done()),
                      options.read.timeout, kAlways);
  return waiter.Wait();
}

StatusOr<PutResult> Client::Put(std::string key, std::string value, const WriteOptions& options) {
  Waiter<PutResult> waiter;
  dispatcher_->Submit(PutCall(keyspace_, std::move(key), std::move(value), options, waiter.Done()),
                      options.timeout, kAlways);
  return waiter.Wait();
}

void Client::PutAsync(std::string key, std::string value, const WriteOptions& options,
                      Callback<PutResult> done) {
  dispatcher_->Submit(
      PutCall(keyspace_, std::move(key), std::move(value), options, std::move(done)),
      options.timeout, kBounded);
}

StatusOr<DeleteResult> Client::Delete(std::string key, const WriteOptions& options) {
  Waiter<DeleteResult> waiter;
  dispatcher_->Submit(DeleteCall(keyspace_, std::move(key), waiter.Done()), options.timeout,
                      kAlways);
  return waiter.Wait();
}

void Client::DeleteAsync(std::string key, const WriteOptions& options,
                         Callback<DeleteResult> done) {
  dispatcher_->Submit(DeleteCall(keyspace_, std::move(key), std::move(done)), options.timeout,
                      kBounded);
}

StatusOr<DeleteRangeResult> Client::DeleteRange(std::string start, std::string end,
                                                const WriteOptions& options) {
  Waiter<DeleteRangeResult> waiter;
  dispatcher_->Submit(DeleteRangeCall(keyspace_, std::move(start), std::move(end), waiter.Done()),
                      options.timeout, kAlways);
  return waiter.Wait();
}

void Client::DeleteRangeAsync(std::string start, std::string end, const WriteOptions& options,
                              Callback<DeleteRangeResult> done) {
  dispatcher_->Submit(DeleteRangeCall(keyspace_, std::move(start), std::move(end), std::move(done)),
                      options.timeout, kBounded);
}

StatusOr<CompareAndSetResult> Client::CompareAndSet(std::string key, Condition condition,
                                                    std::optional<std::string> value,
                                                    const WriteOptions& options) {
  Waiter<CompareAndSetResult> waiter;
  dispatcher_->Submit(CompareAndSetCall(keyspace_, std::move(key), std::move(condition),
                                        std::move(value), options, waiter.Done()),
                      options.timeout, kAlways);
  return waiter.Wait();
}

void Client::CompareAndSetAsync(std::string key, Condition condition,
                                std::optional<std::string> value, const WriteOptions& options,
                                Callback<CompareAndSetResult> done) {
  dispatcher_->Submit(CompareAndSetCall(keyspace_, std::move(key), std::move(condition),
                                        std::move(value), options, std::move(done)),
                      options.timeout, kBounded);
}

StatusOr<BatchResult> Client::Write(const WriteBatch& batch, const WriteOptions& options) {
  Waiter<BatchResult> waiter;
  dispatcher_->Submit(BatchCall(keyspace_, batch, waiter.Done()), options.timeout, kAlways);
  return waiter.Wait();
}

void Client::WriteAsync(const WriteBatch& batch, const WriteOptions& options,
                        Callback<BatchResult> done) {
  dispatcher_->Submit(BatchCall(keyspace_, batch, std::move(done)), options.timeout, kBounded);
}

std::unique_ptr<Transaction> Client::Begin(const TransactionOptions& options) {
  return std::make_unique<Transaction>(transactor_, keyspace_, options);
}

StatusOr<Timestamp> Client::Transact(const TransactOptions& options,
                                     const std::function<Status(Transaction&)>& body) {
  const Duration timeout =
      options.timeout > Duration(0) ? options.timeout : transactor_->options().timeout;
  const MonoTime deadline = transactor_->Now() + timeout;
  TransactionOptions each = options.transaction;
  Status conflict;  // of the attempt before
  for (std::uint32_t attempt = 1;; ++attempt) {
    const Duration left = deadline - transactor_->Now();
    each.timeout = std::max<Duration>(std::min(options.transaction.timeout, left),
                                      std::chrono::milliseconds(1));
    StatusOr<Timestamp> end = Timestamp();
    {
      Transaction txn(transactor_, keyspace_, each);
      const Status done = body(txn);
      end = done.ok() ? txn.Commit() : StatusOr<Timestamp>(done);
      if (each.first_try == 0) each.first_try = txn.id();
    }
    if (ReasonOf(end.status()) == Reason::kDeadlineExceeded && !conflict.ok()) {
      return Annotate(conflict, fmt::format("after {} attempts, the last cut short", attempt));
    }
    if (end.ok() || !MayRunAgain(end.status())) return end;
    conflict = end.status();
    const Duration pause = transactor_->BackoffAfter(attempt);
    if (transactor_->Now() + pause >= deadline) {
      return Annotate(end.status(), fmt::format("after {} attempts", attempt));
    }
    Waiter<bool> waiter;
    transactor_->After(pause, waiter.Done());
    const StatusOr<bool> goes_on = waiter.Wait();
    if (!*goes_on) return end;
  }
}

Status ValidateOptions(const ClientOptions& options) {
  std::string mistakes;
  const auto expect = [&](bool good, std::string_view mistake) {
    if (good) return;
    if (!mistakes.empty()) mistakes += "; ";
    mistakes += mistake;
  };
  expect(!options.endpoints.empty(), "no endpoints: name at least one node as host:port");
  for (const std::string& endpoint : options.endpoints) {
    const auto colon = endpoint.rfind(':');
    expect(colon != std::string::npos && colon > 0 && colon + 1 < endpoint.size(),
           fmt::format("endpoint '{}' is not host:port", endpoint));
  }
  expect(options.timeout > Duration::zero(), "timeout must be positive");
  expect(options.connection_timeout > Duration::zero(), "connection_timeout must be positive");
  expect(options.stall_timeout > Duration::zero(), "stall_timeout must be positive");
  expect(options.idle_timeout > Duration::zero(), "idle_timeout must be positive");
  expect(options.max_pool_size > 0, "max_pool_size must be at least 1");
  expect(options.outstanding_max > 0, "outstanding_max must be at least 1");
  expect(options.batch_requests_max > 0, "batch_requests_max must be at least 1");
  expect(options.write_window_max > 0, "write_window_max must be at least 1");
  expect(options.backoff_min > Duration::zero() && options.backoff_min <= options.backoff_max,
         "backoff_min must be positive and at most backoff_max");
  return mistakes.empty() ? absl::OkStatus() : Error(Reason::kBadRequest, mistakes);
}

}  // namespace flotilla::client
