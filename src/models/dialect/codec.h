// What the dialects' codecs share. Internal to models/dialect.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/value.h"
#include "models/dialect/chat.h"
#include "models/dialect/dialect.h"
#include "models/dialect/fields.h"

namespace ez::models {

// Per dialect: anthropic_request.cc, chat_request.cc, responses_request.cc.
void parse_anthropic_request(ReadContext& context, const Value& body, ChatRequest& out);
void parse_chat_request(ReadContext& context, const Value& body, ChatRequest& out);
void parse_responses_request(ReadContext& context, const Value& body, ChatRequest& out);
void parse_gemini_request(ReadContext& context, const Value& body, ChatRequest& out);  // gemini_request.cc

// Collects what a rendering leaves out, and the first thing that it must refuse.
class Losses {
 public:
  void drop(std::string what);
  void refuse(std::string_view what);
  [[nodiscard]] const std::optional<Error>& refused() const { return refused_; }
  [[nodiscard]] std::vector<std::string> take() { return std::move(dropped_); }

 private:
  std::vector<std::string> dropped_;
  std::optional<Error> refused_;
};

Value render_anthropic_request(const ChatRequest& request, std::string_view model,
                               const UpstreamTraits& traits, Losses& losses);
Value render_chat_request(const ChatRequest& request, std::string_view model, const UpstreamTraits& traits,
                          Losses& losses);
Value render_responses_request(const ChatRequest& request, std::string_view model,
                               const UpstreamTraits& traits, Losses& losses);

// Per dialect: anthropic_answer.cc, chat_answer.cc, responses_answer.cc.
void parse_anthropic_answer(ReadContext& context, const Value& body, ChatAnswer& out);
void parse_chat_answer(ReadContext& context, const Value& body, ChatAnswer& out);
void parse_responses_answer(ReadContext& context, const Value& body, ChatAnswer& out);
Value render_anthropic_answer(const ChatAnswer& answer, const Echo& echo, std::string_view seed);
Value render_chat_answer(const ChatAnswer& answer, const Echo& echo, std::string_view seed,
                         std::int64_t now_s);
Value render_responses_answer(const ChatAnswer& answer, const Echo& echo, std::string_view seed,
                              std::int64_t now_s);

Value render_gemini_answer(const ChatAnswer& answer, const Echo& echo, std::string_view seed);

// A content block of an Anthropic message, of a request or an answer.
Part parse_anthropic_block(ReadContext& context, const Value& block, const Path& path, int depth);
// An item of the Responses dialect as a message of one or more parts.
Message parse_responses_item(ReadContext& context, const Value& item, const Path& path);

// Figures. False, and `usage` untouched, when the object has no credible ones (negative, fractional, text).
// Figures that are absent or null keep what `usage` has (Anthropic's updates are partial and cumulative).
bool read_anthropic_usage(const Value* object, Usage& usage);
bool read_openai_usage(const Value* object, Usage& usage);  // Chat and Responses
bool read_gemini_usage(const Value* object, Usage& usage);
Value anthropic_usage(const Usage& usage);
Value chat_usage(const Usage& usage);
Value responses_usage(const Usage& usage);

// Google's word for that class of errors, "RESOURCE_EXHAUSTED".
std::string_view gemini_status(int http_status);

StopReason stop_from_anthropic(std::string_view reason);
std::string_view stop_to_anthropic(StopReason reason);
StopReason stop_from_chat(std::string_view reason);
std::string_view stop_to_chat(StopReason reason);

// Signatures of thinking are kept with the vendor that sealed them in front: "anthropic:…",
// "anthropic-redacted:…", "openai:ITEM:…". Base64 has no colon, so a vendor's own never looks like that.
enum class Seal : std::uint8_t { kNone, kAnthropic, kAnthropicRedacted, kOpenAi };
struct Sealed {
  Seal seal = Seal::kNone;
  std::string_view id;     // of OpenAI's item
  std::string_view bytes;  // as the vendor gave them
};
Sealed unseal(std::string_view signature);
// The signature as read from `dialect`: sealed there, or a seal of the other vendor that we had put in.
std::string seal(Seal seal, std::string_view id, std::string_view bytes);

// The JSON text of a tool's input as a value: {} for "", {"input": text} when it is no object.
Value arguments_value(std::string_view arguments);
// The free text of a custom tool whose call came as a function's arguments {"input": text}.
std::string custom_input(std::string_view arguments);
// The schema of a tool's input, never null.
Value schema_of(const Tool& tool);
// "data:image/png;base64,AAAA" → media_type and data; anything else → url.
void read_image_url(std::string_view url, Part& part);
std::string image_url(const Part& part);

// An id of at most 64 letters, digits, - and _: the given one when it is such, otherwise made from it.
std::string safe_id(std::string_view prefix, std::string_view id);
std::string short_tool_id(std::string_view id);  // nine letters and digits
// The id when it begins with the prefix, otherwise one made of the seed.
std::string own_id(std::string_view prefix, std::string_view id, std::string_view seed);

// Messages of one side after another become one; what the other dialects want.
std::vector<Message> merged_turns(const std::vector<Message>& messages);

// The extras that both OpenAI dialects know by the same name, from one to the other; and the refusal or the
// record of all others.
void carry_extras(const ChatRequest& request, Dialect to, Value& body, Losses& losses);

// The Responses dialect's answer object, begun and finished, and one item of its output.
Value responses_object(const Echo& echo, std::string_view id, std::string_view model, std::int64_t created_s);
void finish_responses_object(Value& response, StopReason reason, const Usage& usage, Value::List output);
Value responses_item(const Part& part, const Echo& echo, const std::string& item_id);
StopReason responses_stop(const Value& response, bool has_calls);

// Whether thinking that the other vendor sealed stands in the request: then its bytes cannot go on as they
// are.
bool has_foreign_seals(const ChatRequest& request);

}  // namespace ez::models
