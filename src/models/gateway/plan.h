// Plan: what one call is going to be: its request read, its targets, the most that it may cost. Internal to
// gateway/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/config/config.h"
#include "models/dialect/chat.h"
#include "models/dialect/dialect.h"
#include "models/dialect/estimate.h"
#include "models/gateway/gateway.h"

namespace ez::models {

struct PlannedTarget {
  const Provider* provider = nullptr;
  std::string model;                       // the provider's name of it
  Dialect dialect = Dialect::kOpenAiChat;  // to speak with it
  std::optional<Price> price;              // none: it is free
  std::int64_t input_upper = 0;            // tokens
  std::int64_t output_upper = 0;
  std::int64_t upper_microusd = 0;
};

struct Plan {
  Endpoint endpoint = Endpoint::kMessages;
  Dialect client = Dialect::kAnthropicMessages;
  ChatRequest request;  // not of embeddings
  std::string model;    // the name that the client used
  bool stream = false;
  std::int64_t input_likely = 0;
  std::int64_t upper_microusd = 0;  // of the dearest target
  std::vector<PlannedTarget> targets;
  std::optional<std::int64_t> lowered;  // the limit of output, below what the client asked for
  bool local_count = false;             // count_tokens that no target of that dialect could answer
};

// Errors: JSON_INVALID, REQUEST_INVALID, PAYLOAD_TOO_LARGE, MODEL_NOT_FOUND, MODEL_NOT_ALLOWED,
// PRICE_UNKNOWN, DIALECT_UNSUPPORTED (embeddings of a provider that has none).
[[nodiscard]] Result<Plan> make_plan(const ModelsConfig& config, Endpoint endpoint, const LeaseInfo& lease,
                                     std::string_view body);

// The money does not suffice: a shorter answer may do. Lowers the limit of output to a quarter, at least to
// kLeastOutput tokens; false: it is so low already.
inline constexpr std::int64_t kLeastOutput = 1'024;
[[nodiscard]] bool lower_output(Plan& plan);

// The bytes for the target, and what they leave out. Errors: DIALECT_UNSUPPORTED, JSON_INVALID.
[[nodiscard]] Result<Rendered> body_for(const Plan& plan, const PlannedTarget& target, std::string_view body);
[[nodiscard]] std::string url_for(const Plan& plan, const PlannedTarget& target);
// With the key: the only place where a secret is put into a request.
[[nodiscard]] Headers headers_for(const Plan& plan, const PlannedTarget& target, const ProviderKey& key,
                                  const Headers& of_client);

// What a call cost as its provider says, at most what was set aside for it.
[[nodiscard]] std::int64_t cost_of(const PlannedTarget& target, const Usage& usage);
// The most that a call cost whose end is not known: what its figures say of the input, all output that it
// might have made.
[[nodiscard]] UsageSum most_of(const PlannedTarget& target, const std::optional<Usage>& input);

}  // namespace ez::models
