#include "base/json.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/random.h"
#include "base/utf8.h"

namespace ez {
namespace {

std::string reformat(std::string_view text) {
  const Result<Value> parsed = parse_json(text);
  return parsed.ok() ? to_json(*parsed) : parsed.error().to_string();
}

TEST(Json, ReadsAndWrites) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"null", "null"},
      {" true ", "true"},
      {"false", "false"},
      {"0", "0"},
      {"-0", "0"},
      {"-17", "-17"},
      {"9223372036854775807", "9223372036854775807"},
      {"-9223372036854775808", "-9223372036854775808"},
      {"9223372036854775808", "9223372036854775808.0"},
      {"1.5", "1.5"},
      {"3.0", "3.0"},
      {"-0.0", "-0.0"},
      {"1e3", "1000.0"},
      {"1E+2", "100.0"},
      {"1e-7", "1e-07"},
      {"0.1", "0.1"},
      {"1e22", "1e+22"},
      {"123456789012345.0", "123456789012345.0"},
      {"1.7976931348623157e308", "1.7976931348623157e+308"},
      {"5e-324", "5e-324"},
      {"1e-400", "0.0"},
      {"-1e-400", "-0.0"},
      {"0.00000000000000000000000000000000001e-99999999999999999999", "0.0"},
      {"0e999999999999999999999", "0.0"},
      {"\"\"", "\"\""},
      {R"("a\"\\\/\b\f\n\r\t")", R"("a\"\\/\b\f\n\r\t")"},
      {R"("\u0000\u001f\u007f")", "\"\\u0000\\u001f\x7f\""},
      {R"("\u00e9\u20AC\ud83d\uDE00")", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
      {"\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
      {"[]", "[]"},
      {"{}", "{}"},
      {" [ 1 , [ ] , { } , \"x\" ] ", "[1,[],{},\"x\"]"},
      {"\t{\n\"b\" : 1 ,\r\n \"a\" : [ true , null ] } ", R"({"a":[true,null],"b":1})"},
      {R"({"":0,"a":{"a":{"a":1}}})", R"({"":0,"a":{"a":{"a":1}}})"},
      {R"("a long string without anything special in it, so that the fast path is taken")",
       R"("a long string without anything special in it, so that the fast path is taken")"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(reformat(text), expected) << text;
}

TEST(Json, RefusesWithLineAndColumn) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", "line 1, column 1: expected a value, but the text ends"},
      {"  \n ", "line 2, column 2: expected a value, but the text ends"},
      {"\xEF\xBB\xBF{}", "line 1, column 1: expected a value, found a byte order mark"},
      {"nul", "line 1, column 1: expected a value, found 'n'"},
      {"True", "line 1, column 1: expected a value, found 'T'"},
      {"NaN", "line 1, column 1: expected a value, found 'N'"},
      {"nullx", "line 1, column 5: there is text after the document"},
      {"1 2", "line 1, column 3: there is text after the document"},
      {"// c\n1", "line 1, column 1: expected a value, found '/'"},
      {"'a'", "line 1, column 1: expected a value, found '''"},
      {"[1,\n2,\n]", "line 3, column 1: expected a value, found ']'"},
      {"[1 2]", "line 1, column 4: expected ',' or ']', found '2'"},
      {"[1", "line 1, column 3: expected ',' or ']', but the text ends"},
      {"[", "line 1, column 2: expected a value, but the text ends"},
      {"{", "line 1, column 2: expected a member name in double quotes, but the text ends"},
      {"{\"a\":1,}", "line 1, column 8: expected a member name in double quotes, found '}'"},
      {"{a:1}", "line 1, column 2: expected a member name in double quotes, found 'a'"},
      {"{\"a\" 1}", "line 1, column 6: expected ':', found '1'"},
      {"{\"a\":}", "line 1, column 6: expected a value, found '}'"},
      {"{\"a\":1", "line 1, column 7: expected ',' or '}', but the text ends"},
      {"{\"a\":1]", "line 1, column 7: expected ',' or '}', found ']'"},
      {"{\"b\":1,\n \"a\":2,\n \"b\":3}", "line 3, column 2: the member \"b\" is there twice"},
      {R"({"a":1,"\u0061":2})", "line 1, column 8: the member \"a\" is there twice"},
      {"01", "line 1, column 1: a number has no leading zeros"},
      {"-01", "line 1, column 1: a number has no leading zeros"},
      {"-", "line 1, column 2: expected a digit, but the text ends"},
      {"-a", "line 1, column 2: expected a digit, found 'a'"},
      {"1.", "line 1, column 3: expected a digit, but the text ends"},
      {".5", "line 1, column 1: expected a value, found '.'"},
      {"1.e5", "line 1, column 3: expected a digit, found 'e'"},
      {"1e", "line 1, column 3: expected a digit, but the text ends"},
      {"1e+", "line 1, column 4: expected a digit, but the text ends"},
      {"+1", "line 1, column 1: expected a value, found '+'"},
      {"1e400", "line 1, column 1: this number is out of range"},
      {"-1e99999999999999999999", "line 1, column 1: this number is out of range"},
      {"[1, 123456789e301]", "line 1, column 5: this number is out of range"},
      {"\"abc", "line 1, column 1: this string has no end"},
      {"\"abc\\", "line 1, column 5: this escape sequence has no end"},
      {"\"a\nb\"", "line 1, column 3: a control character in a string has to be escaped"},
      {"\"\\x41\"", "line 1, column 2: JSON has no such escape sequence"},
      {"\"\\u12\"", "line 1, column 2: \\u needs four hexadecimal digits"},
      {"\"\\u+123\"", "line 1, column 2: \\u needs four hexadecimal digits"},
      {"\"\\u-123\"", "line 1, column 2: \\u needs four hexadecimal digits"},
      {"\"\\ud800\"", "line 1, column 2: half of a surrogate pair alone is no character"},
      {"\"\\ud800\\u0041\"", "line 1, column 2: half of a surrogate pair alone is no character"},
      {"\"\\ude00\"", "line 1, column 2: half of a surrogate pair alone is no character"},
      {"\"\xC3\xA9\xFF\"", "line 1, column 3: the text is not UTF-8"},
      {"\"\xC0\x80\"", "line 1, column 2: the text is not UTF-8"},
      {"\"\xED\xA0\x80\"", "line 1, column 2: the text is not UTF-8"},
      {"\xFF", "line 1, column 1: expected a value, found the byte 0xFF"},
      {std::string_view("\0", 1), "line 1, column 1: expected a value, found the byte 0x00"},
      {"\"\xC3\xA9\" \xE2\x82\xAC", "line 1, column 5: there is text after the document"},
  };
  for (const auto& [text, expected] : cases) {
    const Result<Value> parsed = parse_json(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.error().code(), Code::JsonInvalid);
    EXPECT_EQ(parsed.error().message(), expected) << text;
  }
}

TEST(Json, Limits) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_json(nested(64)).ok());
  EXPECT_EQ(parse_json(nested(65)).error().message(), "line 1, column 65: nested deeper than 64 levels");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_EQ(parse_json(objects).error().code(), Code::JsonInvalid);

  EXPECT_TRUE(parse_json("[1,2]", {.max_bytes = 5}).ok());
  EXPECT_EQ(parse_json("[1,2] ", {.max_bytes = 5}).error().code(), Code::PayloadTooLarge);
  EXPECT_TRUE(parse_json("[1,[2]]", {.max_values = 4}).ok());
  EXPECT_EQ(parse_json("[1,[2]]", {.max_values = 3}).error().code(), Code::PayloadTooLarge);
}

