// Concurrency keys and rates: of tasks, and of whole runs.
#include <array>
#include <string>

#include "orchestration/decoder.h"

namespace ez::orchestration {
namespace {

constexpr std::array<std::string_view, 3> kConcurrencyKeys{"key", "limit", "when_full"};
constexpr std::array<std::string_view, 3> kRateKeys{"key", "limit", "per"};
constexpr std::array<std::string_view, 4> kWhenFull{"wait", "cancel_oldest", "cancel_newest", "reject"};

std::optional<NodeId> map_of(Decoder& decoder, const Fields& fields, std::string_view key,
                             std::string_view example) {
  const auto node = fields.get(key);
  if (node && decoder.tree.kind(*node) != SourceTree::Kind::kMap) {
    decoder.error(*node, quoted(key) + " must be a map", "Write `" + std::string(example) + "`.");
    return std::nullopt;
  }
  return node;
}

}  // namespace

std::optional<Concurrency> read_concurrency(Decoder& decoder, const Fields& fields, const Scope& scope) {
  static constexpr std::string_view kExample = "concurrency: {key: deploy, limit: 1}";
  const auto node = map_of(decoder, fields, "concurrency", kExample);
  if (!node) return std::nullopt;
  const Fields map(decoder, *node, "`concurrency`", kConcurrencyKeys);
  std::optional<Template> key;
  map.read_template("key", key, scope);
  Concurrency out;
  map.read_uint("limit", out.limit, 1, 100'000);
  if (const auto word = map.read_word("when_full", kWhenFull)) out.when_full = static_cast<WhenFull>(*word);
  if (!map.get("key")) {
    decoder.error(map.node(), "`concurrency` needs a `key`", "Write `" + std::string(kExample) + "`.");
  }
  if (!key) return std::nullopt;
  out.key = std::move(*key);
  return out;
}

std::optional<Rate> read_rate(Decoder& decoder, const Fields& fields, const Scope& scope) {
  static constexpr std::string_view kExample = "rate: {key: api, limit: 10, per: 1m}";
  const auto node = map_of(decoder, fields, "rate", kExample);
  if (!node) return std::nullopt;
  const Fields map(decoder, *node, "`rate`", kRateKeys);
  std::optional<Template> key;
  map.read_template("key", key, scope);
  Rate out;
  map.read_uint("limit", out.limit, 1, 1'000'000);
  map.read_duration("per", out.per_ms, 1, false);
  for (const std::string_view needed : {"key", "limit"}) {
    if (!map.get(needed)) {
      decoder.error(map.node(), "`rate` needs a " + quoted(needed), "Write `" + std::string(kExample) + "`.");
    }
  }
  if (!key) return std::nullopt;
  out.key = std::move(*key);
  return out;
}

}  // namespace ez::orchestration
