#include "models/prices.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/json.h"
#include "models/dialect/fields.h"

namespace ez::models {

std::string_view prices_text();  // prices.json, made at build time

namespace {

constexpr std::int64_t kMaxPrice = 1'000'000'000'000;  // a million dollars for a million tokens
constexpr std::int64_t kMaxTokens = 1'000'000'000;
constexpr std::int64_t kPerMillion = 1'000'000;

using Wide = __int128;

std::int64_t rounded_up(Wide microusd_per_million) {
  const Wide whole = (microusd_per_million + kPerMillion - 1) / kPerMillion;
  constexpr Wide kMax = std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(std::min(whole, kMax));
}

const Rates& rates_for(const Price& price, std::int64_t input_tokens) {
  return price.long_above > 0 && input_tokens > price.long_above ? price.long_rates : price.rates;
}

// Reads "input", "output" and the cache prices, which are the input's where they are absent.
Rates parse_rates(ReadContext& context, Fields& fields) {
  Rates rates;
  const auto need = [&](std::string_view key) {
    const std::optional<std::int64_t> price = fields.integer(key, 0, kMaxPrice);
    if (!price) context.fail(fields.path().at(key), "a price in micro-dollars per million tokens is wanted");
    return price.value_or(0);
  };
  rates.input = need("input");
  rates.output = need("output");
  rates.cache_read = fields.integer("cache_read", 0, kMaxPrice).value_or(rates.input);
  rates.cache_write = fields.integer("cache_write", 0, kMaxPrice).value_or(rates.input);
  rates.cache_write_1h = fields.integer("cache_write_1h", 0, kMaxPrice).value_or(rates.cache_write);
  return rates;
}

void parse_price(ReadContext& context, Fields& fields, Price& price) {
  price.rates = parse_rates(context, fields);
  price.context_tokens = fields.integer("context_tokens", 0, kMaxTokens).value_or(0);
  price.max_output_tokens = fields.integer("max_output_tokens", 0, kMaxTokens).value_or(0);
  if (const Value* longer = fields.map("long")) {
    const Path path = fields.path().at("long");
    Fields inner(context, *longer, path);
    const std::optional<std::int64_t> above = inner.integer("above", 1, kMaxTokens);
    if (!above) context.fail(path.at("above"), "a count of tokens is wanted");
    price.long_above = above.value_or(0);
    price.long_rates = parse_rates(context, inner);
    if (!inner.rest().is_null())
      context.fail(path.at(inner.rest().as_map().front().first), "an unknown member");
  }
}

void no_more(ReadContext& context, const Fields& fields) {
  const Value rest = fields.rest();
  if (!rest.is_null()) context.fail(fields.path().at(rest.as_map().front().first), "an unknown member");
}

bool digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The name without a date at its end: "-20250929", "-2025-04-14", "@20250929", "-latest". Empty when there is
// none.
std::string_view undated(std::string_view model) {
  constexpr std::string_view kLatest = "-latest";
  if (model.ends_with(kLatest)) return model.substr(0, model.size() - kLatest.size());
  if (model.size() > 9 && (model[model.size() - 9] == '-' || model[model.size() - 9] == '@') &&
      digits(model.substr(model.size() - 8))) {
    return model.substr(0, model.size() - 9);
  }
  if (model.size() > 11) {
    const std::string_view tail = model.substr(model.size() - 11);
    if (tail[0] == '-' && digits(tail.substr(1, 4)) && tail[5] == '-' && digits(tail.substr(6, 2)) &&
        tail[8] == '-' && digits(tail.substr(9, 2))) {
      return model.substr(0, model.size() - 11);
    }
  }
  return {};
}

}  // namespace

std::int64_t cost_microusd(const Price& price, const Usage& usage) {
  const Rates& rates = rates_for(price, usage.total_input());
  const std::int64_t hour = std::min(usage.cache_write_1h_tokens, usage.cache_write_tokens);
  Wide sum = Wide{usage.input_tokens} * rates.input;
  sum += Wide{usage.cache_read_tokens} * rates.cache_read;
  sum += Wide{usage.cache_write_tokens - hour} * rates.cache_write;
  sum += Wide{hour} * rates.cache_write_1h;
  sum += Wide{usage.output_tokens} * rates.output;
  return rounded_up(sum);
}

std::int64_t cost_upper_microusd(const Price& price, std::int64_t input_tokens, std::int64_t output_tokens) {
  const auto dearest = [](const Rates& rates) {
    return std::max({rates.input, rates.cache_read, rates.cache_write, rates.cache_write_1h});
  };
  std::int64_t input = dearest(price.rates), output = price.rates.output;
  if (price.long_above > 0 && input_tokens > price.long_above) {
    input = std::max(input, dearest(price.long_rates));
    output = std::max(output, price.long_rates.output);
  }
  return rounded_up(Wide{input_tokens} * input + Wide{output_tokens} * output);
}

Result<PriceTable> PriceTable::parse(std::string_view json) {
  const Result<Value> parsed = parse_json(json);
  if (!parsed.ok()) return Error(Code::PricesInvalid, parsed.error().message());
  ReadContext context{Code::PricesInvalid, std::nullopt};
  const Path root;
  Fields fields(context, *parsed, root);
  PriceTable out;
  out.dated_ = fields.need_text("dated");
  static_cast<void>(fields.any("note"));
  const Value* models = fields.list("models");
  const Path models_path = root.at("models");
  for (std::size_t i = 0; models != nullptr && i < models->as_list().size() && !context.failed(); ++i) {
    const Path at = models_path.at(i);
    Fields entry(context, models->as_list()[i], at);
    Price price;
    price.provider = entry.need_text("provider");
    price.model = entry.need_text("model");
    price.dated = out.dated_;
    parse_price(context, entry, price);
    const Value* aliases = entry.list("aliases");
    no_more(context, entry);
    for (std::size_t a = 0; aliases != nullptr && a < aliases->as_list().size(); ++a) {
      const Value& alias = aliases->as_list()[a];
      if (!alias.is_string() ||
          !out.aliases_.emplace(Key{price.provider, alias.as_string()}, price.model).second) {
        context.fail(at.at("aliases"), "names that are not there already are wanted");
      }
    }
    const Key key{price.provider, price.model};
    if (!out.prices_.emplace(key, std::move(price)).second) context.fail(at, "the model is there twice");
  }
  if (const Value* fallback = fields.map("default")) {
    const Path at = root.at("default");
    Fields entry(context, *fallback, at);
    Price price;
    price.dated = out.dated_;
    price.fallback = true;
    parse_price(context, entry, price);
    no_more(context, entry);
    out.default_ = std::move(price);
  }
  no_more(context, fields);
  if (context.error.has_value()) return *context.error;
  return out;
}

const PriceTable& PriceTable::builtin() {
  static const PriceTable* table = [] {
    Result<PriceTable> parsed = parse(prices_text());
    EZ_CHECK(parsed.ok(), "the price table of the binary cannot be read");
    return new PriceTable(std::move(parsed).value());
  }();
  return *table;
}

PriceTable PriceTable::with(const PriceTable& over) const {
  PriceTable out = *this;
  for (const auto& [key, price] : over.prices_) out.prices_.insert_or_assign(key, price);
  for (const auto& [key, model] : over.aliases_) out.aliases_.insert_or_assign(key, model);
  if (over.default_.has_value()) out.default_ = over.default_;
  out.dated_ = over.dated_;
  return out;
}

Result<Price> PriceTable::find(std::string_view provider, std::string_view model) const {
  const auto exact = [&](std::string_view name) -> const Price* {
    if (name.empty()) return nullptr;
    if (!provider.empty()) {
      const Key key{std::string(provider), std::string(name)};
      if (const auto found = prices_.find(key); found != prices_.end()) return &found->second;
      const auto alias = aliases_.find(key);
      if (alias == aliases_.end()) return nullptr;
      const auto found = prices_.find(Key{key.provider, alias->second});
      return found == prices_.end() ? nullptr : &found->second;
    }
    for (const auto& [key, price] : prices_) {
      if (key.model == name) return &price;
    }
    for (const auto& [key, real] : aliases_) {
      if (key.model != name) continue;
      const auto found = prices_.find(Key{key.provider, real});
      if (found != prices_.end()) return &found->second;
    }
    return nullptr;
  };
  const Price* found = exact(model);
  if (found == nullptr) found = exact(undated(model));
  if (found == nullptr && !provider.empty()) found = exact("*");
  if (found != nullptr) return *found;
  if (default_.has_value()) {
    Price price = *default_;
    price.provider = provider;
    price.model = model;
    return price;
  }
  const std::string of = provider.empty() ? std::string() : " of " + std::string(provider);
  return Error(Code::PriceUnknown, "the model \"" + std::string(model) + "\"" + of + " has no price");
}

std::vector<Price> PriceTable::all() const {
  std::vector<Price> out;
  for (const auto& [key, price] : prices_) out.push_back(price);
  return out;
}

}  // namespace ez::models
