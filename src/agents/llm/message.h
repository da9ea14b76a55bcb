// The Anthropic Messages dialect: a reply put together from its stream, and what an error answer means.
// PROTOCOL: POST <gateway>/v1/messages with "stream": true; events message_start, content_block_start,
// _delta, _stop, message_delta, message_stop, ping, error. Unknown events, blocks and members are read over.
//
// Bounds: kMaxReplyBytes of content in at most kMaxReplyBlocks blocks; more is MODEL_REPLY_INVALID.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/value.h"

namespace ez::agents {

inline constexpr std::size_t kMaxReplyBytes = 4 * 1024 * 1024;
inline constexpr std::size_t kMaxReplyBlocks = 256;

struct ModelUsage {
  std::int64_t input = 0;        // tokens, without the two below
  std::int64_t cache_write = 0;  // cache_creation_input_tokens
  std::int64_t cache_read = 0;   // cache_read_input_tokens
  std::int64_t output = 0;
  [[nodiscard]] std::int64_t context() const { return input + cache_write + cache_read + output; }
  // What counts against a token limit: everything but what the provider had in its cache.
  [[nodiscard]] std::int64_t counted() const { return input + cache_write + output; }
  ModelUsage& operator+=(const ModelUsage& other);
};
[[nodiscard]] Value to_value(const ModelUsage& usage);

struct ModelReply {
  std::string model;
  Value::List content;      // blocks, ready to be sent back as the assistant's message
  std::string stop_reason;  // end_turn, tool_use, max_tokens, stop_sequence, pause_turn, refusal, …
  ModelUsage usage;
  std::map<std::string, std::string> bad_inputs;  // tool_use id → why its input is no JSON object
  // All text blocks, joined.
  [[nodiscard]] std::string text() const;
};

// Feeds on the events of one stream. One thread.
class ReplyAssembler {
 public:
  using OnText = std::function<void(std::string_view piece)>;  // the model's visible text as it comes
  explicit ReplyAssembler(OnText on_text) : on_text_(std::move(on_text)) {}

  // False when the reply is complete or broken.
  [[nodiscard]] bool event(const std::string& data);
  // After the stream: the reply, or why there is none. MODEL_STREAM_BROKEN (it ended too early),
  // MODEL_REPLY_INVALID, or what an `error` event says, as model_error() maps it.
  [[nodiscard]] Result<ModelReply> finish();

 private:
  struct Block {
    Value value;
    std::string text;  // of deltas: text, thinking, or JSON
    std::string signature;
    bool open = true;
  };
  void start_block(const Value& event);
  void delta(const Value& event);
  void close(Block& block);
  void read_usage(const Value* usage);
  void fail(Error error);

  const OnText on_text_;
  ModelReply reply_;
  std::vector<Block> blocks_;
  std::size_t bytes_ = 0;
  bool complete_ = false;
  std::optional<Error> failure_;
};

// What an answer of 400 and more means for the agent: a stable code, and with it whether a retry of the
// attempt helps. The body may be Anthropic's error object, OpenAI's, a problem document of ez, or anything
// else.
[[nodiscard]] Error model_error(int status, std::string_view body);

}  // namespace ez::agents
