// Token estimates from a request alone, without a tokenizer. Pure.
#pragma once

#include <cstdint>

#include "models/dialect/chat.h"

namespace ez::models {

struct Estimate {
  // At least the input tokens that the provider will count, under the rule of docs/formats/dialects.md: a
  // token is at least one byte of UTF-8; images and documents count by fixed upper figures. For reservations.
  std::int64_t input_upper = 0;
  // A likely figure: what count_tokens answers where the provider has no such endpoint.
  std::int64_t input_likely = 0;
  // False: the request refers to something that it does not carry (a stored conversation, a file, a URL of a
  // document), so `input_upper` is no bound; reserve the model's whole context window then.
  bool bounded = true;
};

[[nodiscard]] Estimate estimate_request(const ChatRequest& request);

// Output tokens at most, for all answers of the request: its own limit, or the model's when it has none.
[[nodiscard]] std::int64_t output_upper(const ChatRequest& request, std::int64_t model_max_output);

}  // namespace ez::models
