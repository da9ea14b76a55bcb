// Random texts: never a crash, always an end within the limits. The same programs run for longer in
// tests/fuzz.
#include <gtest/gtest.h>

#include "base/expression.h"
#include "base/json.h"
#include "base/random.h"

namespace ez {
namespace {

const Value& sample() {
  static const Value value = *parse_json(
      R"({"a": {"b": {"c": [1, 2, {"d": "e"}]}}, "l": [1, 2.5, "x", null, true, [1], {"k": 1}],
          "s": "some text", "x": 3})");
  return value;
}

const Value* lookup(std::string_view name) { return sample().find(name); }

// Evaluates under tight limits and checks what must hold of any result.
void exercise(std::string_view text, std::uint64_t seed, int& parsed_count, int& evaluated_count) {
  const ExpressionLimits limits{.max_cost = 2'000, .max_depth = 24, .max_result_bytes = 4'096};
  const Result<Expression> parsed = Expression::parse(text, limits);
  if (parsed.ok()) {
    ++parsed_count;
    const Result<Value> value = parsed->evaluate(lookup, limits);
    if (value.ok()) {
      ++evaluated_count;
      ASSERT_LE(to_json(*value).size(), 8 * limits.max_result_bytes) << text;
      // The same expression gives the same result again, also after another parse of its source.
      const Result<Value> again = Expression::parse(parsed->source(), limits)->evaluate(lookup, limits);
      ASSERT_TRUE(again.ok()) << text;
      ASSERT_EQ(to_json(*again), to_json(*value)) << text;
    } else {
      ASSERT_TRUE(value.error().code() == Code::ExpressionFailed ||
                  value.error().code() == Code::ExpressionCost);
      ASSERT_LT(value.error().message().size(), 1'000U) << "seed " << seed << " " << text;
    }
  } else {
    ASSERT_EQ(parsed.error().code(), Code::ExpressionInvalid);
    ASSERT_LT(parsed.error().message().size(), 1'000U) << "seed " << seed << " " << text;
  }
  const Result<Template> inserted = Template::parse(text, limits);
  if (inserted.ok()) {
    const Result<std::string> out = inserted->render(lookup, Template::Quoting::kShell, limits);
    ASSERT_TRUE(out.ok() || !out.error().message().empty());
  }
}

TEST(ExpressionChaos, RandomBytes) {
  constexpr std::uint64_t kSeed = 20261122;
  SeededRandom random(kSeed);
  int parsed = 0;
  int evaluated = 0;
  for (int i = 0; i < 5'000; ++i) {
    std::string text = random.chance(1, 4) ? "${{" : "";
    for (std::uint64_t n = random.below(60); n > 0; --n) {
      text.push_back(static_cast<char>(random.chance(3, 4) ? 0x20 + random.below(0x5F) : random.below(256)));
    }
    if (random.chance(1, 4)) text += "}}";
    exercise(text, kSeed, parsed, evaluated);
    if (HasFatalFailure()) return;
  }
}

TEST(ExpressionChaos, RandomTokens) {
  constexpr std::string_view kTokens[] = {"a",
                                          "b",
                                          "l",
                                          "s",
                                          "x",
                                          ".",
                                          ".",
                                          "[",
                                          "]",
                                          "(",
                                          ")",
                                          "{",
                                          "}",
                                          ",",
                                          ":",
                                          "?",
                                          "+",
                                          "-",
                                          "*",
                                          "/",
                                          "%",
                                          "==",
                                          "!=",
                                          "<",
                                          ">=",
                                          "&&",
                                          "||",
                                          "!",
                                          "in",
                                          "1",
                                          "0",
                                          "2.5",
                                          "'t'",
                                          "\"k\"",
                                          "r'\\'",
                                          "null",
                                          "true",
                                          "false",
                                          "has(",
                                          ".map(x,",
                                          ".all(",
                                          ".exists(x,",
                                          ".filter(x,",
                                          ".exists_one(x,",
                                          "size(",
                                          ".size()",
                                          ".split(",
                                          ".join(",
                                          ".replace(",
                                          ".matches('",
                                          "int(",
                                          "string(",
                                          "double(",
                                          "type(",
                                          "math.least(",
                                          "9223372036854775807",
                                          "${{",
                                          "}}",
                                          "$${{",
                                          "'''",
                                          "`a-b`",
                                          "//",
                                          "\n",
                                          " ",
                                          "0x1F",
                                          "1e308",
                                          "'\\u0041'",
                                          ".trim()",
                                          ".lowerAscii()"};
  constexpr std::uint64_t kSeed = 1795366080;
  SeededRandom random(kSeed);
  int parsed = 0;
  int evaluated = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (std::uint64_t n = 1 + random.below(random.chance(1, 2) ? 6 : 30); n > 0; --n) {
      text += kTokens[random.below(std::size(kTokens))];
      if (random.chance(1, 2)) text += ' ';
    }
    exercise(text, kSeed, parsed, evaluated);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(parsed, 500);
  EXPECT_GT(evaluated, 200);
}

// Texts that mean something: a tree of random operations, so that evaluation is reached each time.
std::string random_source(Random& random, int depth) {
  const auto sub = [&]() { return random_source(random, depth - 1); };
  if (depth == 0) {
    constexpr std::string_view kLeaves[] = {"1",       "0",
                                            "-7",      "2.5",
                                            "'a'",     "''",
                                            "true",    "false",
                                            "null",    "x",
                                            "s",       "l",
                                            "a",       "a.b",
                                            "a.b.c",   "[]",
                                            "{}",      "gone",
                                            "y",       "[1, 2, 3]",
                                            "'a,b,c'", "9223372036854775807"};
    return std::string(kLeaves[random.below(std::size(kLeaves))]);
  }
  switch (random.below(14)) {
    case 0:
      return "(" + sub() + " + " + sub() + ")";
    case 1:
      return "(" + sub() + " && " + sub() + ")";
    case 2:
      return "(" + sub() + " || " + sub() + " || " + sub() + ")";
    case 3:
      return "(" + sub() + " == " + sub() + ")";
    case 4:
      return "(" + sub() + " ? " + sub() + " : " + sub() + ")";
    case 5:
      return "[" + sub() + ", " + sub() + "]";
    case 6:
      return "{'k': " + sub() + ", 'a': " + sub() + "}";
    case 7:
      return sub() + ".map(y, " + sub() + ")";
    case 8:
      return sub() + ".filter(y, " + sub() + ")";
    case 9:
      return sub() + ".exists(y, " + sub() + ")";
    case 10:
      return "(" + sub() + ")[" + sub() + "]";
    case 11:
      return "size(" + sub() + ")";
    case 12:
      return "(" + sub() + " in " + sub() + ")";
    default:
      return "string(" + sub() + ").replace('a', string(" + sub() + "))";
  }
}

TEST(ExpressionChaos, RandomTrees) {
  constexpr std::uint64_t kSeed = 42;
  SeededRandom random(kSeed);
  int parsed = 0;
  int evaluated = 0;
  for (int i = 0; i < 20'000; ++i) {
    exercise(random_source(random, 1 + static_cast<int>(random.below(4))), kSeed, parsed, evaluated);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(parsed, 15'000);
  EXPECT_GT(evaluated, 1'500);
}

}  // namespace
}  // namespace ez
