#include "models/gateway/plan.h"

#include <algorithm>

#include "base/json.h"
#include "models/dialect/dialect.h"
#include "models/dialect/listing.h"

namespace ez::models {
namespace {

constexpr std::int64_t kUnknownOutput = 131'072;  // tokens of a model whose limit nobody knows
constexpr std::int64_t kUnknownContext = 1'048'576;

bool speaks(const Provider& provider, Dialect dialect) {
  return std::find(provider.dialects.begin(), provider.dialects.end(), dialect) != provider.dialects.end();
}

Result<PlannedTarget> plan_target(const ModelsConfig& config, const Plan& plan, const Target& target,
                                  const Estimate& estimate) {
  PlannedTarget out;
  out.provider = config.find(target.provider);
  out.model = target.model;
  out.dialect = speaks(*out.provider, plan.client) ? plan.client : out.provider->dialects.front();
  if (plan.endpoint == Endpoint::kEmbeddings) {
    out.dialect = Dialect::kOpenAiChat;
    if (!speaks(*out.provider, out.dialect)) {
      return Error(Code::DialectUnsupported, "the provider " + target.provider + " has no embeddings");
    }
  }
  out.input_upper = estimate.input_upper;
  if (!out.provider->free) {
    EZ_ASSIGN(out.price, config.prices->find(target.provider, target.model));
  }
  const std::int64_t context = out.price ? out.price->context_tokens : 0;
  const std::int64_t most_output = out.price ? out.price->max_output_tokens : 0;
  if (!estimate.bounded) out.input_upper = std::max(out.input_upper, context > 0 ? context : kUnknownContext);
  if (plan.endpoint == Endpoint::kEmbeddings || plan.endpoint == Endpoint::kCountTokens) return out;
  out.output_upper = output_upper(plan.request, most_output > 0 ? most_output : kUnknownOutput);
  return out;
}

// The members that say how long an answer may be.
std::vector<std::pair<std::string_view, std::string>> limit_edits(const Plan& plan,
                                                                  const PlannedTarget& target) {
  const std::string limit = std::to_string(*plan.lowered);
  switch (target.dialect) {
    case Dialect::kAnthropicMessages:
      return {{"max_tokens", limit}};
    case Dialect::kOpenAiResponses:
      return {{"max_output_tokens", limit}};
    default:
      break;
  }
  if (target.provider->traits.max_completion_tokens) {
    return {{"max_completion_tokens", limit}, {"max_tokens", ""}};
  }
  return {{"max_tokens", limit}, {"max_completion_tokens", ""}};
}

void add_bound(PlannedTarget& target, Endpoint endpoint) {
  if (!target.price || endpoint == Endpoint::kCountTokens) return;
  target.upper_microusd = cost_upper_microusd(*target.price, target.input_upper, target.output_upper);
}

}  // namespace

Dialect dialect_of(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::kMessages:
    case Endpoint::kCountTokens:
      return Dialect::kAnthropicMessages;
    case Endpoint::kResponses:
      return Dialect::kOpenAiResponses;
    case Endpoint::kGemini:
      return Dialect::kGemini;
    default:
      return Dialect::kOpenAiChat;
  }
}

std::string_view path_of(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::kMessages:
      return "/v1/messages";
    case Endpoint::kCountTokens:
      return "/v1/messages/count_tokens";
    case Endpoint::kChat:
      return "/v1/chat/completions";
    case Endpoint::kResponses:
      return "/v1/responses";
    case Endpoint::kGemini:
      return "/v1beta/models/{call}";
    default:
      return "/v1/embeddings";
  }
}

bool forwarded_header(std::string_view name) {
  return same_header_name(name, "anthropic-version") || same_header_name(name, "anthropic-beta") ||
         same_header_name(name, "openai-beta");
}

Result<Plan> make_plan(const ModelsConfig& config, Endpoint endpoint, const LeaseInfo& lease,
                       std::string_view body) {
  Plan plan;
  plan.endpoint = endpoint;
  plan.client = dialect_of(endpoint);
  Estimate estimate;
  if (endpoint == Endpoint::kEmbeddings) {
    EZ_ASSIGN(const EmbeddingsRequest request, parse_embeddings_request(body));
    plan.model = request.model;
    estimate.input_upper = estimate.input_likely = request.input_upper;
  } else {
    EZ_ASSIGN(plan.request, parse_request(plan.client, body));
    plan.model = plan.request.model;
    plan.stream = plan.request.stream && endpoint != Endpoint::kCountTokens;
    estimate = estimate_request(plan.request);
  }
  plan.input_likely = estimate.input_likely;
  EZ_ASSIGN(const std::vector<Target> targets, config.resolve(plan.model));
  EZ_TRY(config.allow(lease.agent_type, lease.models, plan.model));
  for (const Target& target : targets) {
    auto planned = plan_target(config, plan, target, estimate);
    // A stand-in that cannot serve the call is left out; the first has to say why.
    if (!planned.ok() && plan.targets.empty() && &target == &targets.back()) return planned.error();
    if (!planned.ok()) continue;
    add_bound(*planned, endpoint);
    plan.upper_microusd = std::max(plan.upper_microusd, planned->upper_microusd);
    plan.targets.push_back(std::move(planned).value());
  }
  if (endpoint == Endpoint::kCountTokens) {
    std::erase_if(plan.targets,
                  [](const PlannedTarget& target) { return target.dialect != Dialect::kAnthropicMessages; });
    plan.local_count = plan.targets.empty();
  }
  return plan;
}

