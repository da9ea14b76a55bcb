// The smaller endpoints: count_tokens (Anthropic), models (both), embeddings (OpenAI). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "models/dialect/chat.h"

namespace ez::models {

// POST /v1/messages/count_tokens answers {"input_tokens": N}.
[[nodiscard]] std::string render_token_count(std::int64_t input_tokens);
// Errors: PROVIDER_ANSWER_INVALID.
[[nodiscard]] Result<std::int64_t> parse_token_count(std::string_view body);

struct ListedModel {
  std::string id;
  std::string owner;           // OpenAI's owned_by
  std::string display_name;    // Anthropic's
  std::int64_t created_s = 0;  // unix
};

// GET /v1/models. One body that both vendors' SDKs read: {"object":"list","data":[…],"has_more":false,
// "first_id":…,"last_id":…}.
[[nodiscard]] std::string render_models(const std::vector<ListedModel>& models);
[[nodiscard]] std::string render_model(const ListedModel& model);
// Either vendor's. At most 10,000. Errors: PROVIDER_ANSWER_INVALID.
[[nodiscard]] Result<std::vector<ListedModel>> parse_models(std::string_view body);

struct EmbeddingsRequest {
  std::string model;
  std::int64_t inputs = 0;       // texts or token lists
  std::int64_t input_upper = 0;  // tokens at most
};
// POST /v1/embeddings; its body goes on with edit_object(). Errors: JSON_INVALID, PAYLOAD_TOO_LARGE,
// REQUEST_INVALID.
[[nodiscard]] Result<EmbeddingsRequest> parse_embeddings_request(std::string_view body);
// {"usage": {"prompt_tokens", "total_tokens"}}. Errors: PROVIDER_ANSWER_INVALID (no usage).
[[nodiscard]] Result<Usage> parse_embeddings_usage(std::string_view body);

}  // namespace ez::models
