#include "shard/gossip/codec.h"

#include <type_traits>
#include <utility>

#include "base/coding.h"

namespace flotilla::gossip {
namespace {

constexpr std::uint8_t kFormat = 1;
constexpr std::uint8_t kHasProfile = 1;
constexpr std::uint8_t kHasLoad = 2;

// Kinds on the wire are the places in the variants.
template <std::size_t kind, class Variant, class T>
constexpr bool kIsAt = std::is_same_v<std::variant_alternative_t<kind, Variant>, T>;
using Body = decltype(Message::body);
static_assert(kIsAt<0, Body, Ping> && kIsAt<1, Body, PingRequest> && kIsAt<2, Body, Ack> &&
              kIsAt<3, Body, Nack> && kIsAt<4, Body, SyncRequest> && kIsAt<5, Body, SyncReply>);
static_assert(kIsAt<0, Rumour, StandingRumour> && kIsAt<1, Rumour, ProfileRumour> &&
              kIsAt<2, Rumour, LoadRumour>);

// ---- encoding ----------------------------------------------------------------------------------

template <class Tag>
void Append(std::string& out, Strong<Tag> value) {
  AppendVarint(out, value.value());
}

void Append(std::string& out, const Standing& standing) {
  Append(out, standing.incarnation);
  out.push_back(static_cast<char>(standing.state));
}

void Append(std::string& out, const Profile& profile) {
  Append(out, profile.version);
  AppendPrefixed(out, profile.address);
  AppendVarint(out, profile.labels.size());
  for (const auto& [label, value] : profile.labels) {
    AppendPrefixed(out, label);
    AppendPrefixed(out, value);
  }
}

void Append(std::string& out, const LoadReport& load) {
  Append(out, load.version);
  AppendVarint(out, load.bytes_stored);
  AppendVarint(out, load.capacity_bytes);
  AppendVarint(out, load.replicas);
  AppendVarint(out, load.leaders);
  AppendVarint(out, load.requests_per_second);
}

void Append(std::string& out, const Rumour& rumour) {
  out.push_back(static_cast<char>(rumour.index()));
  std::visit([&out](const auto& one) { Append(out, one.node); }, rumour);
  if (const auto* standing = std::get_if<StandingRumour>(&rumour)) Append(out, standing->standing);
  if (const auto* profile = std::get_if<ProfileRumour>(&rumour)) Append(out, *profile->profile);
  if (const auto* load = std::get_if<LoadRumour>(&rumour)) Append(out, *load->load);
}

void Append(std::string& out, const Member& member) {
  Append(out, member.node);
  Append(out, member.standing);
  out.push_back(
      static_cast<char>((member.profile ? kHasProfile : 0) | (member.load ? kHasLoad : 0)));
  if (member.profile) Append(out, *member.profile);
  if (member.load) Append(out, *member.load);
}

void Append(std::string& out, const Page& page) {
  Append(out, page.first);
  Append(out, page.end);
  AppendVarint(out, page.members.size());
  for (const Member& member : page.members) Append(out, member);
}

void AppendBody(std::string& out, const PingRequest& request) {
  Append(out, request.number);
  Append(out, request.target);
}
void AppendBody(std::string& out, const SyncRequest& request) { Append(out, request.page); }
void AppendBody(std::string& out, const SyncReply& reply) { Append(out, reply.page); }
template <class Numbered>
void AppendBody(std::string& out, const Numbered& body) {
  Append(out, body.number);
}

template <class T>
std::size_t BytesOf(const T& value) {
  std::string out;
  Append(out, value);
  return out.size();
}

// ---- decoding: each returns false for what no sender says
// ----------------------------------------

template <class Tag>
bool Read(Reader& reader, Strong<Tag>& value) {
  std::uint64_t number = 0;
  if (!reader.Varint(number)) return false;
  value = Strong<Tag>(number);
  return true;
}

bool ReadNode(Reader& reader, NodeId& node) { return Read(reader, node) && node; }

template <class Tag>
bool ReadVersion(Reader& reader, Strong<Tag>& version) {
  return Read(reader, version) && version.value() <= kVersionMax;
}

bool Read(Reader& reader, Standing& standing) {
  std::uint8_t state = 0;
  if (!ReadVersion(reader, standing.incarnation) || !reader.Byte(state)) return false;
  standing.state = static_cast<MemberState>(state);
  return state <= static_cast<std::uint8_t>(MemberState::kLeft);
}

bool Read(Reader& reader, Profile& profile) {
  const std::size_t before = reader.rest().size();
  std::string_view address;
  std::uint64_t labels = 0;
  if (!ReadVersion(reader, profile.version) || !reader.Prefixed(address) ||
      !reader.Varint(labels)) {
    return false;
  }
  profile.address = address;
  for (std::uint64_t i = 0; i < labels; ++i) {
    std::string_view label;
    std::string_view value;
    if (!reader.Prefixed(label) || !reader.Prefixed(value)) return false;
    if (!profile.labels.empty() && profile.labels.rbegin()->first >= label) return false;
    profile.labels.emplace_hint(profile.labels.end(), label, value);
  }
  return before - reader.rest().size() <= kProfileBytesMax;
}

bool Read(Reader& reader, LoadReport& load) {
  return ReadVersion(reader, load.version) && reader.Varint(load.bytes_stored) &&
         reader.Varint(load.capacity_bytes) && reader.Varint(load.replicas) &&
         reader.Varint(load.leaders) && reader.Varint(load.requests_per_second);
}

template <class T>
bool ReadShared(Reader& reader, std::shared_ptr<const T>& fact) {
  auto read = std::make_shared<T>();
  if (!Read(reader, *read)) return false;
  fact = std::move(read);
  return true;
}

bool Read(Reader& reader, Rumour& rumour) {
  std::uint8_t kind = 0;
  NodeId node;
  if (!reader.Byte(kind) || !ReadNode(reader, node)) return false;
  switch (kind) {
    case 0: {
      auto& standing = rumour.emplace<StandingRumour>(StandingRumour{.node = node, .standing = {}});
      return Read(reader, standing.standing);
    }
    case 1: {
      auto& profile = rumour.emplace<ProfileRumour>(ProfileRumour{.node = node, .profile = {}});
      return ReadShared(reader, profile.profile);
    }
    case 2: {
      auto& load = rumour.emplace<LoadRumour>(LoadRumour{.node = node, .load = {}});
      return ReadShared(reader, load.load);
    }
    default:
      return false;
  }
}

bool Read(Reader& reader, Member& member) {
  std::uint8_t has = 0;
  return ReadNode(reader, member.node) && Read(reader, member.standing) && reader.Byte(has) &&
         has <= (kHasProfile | kHasLoad) &&
         ((has & kHasProfile) == 0 || ReadShared(reader, member.profile)) &&
         ((has & kHasLoad) == 0 || ReadShared(reader, member.load));
}

// Every element takes a byte or more, so that a count is no reason to allocate.
template <class T>
bool ReadAll(Reader& reader, std::vector<T>& all) {
  std::uint64_t count = 0;
  if (!reader.Varint(count) || count > reader.rest().size()) return false;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!Read(reader, all.emplace_back())) return false;
  }
  return true;
}

