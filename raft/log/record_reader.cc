#include "raft/log/record_reader.h"

#include <algorithm>

#include "raft/log/format.h"
#include "raft/log/io_status.h"

namespace flotilla::raft::log {
namespace {

constexpr std::uint64_t kRunBytesMax = 1 << 20;
constexpr std::uint64_t kHoleBytesMax = 16 << 10;
const rocksdb::IOOptions kIo;

std::uint64_t EndOf(const IndexItem& item) {
  return std::uint64_t{item.offset} + item.bytes + kRecordOverheadMax;
}

}  // namespace

std::vector<std::size_t> PlanRuns(const std::vector<LocatedEntry>& entries) {
  std::vector<std::size_t> runs(entries.size());
  for (std::size_t begin = 0; begin < entries.size();) {
    std::size_t end = begin + 1;
    for (; end < entries.size(); ++end) {
      const IndexItem& first = entries[begin].item;
      const IndexItem& before = entries[end - 1].item;
      const IndexItem& next = entries[end].item;
      if (next.generation != first.generation || next.offset < before.offset ||
          next.offset > EndOf(before) + kHoleBytesMax ||
          EndOf(next) > first.offset + kRunBytesMax) {
        break;
      }
    }
    const std::uint64_t run_end = EndOf(entries[end - 1].item);
    for (; begin < end; ++begin) runs[begin] = run_end - EndOf(entries[begin].item);
  }
  return runs;
}

StatusOr<Entry> RecordReader::Read(const Segment& segment, const LocatedEntry& located,
                                   std::size_t more) {
  const IndexItem& item = located.item;
  const std::uint64_t wanted = item.bytes + kRecordOverheadMax;
  const bool buffered = buffer_ != nullptr && generation_ == item.generation &&
                        item.offset >= begin_ && item.offset + wanted <= begin_ + buffer_->size();
  if (!buffered) {
    auto buffer = std::make_shared<std::string>();
    buffer->resize(wanted + more);
    rocksdb::Slice read;
    RETURN_IF_ERROR(
        FromIo(segment.file->Read(item.offset, buffer->size(), kIo, &read, buffer->data(), nullptr),
               "reading the log segment " + segment.path));
    if (read.data() != buffer->data()) std::copy_n(read.data(), read.size(), buffer->data());
    buffer->resize(read.size());
    buffer_ = std::move(buffer);
    generation_ = item.generation;
    begin_ = item.offset;
  }
  const std::string_view bytes = std::string_view(*buffer_).substr(item.offset - begin_);
  Record record;
  const bool sound = DecodeRecord(bytes, segment.seed, record) && IsEntry(record.kind) &&
                     record.group == located.group && record.index == located.index &&
                     record.term == item.term && record.payload.size() == item.bytes;
  if (!sound) {
    return Damaged(segment.path, item.offset, "the record of an entry that lay here is not valid");
  }
  return Entry{record.term, record.index, record.entry_kind, Bytes(buffer_, record.payload)};
}

}  // namespace flotilla::raft::log
