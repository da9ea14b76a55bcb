// Streams as the vendors document them, and what the tests of readers, writers and meters share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/dialect/stream.h"

namespace ez::models::testing {

// Read from tests/golden/models: written after the vendors' public descriptions of their streams.
extern const std::string kAnthropicStream;  // text, a tool call, all counts of usage
extern const std::string kAnthropicThinkingStream;
extern const std::string kChatStream;
extern const std::string kChatParallelStream;  // two calls, their pieces mixed; no [DONE]
extern const std::string kResponsesStream;
extern const std::string kResponsesReasoningStream;

struct ReadStream {
  std::vector<ChatEvent> events;
  Status fed;
  Status ended;
  StreamSummary summary;
};

// The whole stream, handed over in pieces of `piece` bytes.
[[nodiscard]] ReadStream read_stream(Dialect dialect, std::string_view bytes, std::size_t piece = 1 << 20,
                                     const StreamLimits& limits = {});

// One line an event, for comparing: "text 0 Hello".
[[nodiscard]] std::vector<std::string> described(const std::vector<ChatEvent>& events);

// The events as a stream of another dialect, and the answer that they make.
[[nodiscard]] std::string written(Dialect client, const std::vector<ChatEvent>& events,
                                  const Echo& echo = {});
[[nodiscard]] ChatAnswer built(Dialect dialect, const std::vector<ChatEvent>& events);

}  // namespace ez::models::testing
