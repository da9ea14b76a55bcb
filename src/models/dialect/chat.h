// The neutral form of a conversation with a model: what the dialects (dialect.h) are read into and
// written from. Plain values, no I/O, no threads.
//
// Extras. A member that the neutral form has no place for is kept in the `extras` of the object that it stood
// in, together with the dialect that it came from (ChatRequest::dialect, ChatAnswer::dialect). It is written
// back when the same dialect is rendered and left out otherwise; docs/formats/dialects.md has the whole
// table.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"

namespace ez::models {

enum class Dialect : std::uint8_t {
  kAnthropicMessages,
  kOpenAiChat,
  kOpenAiResponses,
  kGemini,  // of clients only: no provider is asked in it
};

// "anthropic-messages", "openai-chat", "openai-responses", "gemini": in configuration, metrics and cassettes.
[[nodiscard]] std::string_view dialect_name(Dialect dialect);
// Of those that a provider may speak.
[[nodiscard]] std::optional<Dialect> find_dialect(std::string_view name);

// Tokens of one call. Every field counts tokens that no other field counts, save where it says "part of".
struct Usage {
  std::int64_t input_tokens = 0;           // neither read from a cache nor written to one
  std::int64_t cache_read_tokens = 0;      // input that a cache served
  std::int64_t cache_write_tokens = 0;     // input that was written to a cache
  std::int64_t cache_write_1h_tokens = 0;  // part of cache_write_tokens: kept for an hour (costs more)
  std::int64_t output_tokens = 0;          // all output, reasoning included
  std::int64_t reasoning_tokens = 0;       // part of output_tokens

  [[nodiscard]] std::int64_t total_input() const;  // saturates, like every sum here
  void add(const Usage& other);                    // for ledgers: sums calls, never updates of one call
  friend bool operator==(const Usage&, const Usage&) = default;
};

enum class StopReason : std::uint8_t {
  kUnknown,  // the provider named none, or one that is not listed
  kEndTurn,
  kMaxTokens,
  kStopSequence,
  kToolUse,
  kPauseTurn,      // Anthropic: send the answer back to go on
  kRefusal,        // the model or a filter refused
  kContextWindow,  // the context window was full
};
[[nodiscard]] std::string_view stop_reason_name(StopReason reason);

enum class PartKind : std::uint8_t {
  kText,
  kRefusal,           // OpenAI: text in which the model refuses
  kImage,             // data or url
  kDocument,          // PDF or plain text: data, url or text
  kThinking,          // text (may be empty), signature
  kRedactedThinking,  // signature holds the provider's sealed bytes
  kToolCall,          // id, name, arguments
  kToolResult,        // id (of the call), content, is_error
  kOpaque,            // a block of one dialect only: raw
};

struct Part {
  PartKind kind = PartKind::kText;
  std::string text;
  std::string id;          // of a tool call; of a reasoning item (Responses)
  std::string name;        // of the tool; of a document
  std::string arguments;   // the JSON text of the tool's input exactly as the model wrote it; "" means {}
  bool custom = false;     // a call of a custom tool: `arguments` is free text, not JSON
  std::string signature;   // of thinking: Anthropic's signature or redacted data, OpenAI's encrypted_content
  std::string media_type;  // of data, "image/png"
  std::string data;        // base64
  std::string url;         // instead of data; also a provider's file id as "file:ID"
  std::string detail;      // OpenAI: low, high, auto
  bool is_error = false;
  std::vector<Part> content;  // of a tool result: text, images, documents
  Value raw;                  // of kOpaque: the whole block
  Value extras;               // map or null
};

enum class Role : std::uint8_t { kSystem, kUser, kAssistant };

struct Message {
  Role role = Role::kUser;
  std::vector<Part> parts;  // tool results stand in messages of the user
  Value extras;
};

enum class ToolKind : std::uint8_t {
  kFunction,  // a JSON Schema
  kCustom,    // OpenAI: free text in, perhaps under a grammar (in extras "format")
  kHosted,    // carried out by the provider (web search …): raw; never crosses dialects
};

struct Tool {
  ToolKind kind = ToolKind::kFunction;
  std::string name;
  std::string description;
  Value schema;  // of the input: a map; null means an object without members
  std::optional<bool> strict;
  Value raw;  // of kHosted
  Value extras;
};

enum class ToolChoiceKind : std::uint8_t { kAuto, kNone, kRequired, kNamed };

struct ToolChoice {
  ToolChoiceKind kind = ToolChoiceKind::kAuto;
  std::string name;  // of kNamed
};

enum class FormatKind : std::uint8_t { kText, kJsonObject, kJsonSchema };

// What the text of the answer has to look like.
struct ResponseFormat {
  FormatKind kind = FormatKind::kText;
  std::string name;  // OpenAI wants one
  std::string description;
  Value schema;
  std::optional<bool> strict;
};

struct Thinking {
  bool enabled = false;
  bool adaptive = false;           // Anthropic: the model decides how much
  std::int64_t budget_tokens = 0;  // Anthropic; 0: not given
  std::string effort;              // "minimal", "low", "medium", "high", …; empty: not given
  std::string summary;             // Responses: auto, concise, detailed
};

struct ChatRequest {
  Dialect dialect = Dialect::kAnthropicMessages;  // it was read from
  std::string model;
  std::vector<Part> system;  // text parts before the first turn
  std::vector<Message> messages;
  std::vector<Tool> tools;
  std::optional<ToolChoice> tool_choice;
  std::optional<bool> parallel_tools;
  std::optional<std::int64_t> max_tokens;  // of output
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<std::int64_t> top_k;
  std::optional<std::int64_t> seed;
  std::optional<double> frequency_penalty;
  std::optional<double> presence_penalty;
  std::vector<std::string> stop;
  std::optional<ResponseFormat> format;
  std::optional<Thinking> thinking;
  std::int64_t answers = 1;  // Chat's `n`
  bool stream = false;
  bool stream_usage = false;    // Chat's stream_options.include_usage
  bool stored_context = false;  // Responses: previous_response_id, conversation or a stored prompt
  std::string user;             // of the client: metadata.user_id, user
  Value extras;
};

struct ChatAnswer {
  Dialect dialect = Dialect::kAnthropicMessages;
  std::string id;
  std::string model;
  std::int64_t created_s = 0;  // unix; 0: the dialect has none
  std::vector<Part> parts;
  StopReason stop_reason = StopReason::kUnknown;
  std::string stop_sequence;
  Usage usage;
  bool has_usage = false;  // the provider sent figures
  Value extras;
};

}  // namespace ez::models
