// Commands as they travel, and the batches of them that log entries hold.

#include "kv/command.h"

#include "tests/fuzz/fuzz.h"

namespace flotilla::fuzz {
namespace {

StatusOr<kv::CommandView> Decode(std::string_view bytes) {
  kv::CommandView command;
  RETURN_IF_ERROR(kv::DecodeCommand(bytes, command));
  RETURN_IF_ERROR(kv::ValidateCommand(command));
  return command;
}

void FuzzBatch(std::string_view payload) {
  auto reader = kv::CommandBatchReader::Open(payload);
  if (!reader.ok()) return;
  kv::CommandBatchWriter writer(reader->first());
  std::string_view encoded;
  Timestamp timestamp;
  while (reader->Next(encoded, timestamp)) {
    kv::CommandView command;
    kv::DecodeCommand(encoded, command).IgnoreError();
    CHECK_EQ(timestamp.value(), reader->first().value() + writer.count());
    writer.Add(encoded);
  }
  if (!reader->status().ok()) return;
  const std::size_t count = writer.count();
  const Bytes again = std::move(writer).Finish();
  auto second = kv::CommandBatchReader::Open(again.view());
  CHECK(second.ok());
  std::size_t found = 0;
  while (second->Next(encoded, timestamp)) ++found;
  CHECK(second->status().ok());
  CHECK_EQ(found, count);
}

}  // namespace

void Fuzz(std::string_view input) {
  ExpectStable(input, Decode, kv::EncodeCommand);
  FuzzBatch(input);
}

std::vector<std::string> Seeds() {
  kv::CommandView all;
  all.session = {.client = ClientId(7), .sequence = 3, .acknowledged_below = 2};
  all.ops = {{.kind = kv::WriteKind::kPut, .key = "k", .value = "v", .ttl_ms = 500},
             {.kind = kv::WriteKind::kDelete,
              .key = "d",
              .condition = kv::ConditionKind::kVersionIs,
              .condition_version = Timestamp(9)},
             {.kind = kv::WriteKind::kPut,
              .key = "c",
              .value = "w",
              .condition = kv::ConditionKind::kValueIs,
              .condition_value = "v"},
             {.kind = kv::WriteKind::kDeleteRange, .key = "a", .end = "z"}};
  kv::CommandView plain;
  plain.ops = {{.key = "k", .value = "v", .condition = kv::ConditionKind::kAbsent}};
  kv::CommandBatchWriter batch(Timestamp(1 << 20));
  batch.Add(kv::EncodeCommand(all));
  batch.Add(kv::EncodeCommand(plain));
  return {kv::EncodeCommand(all), kv::EncodeCommand(plain),
          std::string(std::move(batch).Finish().view())};
}

}  // namespace flotilla::fuzz
