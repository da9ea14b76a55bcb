#include "models/prices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/random.h"

namespace ez::models {
namespace {

using ::testing::HasSubstr;

Price price(std::int64_t input, std::int64_t output) {
  Price out;
  out.rates = {input, output, input / 10, input * 5 / 4, input * 2};
  return out;
}

TEST(Cost, IsExactAndRoundedUpOnce) {
  const Price p = price(3'000'000, 15'000'000);
  EXPECT_EQ(cost_microusd(p, {}), 0);
  EXPECT_EQ(cost_microusd(p, {1, 0, 0, 0, 0, 0}), 3);
  EXPECT_EQ(cost_microusd(p, {0, 1, 0, 0, 0, 0}), 1);       // 0.3, up
  EXPECT_EQ(cost_microusd(p, {0, 1, 1, 0, 0, 0}), 5);       // 0.3 + 3.75 = 4.05: up once, not 1 + 4
  EXPECT_EQ(cost_microusd(p, {0, 0, 10, 4, 0, 0}), 47);     // 6 × 3.75 + 4 × 6 = 46.5
  EXPECT_EQ(cost_microusd(p, {100, 0, 0, 0, 10, 9}), 450);  // reasoning is part of the output
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(cost_microusd(price(1'000'000'000'000, 1), {kMost, 0, 0, 0, kMost, 0}), kMost);
}

TEST(Cost, LongContextIsBilledForTheWholeCall) {
  Price p = price(100'000, 500'000);
  p.long_above = 1'000;
  p.long_rates = {500'000, 2'500'000, 50'000, 625'000, 1'000'000};
  EXPECT_EQ(cost_microusd(p, {1'000, 0, 0, 0, 100, 0}), 150);
  EXPECT_EQ(cost_microusd(p, {1'001, 0, 0, 0, 100, 0}), 751);  // 500.5 + 250
  EXPECT_EQ(cost_microusd(p, {1, 1'000, 0, 0, 0, 0}), 51);     // what a cache served counts for the limit
}

// No usage within the bounds that were set aside costs more than what was set aside.
TEST(Cost, TheUpperBoundHolds) {
  SeededRandom random(7);
  for (int i = 0; i < 2'000; ++i) {
    Price p = price(static_cast<std::int64_t>(random.below(100'000'000)),
                    static_cast<std::int64_t>(random.below(100'000'000)));
    if (random.chance(1, 2)) {
      p.long_above = 1 + static_cast<std::int64_t>(random.below(100'000));
      p.long_rates = price(static_cast<std::int64_t>(random.below(100'000'000)), 5).rates;
    }
    Usage usage;
    usage.input_tokens = static_cast<std::int64_t>(random.below(100'000));
    usage.cache_read_tokens = static_cast<std::int64_t>(random.below(100'000));
    usage.cache_write_tokens = static_cast<std::int64_t>(random.below(100'000));
    usage.cache_write_1h_tokens = static_cast<std::int64_t>(random.below(100'000));
    usage.output_tokens = static_cast<std::int64_t>(random.below(100'000));
    ASSERT_LE(cost_microusd(p, usage), cost_upper_microusd(p, usage.total_input(), usage.output_tokens)) << i;
  }
}

constexpr const char* kTable = R"({"dated":"2026-01-02","note":"n","models":[
  {"provider":"anthropic","model":"claude-x","input":3000000,"output":15000000,"cache_read":300000,
   "context_tokens":200000,"max_output_tokens":64000,"aliases":["claude-x-0"],
   "long":{"above":200000,"input":6000000,"output":22500000}},
  {"provider":"openai","model":"claude-x","input":1,"output":1},
  {"provider":"local","model":"*","input":0,"output":0}]})";

TEST(Prices, AreFoundByNameAliasAndDate) {
  const PriceTable table = *PriceTable::parse(kTable);
  const Price p = *table.find("anthropic", "claude-x");
  EXPECT_EQ(p.rates, (Rates{3'000'000, 15'000'000, 300'000, 3'000'000, 3'000'000}));
  EXPECT_EQ(p.long_rates.cache_read, 6'000'000);
  EXPECT_EQ(p.max_output_tokens, 64'000);
  EXPECT_EQ(p.dated, "2026-01-02");
  for (const char* name : {"claude-x-0", "claude-x-20250929", "claude-x-2025-09-29", "claude-x-latest",
                           "claude-x@20250929", "claude-x-0-20250929"}) {
    const Result<Price> found = table.find("anthropic", name);
    ASSERT_TRUE(found.ok()) << name;
    EXPECT_EQ(found->model, "claude-x");
  }
  EXPECT_EQ(table.find("openai", "claude-x")->rates.input, 1);
  EXPECT_EQ(table.find("", "claude-x")->provider, "anthropic");
  EXPECT_EQ(table.find("local", "anything:7b")->rates.output, 0);
  for (const char* name : {"claude", "claude-x-2025", "claude-xy", "", "-20250929", "x-20250929"}) {
    const Result<Price> missing = table.find("anthropic", name);
    ASSERT_FALSE(missing.ok()) << name;
    EXPECT_EQ(missing.error().code(), Code::PriceUnknown);
  }
  EXPECT_THAT(table.find("anthropic", "claude-z").error().message(), HasSubstr("claude-z"));
}

TEST(Prices, AnotherTableGoesOver) {
  const PriceTable over = *PriceTable::parse(R"({"dated":"2026-02-03","models":[
    {"provider":"anthropic","model":"claude-x","input":7,"output":8}],
    "default":{"input":100,"output":200}})");
  const PriceTable both = PriceTable::parse(kTable)->with(over);
  EXPECT_EQ(both.find("anthropic", "claude-x")->rates.input, 7);
  EXPECT_EQ(both.find("openai", "claude-x")->rates.input, 1);
  EXPECT_EQ(both.dated(), "2026-02-03");
  const Price fallback = *both.find("anthropic", "brand-new");
  EXPECT_TRUE(fallback.fallback);
  EXPECT_EQ(fallback.model, "brand-new");
  EXPECT_EQ(fallback.rates.output, 200);
}

TEST(Prices, FilesAreReadStrictly) {
  const auto wrong = [](std::string_view text) {
    const Result<PriceTable> table = PriceTable::parse(text);
    EXPECT_FALSE(table.ok()) << text;
    return table.ok() ? std::string() : table.error().to_string();
  };
  EXPECT_THAT(wrong("{"), HasSubstr("PRICES_INVALID"));
  EXPECT_THAT(wrong("{}"), HasSubstr("dated"));
  const auto entry = [&](std::string_view members) {
    return wrong(R"({"dated":"d","models":[{"provider":"p","model":"m",)" + std::string(members) + "}]}");
  };
  EXPECT_THAT(entry(R"("input":1)"), HasSubstr("models[0].output"));
  EXPECT_THAT(entry(R"("input":-1,"output":1)"), HasSubstr("models[0].input"));
  EXPECT_THAT(entry(R"("input":0.5,"output":1)"), HasSubstr("models[0].input"));
  EXPECT_THAT(entry(R"("input":1,"output":1,"inptu":2)"), HasSubstr("models[0].inptu: an unknown member"));
  EXPECT_THAT(entry(R"("input":1,"output":1},{"provider":"p","model":"m","input":1,"output":1)"),
              HasSubstr("twice"));
  EXPECT_THAT(entry(R"("input":1,"output":1,"long":{"input":1,"output":1})"), HasSubstr("long.above"));
  EXPECT_THAT(wrong(R"({"dated":"d","defualt":{}})"), HasSubstr("defualt"));
}

TEST(Prices, TheTableOfTheBinaryIsSound) {
  const PriceTable& table = PriceTable::builtin();
  EXPECT_GT(table.all().size(), 40U);
  EXPECT_EQ(table.dated().size(), 10U);
  for (const Price& each : table.all()) {
    EXPECT_GT(each.rates.input, 0) << each.model;
    EXPECT_GE(each.rates.cache_write_1h, each.rates.cache_write) << each.model;
    EXPECT_LE(each.rates.cache_read, each.rates.input) << each.model;
    const Rates& longer = each.long_above > 0 ? each.long_rates : each.rates;
    EXPECT_GE(longer.input, each.rates.input) << each.model;
  }
  for (const char* model :
       {"claude-sonnet-4-5-20250929", "claude-opus-5-5", "gpt-4.1-2025-04-14", "gpt-5-codex"}) {
    EXPECT_TRUE(table.find("", model).ok()) << model;
  }
}

}  // namespace
}  // namespace ez::models