bool lower_output(Plan& plan) {
  if (plan.endpoint == Endpoint::kEmbeddings || plan.endpoint == Endpoint::kCountTokens) return false;
  std::int64_t now = 0;
  for (const PlannedTarget& target : plan.targets) now = std::max(now, target.output_upper);
  now /= std::max<std::int64_t>(plan.request.answers, 1);
  std::int64_t least = kLeastOutput;
  // An answer has to have room for the thinking that was asked for, and something beside it.
  if (plan.request.thinking && plan.request.thinking->enabled) least += plan.request.thinking->budget_tokens;
  if (now <= least) return false;
  plan.lowered = std::max(now / 4, least);
  plan.request.max_tokens = *plan.lowered;
  plan.upper_microusd = 0;
  for (PlannedTarget& target : plan.targets) {
    target.output_upper = output_upper(plan.request, *plan.lowered);
    add_bound(target, plan.endpoint);
    plan.upper_microusd = std::max(plan.upper_microusd, target.upper_microusd);
  }
  return true;
}

Result<Rendered> body_for(const Plan& plan, const PlannedTarget& target, std::string_view body) {
  if (plan.endpoint == Endpoint::kEmbeddings || plan.endpoint == Endpoint::kCountTokens) {
    std::string name;
    append_json_string(name, target.model);
    EZ_ASSIGN(std::string edited, edit_object(body, {{"model", name}}));
    return Rendered{std::move(edited), {}};
  }
  if (target.dialect == plan.client) {
    EZ_ASSIGN(std::string passed,
              pass_request(plan.client, body, plan.request, target.model, target.provider->traits));
    if (!plan.lowered) return Rendered{std::move(passed), {}};
    EZ_ASSIGN(std::string edited, edit_object(passed, limit_edits(plan, target)));
    return Rendered{std::move(edited), {}};
  }
  return render_request(target.dialect, plan.request, target.model, target.provider->traits);
}

std::string url_for(const Plan& plan, const PlannedTarget& target) {
  const std::string& base = target.provider->base_url;
  if (plan.endpoint == Endpoint::kEmbeddings) return base + "/embeddings";
  if (plan.endpoint == Endpoint::kCountTokens) return base + "/messages/count_tokens";
  switch (target.dialect) {
    case Dialect::kAnthropicMessages:
      return base + "/messages";
    case Dialect::kOpenAiResponses:
      return base + "/responses";
    default:
      return base + "/chat/completions";
  }
}

Headers headers_for(const Plan& plan, const PlannedTarget& target, const ProviderKey& key,
                    const Headers& of_client) {
  Headers headers{{"Content-Type", "application/json"},
                  {"Accept", plan.stream ? "text/event-stream" : "application/json"}};
  if (target.dialect == Dialect::kAnthropicMessages) {
    if (!key.secret.empty()) headers.emplace_back("x-api-key", key.secret);
    const bool same = plan.client == Dialect::kAnthropicMessages;
    if (!same || !find_header(of_client, "anthropic-version")) {
      headers.emplace_back("anthropic-version", "2023-06-01");
    }
  } else if (!key.secret.empty()) {
    headers.emplace_back("Authorization", "Bearer " + key.secret);
  }
  if (target.dialect == plan.client) {
    for (const auto& header : of_client) {
      if (forwarded_header(header.first)) headers.push_back(header);
    }
  }
  headers.insert(headers.end(), target.provider->headers.begin(), target.provider->headers.end());
  return headers;
}

std::int64_t cost_of(const PlannedTarget& target, const Usage& usage) {
  if (!target.price) return 0;
  return std::min(cost_microusd(*target.price, usage), target.upper_microusd);
}

UsageSum most_of(const PlannedTarget& target, const std::optional<Usage>& input) {
  UsageSum sum;
  sum.calls = 1;
  sum.failed = 1;
  Usage usage = input.value_or(Usage{});
  if (!input) usage.input_tokens = target.input_upper;
  usage.output_tokens = std::max(usage.output_tokens, target.output_upper);
  sum.input_tokens = static_cast<std::uint64_t>(usage.input_tokens);
  sum.cache_read_tokens = static_cast<std::uint64_t>(usage.cache_read_tokens);
  sum.cache_write_tokens = static_cast<std::uint64_t>(usage.cache_write_tokens);
  sum.output_tokens = static_cast<std::uint64_t>(usage.output_tokens);
  sum.microusd = input ? cost_of(target, usage) : target.upper_microusd;
  return sum;
}

}  // namespace ez::models
