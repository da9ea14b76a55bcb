// Reading and writing of requests and answers in three dialects of clients and providers, and one of clients
// only:
//   kAnthropicMessages  POST /v1/messages
//   kOpenAiChat         POST /v1/chat/completions
//   kOpenAiResponses    POST /v1/responses
//   kGemini             POST /v1beta/models/{model}:generateContent; asking a provider in it, and reading a
//                       provider's answer, is a bug of the caller
// Pure functions over bytes; thread-safe. What each dialect cannot express: docs/formats/dialects.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "models/dialect/chat.h"

namespace ez::models {

// Bounds of one request or answer. A body beyond them is refused before anything is kept of it.
inline constexpr JsonLimits kBodyLimits{32 * 1024 * 1024, 64, 1'000'000};

// Reads a client's request. Errors: JSON_INVALID, PAYLOAD_TOO_LARGE, REQUEST_INVALID (the message names the
// place, "messages[2].content[0]: …").
[[nodiscard]] Result<ChatRequest> parse_request(Dialect dialect, std::string_view body);

// How an upstream differs from the vendor whose dialect it speaks. The defaults are the vendors' own.
struct UpstreamTraits {
  bool max_completion_tokens = true;  // Chat: that name; otherwise the older max_tokens
  bool developer_role = false;        // Chat: system texts have the role "developer" instead of "system"
  bool stream_usage = true;           // Chat: understands stream_options.include_usage
  bool reasoning_content = false;  // Chat: wants earlier thinking back as reasoning_content (DeepSeek, Kimi)
  bool short_tool_ids = false;     // Chat: ids of calls are nine letters or digits (Mistral)
  bool reasoning_effort = true;    // Chat, Responses: takes an effort (models that do not reason refuse it)
  bool output_effort = false;      // Anthropic: takes output_config.effort (newer models)
  bool sampling = true;            // takes temperature, top_p, top_k (newer models that reason refuse them)
  bool forced_tools = true;        // takes a tool_choice that forces a call (some models that reason do not)
  bool json_schema = true;         // understands structured output by schema; otherwise JSON mode at most
  std::int64_t default_max_tokens = 8192;  // Anthropic wants max_tokens: used when the client gave none
  bool store = false;  // Responses: let the provider keep the answer, unless the client said so
};

struct Rendered {
  std::string body;
  // What the client asked for and the upstream's dialect has no word for, as paths in the client's request:
  // "top_k", "tools[3] (web_search)". Empty when nothing is lost. At most 64.
  std::vector<std::string> dropped;
};

// The request as the upstream's dialect wants it; `model` is the upstream's name of the model. With the
// request's own dialect nothing is lost, but the bytes are ours (keys in order): to keep a provider's prompt
// cache warm, edit the client's bytes with edit_object() instead. Always asks for usage in streams.
// Errors: DIALECT_UNSUPPORTED (dropping it would change what the answer means: the message names it).
[[nodiscard]] Result<Rendered> render_request(Dialect upstream, const ChatRequest& request,
                                              std::string_view model, const UpstreamTraits& traits = {});

// Reads a provider's good answer (status 200, not a stream). Errors: PROVIDER_ANSWER_INVALID.
[[nodiscard]] Result<ChatAnswer> parse_answer(Dialect upstream, std::string_view body);

// What a client's answer says of its request; from the client's own request, see echo_of().
struct Echo {
  std::string model;                      // the name that the client asked for
  std::vector<std::string> custom_tools;  // names of tools whose calls are free text in the client's dialect
  bool stream_usage = false;              // Chat: the client asked for a last chunk with usage
  Value response;  // Responses: members that its answer repeats (tools, temperature, …); a map
};
[[nodiscard]] Echo echo_of(const ChatRequest& request);

// The answer as the client's dialect has it. Missing ids are made from `seed` (any text unique to this call).
// A Chat or Responses answer gets created_s, or `now_s` when the upstream had none.
[[nodiscard]] std::string render_answer(Dialect client, const ChatAnswer& answer, const Echo& echo,
                                        std::string_view seed, std::int64_t now_s);

// Replaces or adds top-level members of a JSON object and leaves every other byte as it is. Values are JSON
// texts; an empty text removes the member. Errors: JSON_INVALID (not an object; duplicate keys).
[[nodiscard]] Result<std::string> edit_object(
    std::string_view json, const std::vector<std::pair<std::string_view, std::string>>& edits);

// The request's bytes for an upstream of the same dialect: the model's name replaced, usage asked for in Chat
// streams (traits), all else untouched. Errors as edit_object().
[[nodiscard]] Result<std::string> pass_request(Dialect dialect, std::string_view body,
                                               const ChatRequest& request, std::string_view model,
                                               const UpstreamTraits& traits = {});

}  // namespace ez::models