bool Read(Reader& reader, Page& page) {
  if (!Read(reader, page.first) || !Read(reader, page.end)) return false;
  // Whoever walks the pages gets somewhere.
  if (page.end && page.end <= page.first) return false;
  return ReadAll(reader, page.members);
}

bool ReadBody(Reader& reader, PingRequest& request) {
  return Read(reader, request.number) && ReadNode(reader, request.target);
}
bool ReadBody(Reader& reader, SyncRequest& request) { return Read(reader, request.page); }
bool ReadBody(Reader& reader, SyncReply& reply) { return Read(reader, reply.page); }
template <class Numbered>
bool ReadBody(Reader& reader, Numbered& body) {
  return Read(reader, body.number);
}

template <std::size_t kind = 0>
bool ReadBody(Reader& reader, std::uint8_t wanted, Body& body) {
  if constexpr (kind == std::variant_size_v<Body>) {
    return false;
  } else {
    if (kind == wanted) return ReadBody(reader, body.emplace<kind>());
    return ReadBody<kind + 1>(reader, wanted, body);
  }
}

bool Read(Reader& reader, Message& message) {
  std::uint8_t format = 0;
  std::uint8_t kind = 0;
  std::uint8_t left = 0;
  if (!reader.Byte(format) || format != kFormat || !reader.Byte(kind) ||
      !ReadVersion(reader, message.sender.incarnation) || !reader.Byte(left) || left > 1) {
    return false;
  }
  message.sender.state = left == 1 ? MemberState::kLeft : MemberState::kAlive;
  return ReadBody(reader, kind, message.body) && ReadAll(reader, message.rumours) && reader.empty();
}

}  // namespace

std::string EncodeMessage(const Message& message) {
  std::string out;
  out.push_back(static_cast<char>(kFormat));
  out.push_back(static_cast<char>(message.body.index()));
  Append(out, message.sender.incarnation);
  out.push_back(message.sender.state == MemberState::kLeft ? 1 : 0);
  std::visit([&out](const auto& body) { AppendBody(out, body); }, message.body);
  AppendVarint(out, message.rumours.size());
  for (const Rumour& rumour : message.rumours) Append(out, rumour);
  return out;
}

StatusOr<Message> DecodeMessage(std::string_view bytes) {
  if (bytes.size() > kMessageBytesMax) {
    return Error(Reason::kBadRequest, "a node sent a gossip message beyond the limit of 64 KiB");
  }
  Reader reader(bytes);
  Message message;
  if (!Read(reader, message)) {
    return Error(Reason::kBadRequest, "a node sent a malformed gossip message");
  }
  return message;
}

std::size_t EncodedBytes(const Rumour& rumour) { return BytesOf(rumour); }
std::size_t EncodedBytes(const Member& member) { return BytesOf(member); }
std::size_t EncodedBytes(const Profile& profile) { return BytesOf(profile); }

}  // namespace flotilla::gossip