TEST(Json, PrettyForPeople) {
  const Value value = *parse_json(R"({"a":[],"b":{},"c":[1,{"d":"e"}]})");
  EXPECT_EQ(to_pretty_json(value), R"({
  "a": [],
  "b": {},
  "c": [
    1,
    {
      "d": "e"
    }
  ]
})");
  EXPECT_EQ(to_pretty_json(Value(1)), "1");
}

TEST(Json, BytesThatAreNotUtf8BecomeReplacementCharacters) {
  EXPECT_EQ(to_json(Value("a\xFF\xC3(")), "\"a\xEF\xBF\xBD\xEF\xBF\xBD(\"");
  EXPECT_TRUE(parse_json(to_json(Value("\xF0\x9F\x98"))).ok());
}

TEST(Json, NumbersWithoutAFormAreNull) {
  EXPECT_EQ(to_json(Value(Value::List{std::nan(""), INFINITY, -INFINITY})), "[null,null,null]");
}

TEST(Json, EveryDoubleReadsBackTheSame) {
  SeededRandom random(7);
  for (int i = 0; i < 200'000; ++i) {
    const std::uint64_t bits = random.next();
    double number = 0;
    std::memcpy(&number, &bits, sizeof number);
    if (i % 3 == 0) number = static_cast<double>(static_cast<std::int64_t>(bits) >> (bits % 60));
    if (!std::isfinite(number)) continue;
    const std::string text = to_json(Value(number));
    const Result<Value> back = parse_json(text);
    ASSERT_TRUE(back.ok()) << text;
    ASSERT_TRUE(back->is_double()) << text;
    const double again = back->as_double();
    ASSERT_EQ(std::memcmp(&again, &number, sizeof number), 0) << text;
  }
}

