// A stream of messages, as a fuzzer's input has them: (prefixed message)*.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/coding.h"

namespace flotilla::fuzz {

// Those that are messages of the type.
template <class Message>
std::vector<Message> ReadMessages(std::string_view input) {
  std::vector<Message> messages;
  Reader reader(input);
  std::string_view bytes;
  while (reader.Prefixed(bytes)) {
    Message message;
    if (message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      messages.push_back(std::move(message));
    }
  }
  return messages;
}

template <class Message>
std::string WriteMessage(const Message& message) {
  std::string out;
  AppendPrefixed(out, message.SerializeAsString());
  return out;
}

}  // namespace flotilla::fuzz
