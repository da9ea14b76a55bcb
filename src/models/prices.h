// What models cost. Integer micro-dollars per million tokens; a cost is exact and rounded up to a whole
// micro-dollar. The table is data (models/prices.json, dated, part of the binary); a user's file of the same
// form goes over it. Format: docs/formats/prices.md. A PriceTable is immutable once built: thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "models/dialect/chat.h"

namespace ez::models {

// Micro-dollars per million tokens: 3 USD per million tokens is 3'000'000.
struct Rates {
  std::int64_t input = 0;
  std::int64_t output = 0;
  std::int64_t cache_read = 0;
  std::int64_t cache_write = 0;
  std::int64_t cache_write_1h = 0;
  friend bool operator==(const Rates&, const Rates&) = default;
};

struct Price {
  std::string provider;  // "anthropic"
  std::string model;     // as the provider names it
  Rates rates;
  std::int64_t long_above = 0;  // a call with more input than this costs `long_rates` for all; 0: never
  Rates long_rates;
  std::int64_t context_tokens = 0;     // window; 0: not known
  std::int64_t max_output_tokens = 0;  // 0: not known
  std::string dated;                   // of the table that it comes from, "2026-11-22"
  bool fallback = false;               // the configured default, not the model's own price
};

// Micro-dollars, rounded up once over the whole sum. Saturates at the largest integer.
[[nodiscard]] std::int64_t cost_microusd(const Price& price, const Usage& usage);

// An upper bound for a call that has not happened: all input at the dearest of the input prices.
[[nodiscard]] std::int64_t cost_upper_microusd(const Price& price, std::int64_t input_tokens,
                                               std::int64_t output_tokens);

class PriceTable {
 public:
  // The table of the binary.
  [[nodiscard]] static const PriceTable& builtin();
  // Errors: PRICES_INVALID (the message names the entry).
  [[nodiscard]] static Result<PriceTable> parse(std::string_view json);
  // Entries of `over` replace ours of the same provider and model; its default and date win.
  [[nodiscard]] PriceTable with(const PriceTable& over) const;

  // The price of a provider's model: its own entry or alias; the entry that it is a dated version of
  // ("gpt-4.1-2025-04-14" of "gpt-4.1", "…-20250929"); the provider's entry "*" (servers of one's own); the
  // configured default. `provider` may be empty: then the first in the table. Errors: PRICE_UNKNOWN, never 0.
  [[nodiscard]] Result<Price> find(std::string_view provider, std::string_view model) const;

  [[nodiscard]] const std::string& dated() const { return dated_; }
  [[nodiscard]] std::vector<Price> all() const;  // in order of provider and model

 private:
  struct Key {
    std::string provider, model;
    auto operator<=>(const Key&) const = default;
  };
  std::map<Key, Price> prices_;
  std::map<Key, std::string> aliases_;
  std::optional<Price> default_;
  std::string dated_;
};

}  // namespace ez::models