Value random_value(Random& random, int depth) {
  switch (random.below(depth > 0 ? 8 : 6)) {
    case 0:
      return {};
    case 1:
      return random.chance(1, 2);
    case 2:
      return static_cast<std::int64_t>(random.next() >> random.below(64));
    case 3:
      return static_cast<double>(static_cast<std::int64_t>(random.next())) / 1024.0;
    case 4:
    case 5: {
      std::string text;
      for (std::uint64_t i = random.below(20); i > 0; --i) {
        const auto code_point =
            static_cast<std::uint32_t>(random.below(random.chance(1, 2) ? 0x80 : 0x20000));
        append_utf8(text, is_surrogate(code_point) ? 'x' : code_point);
      }
      return text;
    }
    case 6: {
      Value list{Value::List{}};
      for (std::uint64_t i = random.below(6); i > 0; --i) list.push(random_value(random, depth - 1));
      return list;
    }
    default: {
      Value map{Value::Map{}};
      for (std::uint64_t i = random.below(6); i > 0; --i) {
        map.set("k" + std::to_string(random.below(100)), random_value(random, depth - 1));
      }
      return map;
    }
  }
}

TEST(Json, EveryValueReadsBackEqualFromBothForms) {
  SeededRandom random(11);
  for (int i = 0; i < 5'000; ++i) {
    const Value value = random_value(random, 5);
    const std::string text = to_json(value);
    const Result<Value> back = parse_json(text);
    ASSERT_TRUE(back.ok()) << text;
    ASSERT_EQ(*back, value) << text;
    ASSERT_EQ(to_json(*back), text);
    const Result<Value> pretty = parse_json(to_pretty_json(value));
    ASSERT_TRUE(pretty.ok()) << text;
    ASSERT_EQ(*pretty, value) << text;
  }
}

// Boost.JSON 1.81 does not round doubles correctly, so these may differ in the last digits.
bool same(const boost::json::value& theirs, const Value& ours) {
  switch (theirs.kind()) {
    case boost::json::kind::null:
      return ours.is_null();
    case boost::json::kind::bool_:
      return ours.is_bool() && ours.as_bool() == theirs.get_bool();
    case boost::json::kind::int64:
      return ours.is_int() && ours.as_int() == theirs.get_int64();
    case boost::json::kind::uint64:
      return ours.is_double() && ours.as_double() == static_cast<double>(theirs.get_uint64());
    case boost::json::kind::double_: {
      if (!ours.is_double()) return false;
      const double distance = std::fabs(ours.as_double() - theirs.get_double());
      return distance <= std::fabs(ours.as_double()) * 1e-12 + 1e-300;
    }
    case boost::json::kind::string:
      return ours.is_string() && ours.as_string() == theirs.get_string();
    case boost::json::kind::array: {
      const boost::json::array& array = theirs.get_array();
      if (!ours.is_list() || ours.as_list().size() != array.size()) return false;
      for (std::size_t i = 0; i < array.size(); ++i) {
        if (!same(array[i], ours.as_list()[i])) return false;
      }
      return true;
    }
    case boost::json::kind::object: {
      const boost::json::object& object = theirs.get_object();
      if (!ours.is_map() || ours.as_map().size() != object.size()) return false;
      for (const auto& member : object) {
        const Value* found = ours.find({member.key().data(), member.key().size()});
        if (found == nullptr || !same(member.value(), *found)) return false;
      }
      return true;
    }
  }
  return false;
}

// What differs on purpose: Boost.JSON takes duplicate members and numbers out of range; we refuse nothing
// else.
TEST(Json, AgreesWithBoostJsonOnDamagedTexts) {
  SeededRandom random(13);
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = to_json(random_value(random, 4));
    for (std::uint64_t cut = random.below(3); cut > 0 && !text.empty(); --cut) {
      const std::size_t at = random.below(text.size());
      constexpr std::string_view kBytes = "{}[]\",:\\ u0123456789.eE+-tfn\n\x01\xC3\xFF";
      if (random.chance(1, 3))
        text.erase(at, 1 + random.below(3));
      else
        text[at] = kBytes[random.below(kBytes.size())];
    }
    boost::json::error_code failure;
    const boost::json::value theirs = boost::json::parse(text, failure);
    const Result<Value> ours = parse_json(text);
    if (ours.ok()) {
      ASSERT_FALSE(failure) << text << "\n" << failure.message();
      ASSERT_TRUE(same(theirs, *ours)) << text;
    } else {
      ++refused;
      const std::string& message = ours.error().message();
      const bool stricter =
          message.find("twice") != std::string::npos || message.find("out of range") != std::string::npos;
      ASSERT_TRUE(failure || stricter) << text << "\n" << message;
    }
  }
  EXPECT_GT(refused, 1'000);
}

}  // namespace
}  // namespace ez
