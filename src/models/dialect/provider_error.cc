#include "models/dialect/provider_error.h"

#include <array>

#include "base/json.h"
#include "base/utf8.h"
#include "models/dialect/codec.h"

namespace ez::models {

namespace {

constexpr std::size_t kMaxMessageBytes = 2'000;
constexpr JsonLimits kErrorLimits{1024 * 1024, 64, 100'000};

constexpr std::array<std::string_view, 15> kKinds{
    "invalid_request", "context_too_long", "too_large",      "authentication", "permission",
    "not_found",       "rate_limit",       "quota",          "overloaded",     "server",
    "timeout",         "connection",       "invalid_answer", "budget",         "unsupported"};

// At most `limit` bytes, cut between characters, control characters as spaces.
std::string excerpt(std::string_view text, std::size_t limit) {
  std::string out;
  while (!text.empty()) {
    const std::uint32_t point = take_code_point(text);
    append_utf8(out, point < 0x20 || point == 0x7F ? std::uint32_t{' '} : point);
    if (out.size() + 4 > limit) break;
  }
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string::npos; }

std::string scalar_text(const Value* value) {
  if (value == nullptr) return {};
  if (value->is_string()) return value->as_string();
  if (value->is_int()) return std::to_string(value->as_int());
  return {};
}

// The vendor's words, wherever the server put them.
void read_words(const Value& body, ProviderError& error) {
  const Value* root = &body;
  if (root->is_list() && !root->as_list().empty()) root = &root->as_list().front();  // Gemini's endpoint
  if (!root->is_map()) {
    if (root->is_string()) error.message = root->as_string();
    return;
  }
  error.request_id = scalar_text(root->find("request_id"));
  const Value* inner = root->find("error");
  if (inner != nullptr && inner->is_string()) {  // Ollama
    error.message = inner->as_string();
    inner = nullptr;
  }
  const Value& words = inner != nullptr && inner->is_map() ? *inner : *root;
  if (error.message.empty()) error.message = scalar_text(words.find("message"));
  if (error.message.empty()) {  // FastAPI: text, or a list of places
    const Value* detail = words.find("detail");
    if (detail != nullptr) error.message = detail->is_string() ? detail->as_string() : to_json(*detail);
  }
  if (&words != root || words.string_or("type", "") != "error") error.type = scalar_text(words.find("type"));
  if (error.type.empty()) error.type = scalar_text(words.find("status"));  // Google: "RESOURCE_EXHAUSTED"
  error.code = scalar_text(words.find("code"));
  error.param = scalar_text(words.find("param"));
}

bool says_context(const ProviderError& error) {
  if (error.code == "context_length_exceeded" || error.code == "string_above_max_length") return true;
  const std::string message = lower(error.message);
  return contains(message, "prompt is too long") || contains(message, "maximum context length") ||
         contains(message, "context window") || contains(message, "input length and `max_tokens` exceed") ||
         contains(message, "exceeds the available context size");
}

bool says_quota(const ProviderError& error) {
  if (error.code == "insufficient_quota" || error.type == "insufficient_quota" ||
      error.code == "billing_hard_limit_reached" || error.code == "billing_not_active" ||
      error.type == "billing_error") {
    return true;
  }
  const std::string message = lower(error.message);
  return contains(message, "credit balance is too low") || contains(message, "insufficient balance") ||
         contains(message, "exceeded your current quota") || contains(message, "insufficient credits");
}

// By the vendor's own word; nothing when it says nothing more than the status does.
std::optional<ErrorKind> kind_of_words(const ProviderError& error) {
  if (says_quota(error)) return ErrorKind::kQuota;
  if (says_context(error)) return ErrorKind::kContextTooLong;
  for (const std::string_view word : {std::string_view(error.type), std::string_view(error.code)}) {
    if (word == "rate_limit_error" || word == "rate_limit_exceeded" || word == "RESOURCE_EXHAUSTED") {
      return ErrorKind::kRateLimit;
    }
    if (word == "overloaded_error" || word == "slow_down" || word == "server_overloaded" ||
        word == "UNAVAILABLE") {
      return ErrorKind::kOverloaded;
    }
    if (word == "authentication_error" || word == "invalid_api_key" || word == "UNAUTHENTICATED") {
      return ErrorKind::kAuthentication;
    }
    if (word == "permission_error" || word == "PERMISSION_DENIED") return ErrorKind::kPermission;
    if (word == "not_found_error" || word == "model_not_found") return ErrorKind::kNotFound;
    if (word == "request_too_large") return ErrorKind::kTooLarge;
    if (word == "timeout_error") return ErrorKind::kTimeout;
    if (word == "api_error" || word == "server_error") return ErrorKind::kServer;
  }
  return std::nullopt;
}

ErrorKind kind_of_status(int status) {
  switch (status) {
    case 401:
      return ErrorKind::kAuthentication;
    case 402:
      return ErrorKind::kQuota;
    case 403:
      return ErrorKind::kPermission;
    case 404:
      return ErrorKind::kNotFound;
    case 408:
      return ErrorKind::kTimeout;
    case 413:
      return ErrorKind::kTooLarge;
    case 429:
      return ErrorKind::kRateLimit;
    case 503:
      return ErrorKind::kOverloaded;
    case 504:
      return ErrorKind::kTimeout;
    case 524:
      return ErrorKind::kTimeout;  // Cloudflare
    case 529:
      return ErrorKind::kOverloaded;  // Anthropic
    default:
      break;
  }
  // 409 is a conflict inside the provider, which both vendors' SDKs retry.
  if (status >= 500 || status == 409) return ErrorKind::kServer;
  if (status >= 400) return ErrorKind::kInvalidRequest;
  return ErrorKind::kInvalidAnswer;  // a redirect or an early answer: no API of a model does that
}

void complete(ProviderError& error) {
  error.message = excerpt(error.message, kMaxMessageBytes);
  error.type = excerpt(error.type, 100);
  error.code = excerpt(error.code, 100);
  error.param = excerpt(error.param, 200);
  error.request_id = excerpt(error.request_id, 200);
  if (error.message.empty()) {
    error.message = error.status == 0 ? "the provider gave no reason"
                                      : "the provider answered " + std::to_string(error.status);
  }
}

}  // namespace

std::string_view error_kind_name(ErrorKind kind) { return kKinds.at(static_cast<std::size_t>(kind)); }

Remedy ProviderError::remedy() const {
  switch (kind) {
    case ErrorKind::kRateLimit:
    case ErrorKind::kOverloaded:
    case ErrorKind::kServer:
    case ErrorKind::kTimeout:
    case ErrorKind::kConnection:
    case ErrorKind::kInvalidAnswer:
      return Remedy::kWait;
    case ErrorKind::kAuthentication:
    case ErrorKind::kPermission:
    case ErrorKind::kQuota:
      return Remedy::kOtherKey;
    case ErrorKind::kNotFound:
    case ErrorKind::kContextTooLong:
      return Remedy::kOtherModel;
    case ErrorKind::kInvalidRequest:
    case ErrorKind::kTooLarge:
    case ErrorKind::kBudget:
    case ErrorKind::kUnsupported:
      return Remedy::kNothing;
  }
  return Remedy::kNothing;
}

ProviderError parse_error(Dialect /*upstream*/, int status, const Headers& headers, std::string_view body,
                          std::int64_t now_ms) {
  ProviderError error;
  error.status = status;
  if (const Result<Value> parsed = parse_json(body, kErrorLimits); parsed.ok()) {
    read_words(*parsed, error);
  } else if (!body.empty() && body.front() != '<') {
    error.message = excerpt(body, 500);
  }
  error.kind = kind_of_status(status);
  if (const std::optional<ErrorKind> told = kind_of_words(error)) {
    // A word may narrow the status down, never turn a wrong request into one that a retry helps: compatible
    // servers put "server_error" and the like everywhere.
    const bool wrong_request = error.kind == ErrorKind::kInvalidRequest;
    ProviderError as_told = error;
    as_told.kind = *told;
    if (!wrong_request || !as_told.retry_helps()) error.kind = *told;
  }
  if (const auto id = find_header(headers, "request-id")) {
    error.request_id = *id;
  } else if (const auto other = find_header(headers, "x-request-id")) {
    error.request_id = *other;
  }
  error.retry_after_ms = parse_retry_after(headers, now_ms);
  error.limits = parse_rate_limits(headers, now_ms);
  complete(error);
  return error;
}

ProviderError parse_stream_error(Dialect /*upstream*/, const Value& event) {
  ProviderError error;
  read_words(event, error);
  // {"type":"error","code":…,"message":…} of the Responses dialect has its words at the root.
  if (const Value* response = event.find("response"); response != nullptr && response->is_map()) {
    if (const Value* inner = response->find("error"); inner != nullptr && inner->is_map()) {
      read_words(*inner, error);
    }
  }
  const std::optional<ErrorKind> told = kind_of_words(error);
  error.kind =
      told.value_or(error.type == "invalid_request_error" ? ErrorKind::kInvalidRequest : ErrorKind::kServer);
  complete(error);
  return error;
}

ProviderError from_error(const Error& error) {
  ProviderError out;
  out.status = info(error.code()).http_status;
  switch (error.code()) {
    case Code::BudgetExceeded:
      out.kind = ErrorKind::kBudget;
      break;
    case Code::DialectUnsupported:
      out.kind = ErrorKind::kUnsupported;
      break;
    case Code::Unauthenticated:
      out.kind = ErrorKind::kAuthentication;
      break;
    case Code::PermissionDenied:
      out.kind = ErrorKind::kPermission;
      break;
    case Code::PayloadTooLarge:
      out.kind = ErrorKind::kTooLarge;
      break;
    case Code::ProviderAnswerInvalid:
      out.kind = ErrorKind::kInvalidAnswer;
      break;
    case Code::ProviderStreamCut:
      out.kind = ErrorKind::kConnection;
      break;
    case Code::Overloaded:
      out.kind = ErrorKind::kOverloaded;
      break;
    default:
      out.kind = out.status == 404  ? ErrorKind::kNotFound
                 : out.status < 500 ? ErrorKind::kInvalidRequest
                                    : ErrorKind::kServer;
  }
  out.code = error.name();
  out.message = error.to_string();
  complete(out);
  return out;
}

namespace {

struct Dress {
  int status;
  std::string_view anthropic_type;
  std::string_view openai_type;
  std::string_view openai_code;  // "": null
};

Dress dress_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidRequest:
      return {400, "invalid_request_error", "invalid_request_error", ""};
    case ErrorKind::kContextTooLong:
      return {400, "invalid_request_error", "invalid_request_error", "context_length_exceeded"};
    case ErrorKind::kTooLarge:
      return {413, "request_too_large", "invalid_request_error", ""};
    case ErrorKind::kAuthentication:
      return {401, "authentication_error", "invalid_request_error", "invalid_api_key"};
    case ErrorKind::kPermission:
      return {403, "permission_error", "invalid_request_error", ""};
    case ErrorKind::kNotFound:
      return {404, "not_found_error", "invalid_request_error", "model_not_found"};
    case ErrorKind::kRateLimit:
      return {429, "rate_limit_error", "requests", "rate_limit_exceeded"};
    case ErrorKind::kQuota:
      return {429, "rate_limit_error", "insufficient_quota", "insufficient_quota"};
    case ErrorKind::kOverloaded:
      return {529, "overloaded_error", "server_error", "server_overloaded"};
    case ErrorKind::kTimeout:
      return {504, "timeout_error", "server_error", ""};
    case ErrorKind::kServer:
      return {500, "api_error", "server_error", ""};
    case ErrorKind::kConnection:
    case ErrorKind::kInvalidAnswer:
      return {502, "api_error", "server_error", ""};
    case ErrorKind::kBudget:
      return {402, "billing_error", "insufficient_quota", "insufficient_quota"};
    case ErrorKind::kUnsupported:
      return {400, "invalid_request_error", "invalid_request_error", ""};
  }
  return {500, "api_error", "server_error", ""};
}

}  // namespace

