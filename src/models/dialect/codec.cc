#include "models/dialect/codec.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/json.h"
#include "base/sha256.h"

namespace ez::models {

namespace {

constexpr std::size_t kMaxDropped = 64;
constexpr std::size_t kMaxIdBytes = 64;

struct StopWord {
  StopReason reason;
  std::string_view anthropic, chat;
};
constexpr std::array<StopWord, 7> kStops{{
    {StopReason::kEndTurn, "end_turn", "stop"},
    {StopReason::kMaxTokens, "max_tokens", "length"},
    {StopReason::kStopSequence, "stop_sequence", "stop"},
    {StopReason::kToolUse, "tool_use", "tool_calls"},
    {StopReason::kPauseTurn, "pause_turn", "stop"},
    {StopReason::kRefusal, "refusal", "content_filter"},
    {StopReason::kContextWindow, "model_context_window_exceeded", "length"},
}};

bool id_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool is_safe_id(std::string_view id) {
  return !id.empty() && id.size() <= kMaxIdBytes && std::all_of(id.begin(), id.end(), id_character);
}

// What changes the meaning when it is lost: a request with it is refused by other dialects. Everything else
// that is unknown is a hint (cache, tier, metadata) and is dropped.
bool essential(std::string_view key, const Value& value) {
  constexpr std::array<std::string_view, 13> kEssential{
      "functions",   "function_call", "audio",          "web_search_options",   "logit_bias",
      "container",   "conversation",  "prompt",         "previous_response_id", "tool_choice",
      "mcp_servers", "cachedContent", "response_format"};
  if (key == "logprobs") return value.is_bool() && value.as_bool();
  if (key == "modalities") {
    return !value.is_list() || value.as_list().size() != 1 || value.as_list().front() != Value("text");
  }
  if (key == "background") return value.is_bool() && value.as_bool();
  return std::find(kEssential.begin(), kEssential.end(), key) != kEssential.end();
}

// Kept for the same dialect; other dialects get them through members of ChatRequest.
bool translated(std::string_view key) {
  constexpr std::array<std::string_view, 6> kTranslated{"thinking", "output_config",  "output_format",
                                                        "metadata", "stream_options", "reasoning"};
  return std::find(kTranslated.begin(), kTranslated.end(), key) != kTranslated.end();
}

bool common_to_openai(std::string_view key) {
  constexpr std::array<std::string_view, 6> kCommon{
      "service_tier", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "metadata", "store"};
  return std::find(kCommon.begin(), kCommon.end(), key) != kCommon.end();
}

std::int64_t plus(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::int64_t>::max() : sum;
}

}  // namespace

void Losses::drop(std::string what) {
  if (dropped_.size() >= kMaxDropped) return;
  if (std::find(dropped_.begin(), dropped_.end(), what) == dropped_.end())
    dropped_.push_back(std::move(what));
}

void Losses::refuse(std::string_view what) {
  if (refused_.has_value()) return;
  refused_.emplace(Code::DialectUnsupported,
                   std::string(what) + " cannot be expressed in the dialect of the model's provider");
}

void carry_extras(const ChatRequest& request, Dialect to, Value& body, Losses& losses) {
  if (request.dialect == to) {
    add_extras(body, request.extras);
    return;
  }
  if (!request.extras.is_map()) return;
  const auto openai = [](Dialect dialect) {
    return dialect == Dialect::kOpenAiChat || dialect == Dialect::kOpenAiResponses;
  };
  const bool both_openai = openai(request.dialect) && openai(to);
  for (const auto& [key, value] : request.extras.as_map()) {
    if (both_openai && common_to_openai(key)) {
      if (body.find(key) == nullptr) body.set(key, value);
    } else if (translated(key)) {
      continue;
    } else if (essential(key, value)) {
      losses.refuse(key);
    } else {
      losses.drop(key);
    }
  }
}

StopReason stop_from_anthropic(std::string_view reason) {
  for (const StopWord& stop : kStops) {
    if (stop.anthropic == reason) return stop.reason;
  }
  return StopReason::kUnknown;
}

std::string_view stop_to_anthropic(StopReason reason) {
  for (const StopWord& stop : kStops) {
    if (stop.reason == reason) return stop.anthropic;
  }
  return "end_turn";
}

StopReason stop_from_chat(std::string_view reason) {
  if (reason == "function_call") return StopReason::kToolUse;
  for (const StopWord& stop : kStops) {
    if (stop.chat == reason) return stop.reason;
  }
  return StopReason::kUnknown;
}

std::string_view stop_to_chat(StopReason reason) {
  for (const StopWord& stop : kStops) {
    if (stop.reason == reason) return stop.chat;
  }
  return "stop";
}

Sealed unseal(std::string_view signature) {
  Sealed out{Seal::kNone, {}, signature};
  const auto take = [&](std::string_view prefix, Seal seal) {
    if (!out.bytes.starts_with(prefix)) return false;
    out.bytes.remove_prefix(prefix.size());
    out.seal = seal;
    return true;
  };
  if (take("anthropic:", Seal::kAnthropic) || take("anthropic-redacted:", Seal::kAnthropicRedacted)) {
    return out;
  }
  if (take("openai:", Seal::kOpenAi)) {
    const std::size_t colon = out.bytes.find(':');
    if (colon == std::string_view::npos) return {Seal::kNone, {}, signature};
    out.id = out.bytes.substr(0, colon);
    out.bytes.remove_prefix(colon + 1);
  }
  return out;
}

std::string seal(Seal seal, std::string_view id, std::string_view bytes) {
  // Ours already: the client got it from us in an answer of the other vendor and gives it back.
  if (unseal(bytes).seal != Seal::kNone) return std::string(bytes);
  std::string out;
  switch (seal) {
    case Seal::kNone:
      break;
    case Seal::kAnthropic:
      out = "anthropic:";
      break;
    case Seal::kAnthropicRedacted:
      out = "anthropic-redacted:";
      break;
    case Seal::kOpenAi:
      out = "openai:" + std::string(id) + ":";
      break;
  }
  return out += bytes;
}

bool has_foreign_seals(const ChatRequest& request) {
  const bool anthropic = request.dialect == Dialect::kAnthropicMessages;
  for (const Message& message : request.messages) {
    for (const Part& part : message.parts) {
      if (part.kind != PartKind::kThinking && part.kind != PartKind::kRedactedThinking) continue;
      const Seal seal = unseal(part.signature).seal;
      if (seal == Seal::kNone) continue;
      if (anthropic != (seal == Seal::kAnthropic || seal == Seal::kAnthropicRedacted)) return true;
    }
  }
  return false;
}

bool read_anthropic_usage(const Value* object, Usage& usage) {
  if (object == nullptr || !object->is_map()) return false;
  Usage read = usage;
  bool any = false, wrong = false;
  const auto take = [&](const Value& from, std::string_view key, std::int64_t& to) {
    const Value* value = from.find(key);
    if (value == nullptr || value->is_null()) return;
    const std::optional<std::int64_t> count = count_of(value);
    wrong = wrong || !count.has_value();
    if (!count) return;
    to = *count;
    any = true;
  };
  take(*object, "input_tokens", read.input_tokens);
  take(*object, "cache_read_input_tokens", read.cache_read_tokens);
  take(*object, "cache_creation_input_tokens", read.cache_write_tokens);
  take(*object, "output_tokens", read.output_tokens);
  if (const Value* kinds = object->find("cache_creation"); kinds != nullptr && kinds->is_map()) {
    take(*kinds, "ephemeral_1h_input_tokens", read.cache_write_1h_tokens);
  }
  if (const Value* details = object->find("output_tokens_details"); details != nullptr && details->is_map()) {
    take(*details, "thinking_tokens", read.reasoning_tokens);
  }
  if (wrong || !any) return false;
  read.cache_write_1h_tokens = std::min(read.cache_write_1h_tokens, read.cache_write_tokens);
  read.reasoning_tokens = std::min(read.reasoning_tokens, read.output_tokens);
  usage = read;
  return true;
}

bool read_openai_usage(const Value* object, Usage& usage) {
  if (object == nullptr || !object->is_map()) return false;
  bool wrong = false;
  const auto take = [&](const Value* from, std::string_view key) -> std::optional<std::int64_t> {
    const Value* value = from == nullptr ? nullptr : from->find(key);
    if (value == nullptr || value->is_null()) return std::nullopt;
    const std::optional<std::int64_t> count = count_of(value);
    wrong = wrong || !count.has_value();
    return count;
  };
  const auto first = [&](std::string_view chat, std::string_view responses) {
    const std::optional<std::int64_t> count = take(object, chat);
    return count ? count : take(object, responses);
  };
  const auto details = [&](std::string_view chat, std::string_view responses) {
    const Value* found = object->find(chat);
    return found != nullptr && found->is_map() ? found : object->find(responses);
  };
  const std::optional<std::int64_t> input = first("prompt_tokens", "input_tokens");
  const std::optional<std::int64_t> output = first("completion_tokens", "output_tokens");
  const std::optional<std::int64_t> total = take(object, "total_tokens");
  const Value* input_details = details("prompt_tokens_details", "input_tokens_details");
  const Value* output_details = details("completion_tokens_details", "output_tokens_details");
  std::optional<std::int64_t> cached = take(input_details, "cached_tokens");
  if (!cached) cached = take(object, "prompt_cache_hit_tokens");                          // DeepSeek
  const std::optional<std::int64_t> written = take(input_details, "cache_write_tokens");  // OpenRouter
  const std::optional<std::int64_t> reasoning = take(output_details, "reasoning_tokens");
  if (wrong || !input.has_value()) return false;
  Usage read;
  read.cache_read_tokens = std::min(cached.value_or(0), *input);
  read.cache_write_tokens = std::min(written.value_or(0), *input - read.cache_read_tokens);
  read.input_tokens = *input - read.cache_read_tokens - read.cache_write_tokens;
  read.output_tokens = output.value_or(0);
  // Some servers leave reasoning out of the completion but not out of the total: what is paid for counts.
  if (total && *total - *input > read.output_tokens) read.output_tokens = *total - *input;
  read.reasoning_tokens = std::min(reasoning.value_or(0), read.output_tokens);
  usage = read;
  return true;
}

Value anthropic_usage(const Usage& usage) {
  Value out;
  out.set("input_tokens", usage.input_tokens);
  out.set("cache_creation_input_tokens", usage.cache_write_tokens);
  out.set("cache_read_input_tokens", usage.cache_read_tokens);
  out.set("output_tokens", usage.output_tokens);
  return out;
}

namespace {

Value openai_usage(const Usage& usage, std::string_view input, std::string_view output) {
  Value in;
  in.set("cached_tokens", usage.cache_read_tokens);
  Value out_details;
  out_details.set("reasoning_tokens", usage.reasoning_tokens);
  Value out;
  out.set(std::string(input) + "_tokens", usage.total_input());
  out.set(std::string(output) + "_tokens", usage.output_tokens);
  out.set("total_tokens", plus(usage.total_input(), usage.output_tokens));
  out.set(std::string(input) + "_tokens_details", std::move(in));
  out.set(std::string(output) + "_tokens_details", std::move(out_details));
  return out;
}

}  // namespace

Value chat_usage(const Usage& usage) { return openai_usage(usage, "prompt", "completion"); }
Value responses_usage(const Usage& usage) { return openai_usage(usage, "input", "output"); }

Value arguments_value(std::string_view arguments) {
  if (arguments.find_first_not_of(" \t\r\n") == std::string_view::npos) return Value(Value::Map{});
  Result<Value> parsed = parse_json(arguments);
  if (parsed.ok() && parsed->is_map()) return std::move(parsed).value();
  Value wrapped;
  wrapped.set("input", arguments);
  return wrapped;
}

std::string custom_input(std::string_view arguments) {
  const Result<Value> parsed = parse_json(arguments);
  if (!parsed.ok() || !parsed->is_map()) return std::string(arguments);
  const Value* input = parsed->find("input");
  return input != nullptr && input->is_string() ? input->as_string() : std::string(arguments);
}

Value schema_of(const Tool& tool) {
  if (tool.schema.is_map()) return tool.schema;
  Value schema;
  schema.set("type", "object");
  schema.set("properties", Value(Value::Map{}));
  if (tool.kind != ToolKind::kCustom) return schema;
  // A tool that takes free text becomes a function of one text.
  Value input;
  input.set("type", "string");
  input.set("description", "The whole input of the tool, as plain text.");
  Value properties;
  properties.set("input", std::move(input));
  schema.set("properties", std::move(properties));
  schema.set("required", Value(Value::List{Value("input")}));
  return schema;
}

void read_image_url(std::string_view url, Part& part) {
  constexpr std::string_view kData = "data:", kBase64 = ";base64,";
  const std::size_t comma = url.substr(0, 256).find(kBase64);
  if (!url.starts_with(kData) || comma == std::string_view::npos) {
    part.url = url;
    return;
  }
  part.media_type = url.substr(kData.size(), comma - kData.size());
  part.data = url.substr(comma + kBase64.size());
}

std::string image_url(const Part& part) {
  return part.url.empty() ? "data:" + part.media_type + ";base64," + part.data : part.url;
}

std::string safe_id(std::string_view prefix, std::string_view id) {
  if (is_safe_id(id)) return std::string(id);
  return std::string(prefix) + sha256_hex(id).substr(0, 24);
}

std::string short_tool_id(std::string_view id) {
  const auto plain = [](char c) { return id_character(c) && c != '-' && c != '_'; };
  if (id.size() == 9 && std::all_of(id.begin(), id.end(), plain)) return std::string(id);
  return sha256_hex(id).substr(0, 9);
}

std::string own_id(std::string_view prefix, std::string_view id, std::string_view seed) {
  if (id.starts_with(prefix)) return std::string(id);
  return std::string(prefix) + sha256_hex(id.empty() ? seed : id).substr(0, 24);
}

std::vector<Message> merged_turns(const std::vector<Message>& messages) {
  std::vector<Message> out;
  for (const Message& message : messages) {
    if (!out.empty() && out.back().role == message.role) {
      out.back().parts.insert(out.back().parts.end(), message.parts.begin(), message.parts.end());
    } else {
      out.push_back(message);
    }
  }
  return out;
}

}  // namespace ez::models
