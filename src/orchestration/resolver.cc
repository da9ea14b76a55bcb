#include "orchestration/resolver.h"

#include "base/json.h"
#include "orchestration/text.h"

namespace ez::orchestration {
namespace {

// False: it is there and no template.
bool take_template(const Value& value, std::string_view key, std::optional<Template>& out) {
  const Value* text = value.find(key);
  if (text == nullptr) return true;
  if (!text->is_string()) return false;
  auto parsed = Template::parse(text->as_string());
  if (!parsed.ok()) return false;
  out = std::move(parsed).value();
  return true;
}

// -1: absent; nullopt: not a number from 0 to `most`.
std::optional<std::int64_t> take_number(const Value& value, std::string_view key, std::int64_t most) {
  const Value* number = value.find(key);
  if (number == nullptr) return -1;
  if (!number->is_int() || number->as_int() < 0 || number->as_int() > most) return std::nullopt;
  return number->as_int();
}

}  // namespace

std::string resolver_text(const Resolver& resolver) {
  Value out(Value::Map{{"type", Value(resolver.agent.type)}});
  if (!resolver.agent.models.empty())
    out.set("models", Value(Value::List(resolver.agent.models.begin(), resolver.agent.models.end())));
  if (!resolver.agent.model.empty()) out.set("model", Value(resolver.agent.model));
  if (resolver.agent.max_turns > 0) out.set("max_turns", Value(std::int64_t{resolver.agent.max_turns}));
  if (resolver.agent.max_tokens > 0) out.set("max_tokens", Value(std::int64_t{resolver.agent.max_tokens}));
  if (resolver.run) out.set("run", Value(resolver.run->source()));
  if (resolver.prompt) out.set("prompt", Value(resolver.prompt->source()));
  out.set("tries", Value(std::int64_t{resolver.tries}));
  out.set("timeout_ms", Value(resolver.timeout_ms));
  if (resolver.budget_microusd) out.set("budget_microusd", Value(*resolver.budget_microusd));
  return to_json(out);
}

std::shared_ptr<const Resolver> parse_resolver(const Value& value) {
  if (!value.is_map()) return nullptr;
  auto out = std::make_shared<Resolver>();
  out->agent.type = value.string_or("type", "");
  out->agent.model = value.string_or("model", "");
  if (const Value* models = value.find("models"); models != nullptr) {
    if (!models->is_list()) return nullptr;
    for (const Value& model : models->as_list()) {
      if (!model.is_string()) return nullptr;
      out->agent.models.push_back(model.as_string());
    }
  }
  const auto turns = take_number(value, "max_turns", UINT32_MAX);
  const auto tokens = take_number(value, "max_tokens", UINT32_MAX);
  const auto tries = take_number(value, "tries", kMaxResolverTries);
  const auto timeout = take_number(value, "timeout_ms", kMaxResolverTimeoutMs);
  const auto budget = take_number(value, "budget_microusd", kMaxMoneyMicrousd);
  if (!turns || !tokens || !tries || *tries < 1 || !timeout || *timeout < 1 || !budget) return nullptr;
  if (*turns > 0) out->agent.max_turns = static_cast<std::uint32_t>(*turns);
  if (*tokens > 0) out->agent.max_tokens = static_cast<std::uint32_t>(*tokens);
  out->tries = static_cast<std::uint32_t>(*tries);
  out->timeout_ms = *timeout;
  if (*budget >= 0) out->budget_microusd = *budget;
  if (!take_template(value, "run", out->run) || !take_template(value, "prompt", out->prompt)) return nullptr;
  if (out->agent.type.empty() || (out->agent.type == "exec") != out->run.has_value()) return nullptr;
  return out;
}

}  // namespace ez::orchestration
