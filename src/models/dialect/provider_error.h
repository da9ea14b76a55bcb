// What went wrong at a provider, in one form for both vendors, and the same told to a client in its dialect.
// Pure; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/value.h"
#include "models/dialect/chat.h"
#include "models/dialect/wire.h"

namespace ez::models {

enum class ErrorKind : std::uint8_t {
  kInvalidRequest,  // the request is wrong: nothing helps but another request
  kContextTooLong,  // the conversation does not fit the model
  kTooLarge,        // the body is too large
  kAuthentication,  // this key is not accepted: another key may be
  kPermission,      // this key may not do that: another key may
  kNotFound,        // no such model or endpoint
  kRateLimit,       // this key has to wait; another key may go
  kQuota,           // this key has no money left: another key or model, waiting does not help
  kOverloaded,      // the provider is overloaded (529, 503): wait, or another provider
  kServer,          // 5xx
  kTimeout,         // nothing came in time (408, 504, ours)
  kConnection,      // no connection, or it broke
  kInvalidAnswer,   // the answer is not what the dialect says
  kBudget,          // ours: the run's budget does not allow the call
  kUnsupported,     // ours: the upstream's dialect cannot express the request
};
[[nodiscard]] std::string_view error_kind_name(ErrorKind kind);

// What helps.
enum class Remedy : std::uint8_t { kNothing, kWait, kOtherKey, kOtherModel };

// One limit of a key as the provider's headers tell it.
struct RateLimit {
  std::optional<std::int64_t> limit;
  std::optional<std::int64_t> remaining;
  std::optional<std::int64_t> reset_at_ms;  // unix
};

struct RateLimits {
  RateLimit requests, tokens, input_tokens, output_tokens;
  [[nodiscard]] bool any() const;
};

// Reads anthropic-ratelimit-* (resets in RFC 3339) and x-ratelimit-* (resets like 12ms, 1s, 6m0s, or plain
// seconds). What is malformed is left out. For good answers as well as for errors.
[[nodiscard]] RateLimits parse_rate_limits(const Headers& headers, std::int64_t now_ms);

// Milliseconds to wait as retry-after-ms or retry-after (seconds, fractions of them, or an HTTP date) says.
// Negative and malformed ones are nothing; at most a day.
[[nodiscard]] std::optional<std::int64_t> parse_retry_after(const Headers& headers, std::int64_t now_ms);

// "6m0s", "12ms", "1h2m3.5s", "1.5", in milliseconds rounded up. Nothing when malformed or over 30 days.
[[nodiscard]] std::optional<std::int64_t> parse_go_duration_ms(std::string_view text);
// RFC 3339 with any offset and fraction. Nothing when malformed.
[[nodiscard]] std::optional<std::int64_t> parse_rfc3339_ms(std::string_view text);

struct ProviderError {
  ErrorKind kind = ErrorKind::kServer;
  int status = 0;          // of the provider's answer; 0: none came
  std::string type;        // the provider's word: "overloaded_error", "insufficient_quota"
  std::string code;        // OpenAI's code
  std::string param;       // OpenAI's param
  std::string message;     // at most 2,000 bytes, never empty
  std::string request_id;  // the provider's
  std::optional<std::int64_t> retry_after_ms;
  RateLimits limits;

  // Whether the same call may succeed later, or elsewhere.
  [[nodiscard]] Remedy remedy() const;
  [[nodiscard]] bool retry_helps() const { return remedy() == Remedy::kWait; }
};

// An answer with a status other than 2xx. Takes any body: JSON of either vendor, of compatible servers
// ({"error": "text"}, {"message": …}, {"detail": …}, a list around it), HTML, nothing.
[[nodiscard]] ProviderError parse_error(Dialect upstream, int status, const Headers& headers,
                                        std::string_view body, std::int64_t now_ms);

// The error object of a stream ("error" event, error chunk, response.failed), which has no status: given its
// JSON. A rate limit or overload named there counts as such.
[[nodiscard]] ProviderError parse_stream_error(Dialect upstream, const Value& event);

// An error of ours in the same form: BUDGET_EXCEEDED, DIALECT_UNSUPPORTED, JSON_INVALID, UNAUTHENTICATED …
[[nodiscard]] ProviderError from_error(const Error& error);

// The error object itself ({"type", "message"}; OpenAI: also "param", "code"), for streams.
[[nodiscard]] Value error_object(Dialect client, const ProviderError& error);

struct RenderedError {
  int status = 500;
  Headers headers;  // content-type, x-should-retry: false, retry-after and request-id where known
  std::string body;
};

// In the client's dialect and with a status that its SDK maps to the right class. Always carries
// x-should-retry: false, because the gateway has retried already.
[[nodiscard]] RenderedError render_error(Dialect client, const ProviderError& error);

}  // namespace ez::models