Value error_object(Dialect client, const ProviderError& error) {
  const Dress dress = dress_of(error.kind);
  Value words;
  words.set("message", error.message);
  if (client == Dialect::kGemini) {
    words.set("code", dress.status == 529 ? 503 : dress.status);
    words.set("status", gemini_status(dress.status == 529 ? 503 : dress.status));
    return words;
  }
  if (client == Dialect::kAnthropicMessages) {
    words.set("type", dress.anthropic_type);
    return words;
  }
  words.set("type", dress.openai_type);
  words.set("param", error.param.empty() ? Value() : Value(error.param));
  // A code of ours or of the vendor says more than the class does.
  const std::string_view code = !dress.openai_code.empty() ? dress.openai_code : std::string_view(error.code);
  words.set("code", code.empty() ? Value() : Value(code));
  return words;
}

RenderedError render_error(Dialect client, const ProviderError& error) {
  RenderedError out;
  out.status = dress_of(error.kind).status;
  if (client == Dialect::kGemini) {
    // Google has no 529; 402 is not its own either, but what it has in its place its clients try again and
    // again.
    if (error.kind == ErrorKind::kOverloaded) out.status = 503;
  } else if (client != Dialect::kAnthropicMessages) {
    // OpenAI has neither 529 nor 402; its clients know 503, and 429 with insufficient_quota.
    if (error.kind == ErrorKind::kOverloaded) out.status = 503;
    if (error.kind == ErrorKind::kBudget) out.status = 429;
  }
  Value body;
  body.set("error", error_object(client, error));
  if (client == Dialect::kAnthropicMessages) {
    body.set("type", "error");
    body.set("request_id", error.request_id.empty() ? Value() : Value(error.request_id));
  }
  out.body = to_json(body);
  out.headers.emplace_back("content-type", "application/json");
  out.headers.emplace_back("x-should-retry", "false");
  if (error.retry_after_ms.has_value()) {
    out.headers.emplace_back("retry-after", std::to_string((*error.retry_after_ms + 999) / 1'000));
  }
  if (!error.request_id.empty()) {
    out.headers.emplace_back(client == Dialect::kAnthropicMessages ? "request-id" : "x-request-id",
                             error.request_id);
  }
  return out;
}

}  // namespace ez::models
