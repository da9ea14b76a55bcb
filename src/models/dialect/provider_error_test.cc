#include "models/dialect/provider_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace ez::models {
namespace {

using ::testing::HasSubstr;

constexpr Dialect kA = Dialect::kAnthropicMessages, kC = Dialect::kOpenAiChat;
constexpr std::int64_t kNow = 1'795'000'000'000;  // 2026-11-18T11:06:40Z

TEST(Times, Rfc3339) {
  EXPECT_EQ(parse_rfc3339_ms("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_rfc3339_ms("2024-02-29T23:59:59.5Z"), 1'709'251'199'500);
  EXPECT_EQ(parse_rfc3339_ms("2026-11-18T12:06:40+01:00"), kNow);
  EXPECT_EQ(parse_rfc3339_ms("2026-11-18t06:36:40.000123-04:30"), kNow);
  for (const char* bad :
       {"", "2026", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-11-18T24:00:00Z",
        "2026-11-18T11:06:40", "2026-11-18T11:06:40.Z", "2026-11-18T11:06:40Zx", "0000-01-01T00:00:00Z"}) {
    EXPECT_EQ(parse_rfc3339_ms(bad), std::nullopt) << bad;
  }
}

TEST(Times, Durations) {
  EXPECT_EQ(parse_go_duration_ms("6m0s"), 360'000);
  EXPECT_EQ(parse_go_duration_ms("12ms"), 12);
  EXPECT_EQ(parse_go_duration_ms("1h2m3.5s"), 3'723'500);
  EXPECT_EQ(parse_go_duration_ms("8.64s"), 8'640);
  EXPECT_EQ(parse_go_duration_ms("1.5"), 1'500);
  EXPECT_EQ(parse_go_duration_ms("500us"), 1);  // rounded up: never too early
  EXPECT_EQ(parse_go_duration_ms("0s"), 0);
  for (const char* bad : {"", "s", "-1s", "1x", "1s2", "1e9s", "1..2s", "99999d", "1m-2s", "."}) {
    EXPECT_EQ(parse_go_duration_ms(bad), std::nullopt) << bad;
  }
}

TEST(Times, RetryAfter) {
  const auto wait = [](std::string value) {
    return parse_retry_after({{"Retry-After", std::move(value)}}, kNow);
  };
  EXPECT_EQ(wait("30"), 30'000);
  EXPECT_EQ(wait("0.25"), 250);
  EXPECT_EQ(wait("Wed, 18 Nov 2026 11:06:50 GMT"), 10'000);
  EXPECT_EQ(wait("Wed, 18 Nov 2026 11:06:00 GMT"), 0);
  EXPECT_EQ(wait("2000000"), 86'400'000);
  for (const char* bad : {"", "-1", "soon", "1 2", "99999999999999999999"})
    EXPECT_EQ(wait(bad), std::nullopt) << bad;
  EXPECT_EQ(parse_retry_after({{"retry-after", "9"}, {"retry-after-ms", "1200"}}, kNow), 1'200);
}

TEST(RateLimits, OfBothVendors) {
  const RateLimits a = parse_rate_limits({{"anthropic-ratelimit-requests-limit", "50"},
                                          {"anthropic-ratelimit-requests-remaining", "49"},
                                          {"anthropic-ratelimit-requests-reset", "2026-11-18T11:06:41Z"},
                                          {"anthropic-ratelimit-input-tokens-remaining", "40000"},
                                          {"anthropic-ratelimit-output-tokens-remaining", "nonsense"}},
                                         kNow);
  EXPECT_EQ(a.requests.limit, 50);
  EXPECT_EQ(a.requests.remaining, 49);
  EXPECT_EQ(a.requests.reset_at_ms, kNow + 1'000);
  EXPECT_EQ(a.input_tokens.remaining, 40'000);
  EXPECT_EQ(a.output_tokens.remaining, std::nullopt);
  const RateLimits o = parse_rate_limits({{"X-RateLimit-Limit-Tokens", "150000"},
                                          {"x-ratelimit-remaining-tokens", "0"},
                                          {"x-ratelimit-reset-tokens", "6m0s"},
                                          {"x-ratelimit-reset-requests", "12ms"}},
                                         kNow);
  EXPECT_EQ(o.tokens.limit, 150'000);
  EXPECT_EQ(o.tokens.remaining, 0);
  EXPECT_EQ(o.tokens.reset_at_ms, kNow + 360'000);
  EXPECT_EQ(o.requests.reset_at_ms, kNow + 12);
  EXPECT_FALSE(parse_rate_limits({{"content-type", "x"}}, kNow).any());
}

struct Case {
  int status;
  const char* body;
  ErrorKind kind;
  Remedy remedy;
  const char* message;
};

TEST(ProviderError, OfAllKinds) {
  using enum ErrorKind;
  const Case cases[] = {
      {400, R"({"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: required"}})",
       kInvalidRequest, Remedy::kNothing, "max_tokens: required"},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}})",
       kContextTooLong, Remedy::kOtherModel, "prompt is too long: 9 > 8"},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"credit balance is too low"}})",
       kQuota, Remedy::kOtherKey, "credit balance is too low"},
      {401, R"({"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}})",
       kAuthentication, Remedy::kOtherKey, "invalid x-api-key"},
      {402, R"({"error":{"message":"Insufficient Balance","type":"unknown_error"}})", kQuota,
       Remedy::kOtherKey, "Insufficient Balance"},
      {404, R"({"error":{"message":"no model x","type":"invalid_request_error","code":"model_not_found"}})",
       kNotFound, Remedy::kOtherModel, "no model x"},
      {429,
       R"({"type":"error","error":{"type":"rate_limit_error","message":"slow down"},"request_id":"req_1"})",
       kRateLimit, Remedy::kWait, "slow down"},
      {429, R"({"error":{"message":"quota","type":"insufficient_quota","code":"insufficient_quota"}})",
       kQuota, Remedy::kOtherKey, "quota"},
      {429, R"({"error":{"message":"limit","type":"tokens","code":"rate_limit_exceeded"}})", kRateLimit,
       Remedy::kWait, "limit"},
      {429, R"([{"error":{"code":429,"message":"gemini","status":"RESOURCE_EXHAUSTED"}}])", kRateLimit,
       Remedy::kWait, "gemini"},
      {500, "<html>oops</html>", kServer, Remedy::kWait, "the provider answered 500"},
      {502, "bad gateway", kServer, Remedy::kWait, "bad gateway"},
      {503, "", kOverloaded, Remedy::kWait, "the provider answered 503"},
      {529, R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})", kOverloaded,
       Remedy::kWait, "Overloaded"},
      {400, R"({"error":{"message":"x","type":"server_error"}})", kInvalidRequest, Remedy::kNothing, "x"},
      {404, R"({"error":"model 'x' not found"})", kNotFound, Remedy::kOtherModel,
       "model 'x' not found"},  // Ollama
      {422, R"({"detail":[{"loc":["body"],"msg":"bad"}]})", kInvalidRequest, Remedy::kNothing,
       R"([{"loc":["body"],"msg":"bad"}])"},  // FastAPI
      {302, "", kInvalidAnswer, Remedy::kWait, "the provider answered 302"},
      {500, R"({"a":)", kServer, Remedy::kWait, R"({"a":)"},
      {400, "null", kInvalidRequest, Remedy::kNothing, "the provider answered 400"}};
  for (const Case& each : cases) {
    const ProviderError error = parse_error(kA, each.status, {}, each.body, kNow);
    EXPECT_EQ(error_kind_name(error.kind), error_kind_name(each.kind)) << each.body;
    EXPECT_EQ(error.remedy(), each.remedy) << each.body;
    EXPECT_EQ(error.message, each.message);
    EXPECT_EQ(error.status, each.status);
  }
  const ProviderError with = parse_error(
      kC, 429, {{"x-request-id", "req_9"}, {"retry-after", "2"}, {"x-ratelimit-remaining-requests", "0"}}, "",
      kNow);
  EXPECT_EQ(with.request_id, "req_9");
  EXPECT_EQ(with.retry_after_ms, 2'000);
  EXPECT_EQ(with.limits.requests.remaining, 0);
}

TEST(ProviderError, MessagesAreBoundedAndClean) {
  const std::string body = R"({"error":{"message":")" + std::string(100'000, 'x') + "\"}}";
  EXPECT_LE(parse_error(kC, 500, {}, body, kNow).message.size(), 2'000U);
  const std::string wide = std::string(5'000, '\xff') + "\x01";
  const std::string message = parse_error(kC, 500, {}, wide, kNow).message;
  EXPECT_LE(message.size(), 2'000U);
  EXPECT_TRUE(parse_json(to_json(Value(message))).ok());
}

TEST(ProviderError, ToldInTheClientsDialect) {
  ProviderError error;
  error.kind = ErrorKind::kRateLimit;
  error.message = "slow \"down\"";
  error.retry_after_ms = 1'200;
  error.request_id = "req_7";
  const RenderedError a = render_error(kA, error);
  EXPECT_EQ(a.status, 429);
  EXPECT_EQ(*parse_json(a.body), *parse_json(R"({"type":"error","error":{"type":"rate_limit_error",
    "message":"slow \"down\""},"request_id":"req_7"})"));
  EXPECT_EQ(find_header(a.headers, "X-Should-Retry"), "false");
  EXPECT_EQ(find_header(a.headers, "retry-after"), "2");
  EXPECT_EQ(find_header(a.headers, "request-id"), "req_7");
  const RenderedError c = render_error(kC, error);
  EXPECT_EQ(*parse_json(c.body), *parse_json(R"({"error":{"message":"slow \"down\"","type":"requests",
    "param":null,"code":"rate_limit_exceeded"}})"));
  for (int kind = 0; kind <= static_cast<int>(ErrorKind::kUnsupported); ++kind) {
    error.kind = static_cast<ErrorKind>(kind);
    for (const Dialect dialect : {kA, kC, Dialect::kOpenAiResponses}) {
      const RenderedError told = render_error(dialect, error);
      EXPECT_GE(told.status, 400);
      EXPECT_EQ(find_header(told.headers, "x-should-retry"), "false");
      // Read back as a provider's error it is of the same family.
      const ProviderError again = parse_error(dialect, told.status, told.headers, told.body, kNow);
      EXPECT_EQ(again.message, error.message);
    }
  }
}

TEST(ProviderError, OfOurOwn) {
  const ProviderError budget = from_error(Error(Code::BudgetExceeded, "the run has 3 of 5 left"));
  EXPECT_EQ(budget.kind, ErrorKind::kBudget);
  EXPECT_EQ(budget.remedy(), Remedy::kNothing);
  EXPECT_THAT(budget.message, HasSubstr("the run has 3 of 5 left"));
  EXPECT_EQ(render_error(kA, budget).status, 402);
  EXPECT_EQ(render_error(kC, budget).status, 429);
  EXPECT_EQ(from_error(Error(Code::Unauthenticated, "x")).kind, ErrorKind::kAuthentication);
  EXPECT_EQ(from_error(Error(Code::DialectUnsupported, "x")).kind, ErrorKind::kUnsupported);
  EXPECT_EQ(from_error(Error(Code::ProviderStreamCut, "x")).kind, ErrorKind::kConnection);
  EXPECT_EQ(from_error(Error(Code::JsonInvalid, "x")).kind, ErrorKind::kInvalidRequest);
  EXPECT_EQ(from_error(Error(Code::Internal, "x")).kind, ErrorKind::kServer);
}

}  // namespace
}  // namespace ez::models
