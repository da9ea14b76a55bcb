// Who works on a task, and who settles what does not merge.
#include <algorithm>
#include <array>
#include <string>

#include "orchestration/decoder.h"
#include "orchestration/text.h"

namespace ez::orchestration {
namespace {

constexpr std::array<std::string_view, 6> kAgentKeys{"type",  "capabilities", "models",
                                                     "model", "max_turns",    "max_tokens"};
constexpr std::array<std::string_view, 6> kResolverKeys{"agent", "run",     "prompt",
                                                        "tries", "timeout", "budget"};
constexpr std::array<std::string_view, 1> kResolverBudgetKeys{"cost_usd"};
constexpr std::string_view kResolverExample = "resolver: {agent: {type: claude}, tries: 2}";
constexpr std::size_t kMaxModels = 32;
constexpr std::size_t kMaxCapabilities = 32;

void read_resolver_budget(Decoder& decoder, const Fields& fields, Resolver& out) {
  const auto node = fields.get("budget");
  if (!node) return;
  static constexpr std::string_view kHint = "Write `budget: {cost_usd: 0.50}`.";
  if (decoder.tree.kind(*node) != SourceTree::Kind::kMap) {
    decoder.error(*node, "`budget` must be a map", std::string(kHint));
    return;
  }
  const Fields map(decoder, *node, "`budget`", kResolverBudgetKeys);
  std::string cost;
  map.read_text("cost_usd", cost, 64);
  const auto at = map.get("cost_usd");
  if (!at) {
    decoder.error(*node, "`budget` of a resolver needs `cost_usd`", std::string(kHint));
  } else if (decoder.tree.is_scalar(*at)) {
    out.budget_microusd = parse_microusd(cost);
    if (out.budget_microusd.value_or(0) <= 0) {
      decoder.error(*at, "`cost_usd` cannot be " + quoted(cost),
                    "Write dollars with at most 6 decimals, for example `cost_usd: 0.50`.");
    }
  }
}

// What fits together: a script for exec, a model for all others.
void check_resolver(Decoder& decoder, const Fields& map, const Resolver& resolver) {
  const bool has_type = !resolver.agent.type.empty();
  if (const auto agent = map.get("agent"); agent && decoder.tree.kind(*agent) == SourceTree::Kind::kMap) {
    if (const auto key = decoder.tree.find(*agent, "capabilities")) {
      decoder.error(*key, "`capabilities` have no meaning for a resolver: it works where the merge is",
                    "Remove them.");
    }
  }
  if (map.get("run")) {
    if (has_type && resolver.agent.type != "exec") {
      decoder.error(*map.key("run"),
                    "`run` is for resolvers of the type exec, not " + quoted(resolver.agent.type),
                    "Write `prompt` for this agent, or remove `agent.type`.");
    }
    for (const std::string_view key : {"prompt", "budget"}) {
      if (const auto node = map.key(key))
        decoder.error(*node, quoted(key) + " has no meaning for a resolver with a `run`", "Remove it.");
    }
    const auto node = map.get("run");
    if (decoder.tree.is_scalar(*node) &&
        decoder.tree.text(*node).find_first_not_of(" \t\r\n") == std::string_view::npos)
      decoder.error(*node, "`run` is empty", "Write what is to be done.");
  } else if (!has_type || resolver.agent.type == "exec") {
    decoder.error(map.node(), "the resolver has nothing to settle conflicts with",
                  "Give it `agent` with a `type` other than exec, or `run` (a shell script).");
  }
}

}  // namespace

void read_agent(Decoder& decoder, const Fields& fields, AgentNeed& out) {
  const auto map = fields.get("agent");
  if (!map) return;
  if (decoder.tree.kind(*map) != SourceTree::Kind::kMap) {
    decoder.error(*map, "`agent` must be a map", "Write `agent: {type: exec, capabilities: [cpp]}`.");
    return;
  }
  const Fields agent(decoder, *map, "`agent`", kAgentKeys);
  agent.read_name("type", out.type);
  if (agent.get("models")) {
    out.models.clear();
    for (const NodeId node : agent.read_list("models", kMaxModels, "models: [claude-*]")) {
      const std::string_view text = decoder.tree.text(node);
      if (!decoder.tree.is_scalar(node) || text.empty() || text.size() > 128) {
        decoder.error(node, "a model cannot be " + quoted(text), "Write names or patterns: `[claude-*]`.");
      } else {
        out.models.emplace_back(text);
      }
    }
  }
  agent.read_text("model", out.model, 200);
  agent.read_uint("max_turns", out.max_turns, 1, 10'000);
  agent.read_uint("max_tokens", out.max_tokens, 1'000, 4'000'000'000U);
  if (!agent.get("capabilities")) return;
  out.capabilities.clear();
  for (const NodeId node : agent.read_list("capabilities", kMaxCapabilities, "capabilities: [cpp, git]")) {
    const std::string_view text = decoder.tree.text(node);
    if (!decoder.tree.is_scalar(node) || !is_name(text)) {
      decoder.error(node, "a capability cannot be " + quoted(text), "Write names, for example `[cpp, git]`.");
    } else {
      out.capabilities.emplace_back(text);
    }
  }
  std::sort(out.capabilities.begin(), out.capabilities.end());
  out.capabilities.erase(std::unique(out.capabilities.begin(), out.capabilities.end()),
                         out.capabilities.end());
}

std::optional<std::shared_ptr<const Resolver>> read_resolver(Decoder& decoder, const Fields& fields,
                                                             const Scope& scope) {
  const auto node = fields.get("resolver");
  if (!node) return std::nullopt;
  if (decoder.tree.is_scalar(*node) && decoder.tree.text(*node) == "none")
    return std::shared_ptr<const Resolver>();
  if (decoder.tree.kind(*node) != SourceTree::Kind::kMap) {
    decoder.error(*node, "`resolver` must be a map or `none`",
                  "Write `" + std::string(kResolverExample) + "`.");
    return std::shared_ptr<const Resolver>();
  }
  const Fields map(decoder, *node, "`resolver`", kResolverKeys);
  auto out = std::make_shared<Resolver>();
  out->agent.type.clear();
  read_agent(decoder, map, out->agent);
  map.read_script("run", out->run, scope);
  map.read_template("prompt", out->prompt, scope);
  map.read_uint("tries", out->tries, 1, kMaxResolverTries);
  map.read_duration("timeout", out->timeout_ms, 1'000, false);
  if (out->timeout_ms > kMaxResolverTimeoutMs)
    decoder.error(*map.get("timeout"), "`timeout` of a resolver is longer than 7 days", "Write less.");
  read_resolver_budget(decoder, map, *out);
  check_resolver(decoder, map, *out);
  if (out->agent.type.empty()) out->agent.type = "exec";
  return std::shared_ptr<const Resolver>(std::move(out));
}

}  // namespace ez::orchestration
