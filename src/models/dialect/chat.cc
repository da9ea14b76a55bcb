#include "models/dialect/chat.h"

#include <array>
#include <limits>

namespace ez::models {

namespace {

constexpr std::array<std::string_view, 4> kDialects{"anthropic-messages", "openai-chat", "openai-responses",
                                                    "gemini"};
constexpr std::size_t kProviderDialects = 3;  // the first ones
constexpr std::array<std::string_view, 8> kStopReasons{"unknown",       "end_turn",      "max_tokens",
                                                       "stop_sequence", "tool_use",      "pause_turn",
                                                       "refusal",       "context_window"};

// Counts are never negative (the parsers see to it), so only the upper end needs care.
std::int64_t plus(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::int64_t>::max() : sum;
}

}  // namespace

std::string_view dialect_name(Dialect dialect) { return kDialects.at(static_cast<std::size_t>(dialect)); }

std::optional<Dialect> find_dialect(std::string_view name) {
  for (std::size_t i = 0; i < kProviderDialects; ++i) {
    if (kDialects[i] == name) return static_cast<Dialect>(i);
  }
  return std::nullopt;
}

std::string_view stop_reason_name(StopReason reason) {
  return kStopReasons.at(static_cast<std::size_t>(reason));
}

std::int64_t Usage::total_input() const {
  return plus(plus(input_tokens, cache_read_tokens), cache_write_tokens);
}

void Usage::add(const Usage& other) {
  input_tokens = plus(input_tokens, other.input_tokens);
  cache_read_tokens = plus(cache_read_tokens, other.cache_read_tokens);
  cache_write_tokens = plus(cache_write_tokens, other.cache_write_tokens);
  cache_write_1h_tokens = plus(cache_write_1h_tokens, other.cache_write_1h_tokens);
  output_tokens = plus(output_tokens, other.output_tokens);
  reasoning_tokens = plus(reasoning_tokens, other.reasoning_tokens);
}

}  // namespace ez::models
