// How an Expression behaves around the language itself: messages, limits, paths, threads. The language is in
// expression_conformance_test.cc.
#include "base/expression.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "base/json.h"

namespace ez {
namespace {

using Path = std::vector<std::string>;

Variables over(const Value& map) {
  return [&map](std::string_view name) { return map.find(name); };
}

const Value& sample() {
  static const Value value = *parse_json(R"({
    "inputs": {"repo": "/srv/a b", "depth": 5, "list": ["x", "y"], "empty": ""},
    "tasks": {"build": {"state": "succeeded", "output": {"changed": 3, "ok": true, "name": "it's"}},
              "unit-tests": {"output": {"failed": 0}}},
    "item": {"name": "cpp", "files": 7},
    "index": 2})");
  return value;
}

std::string evaluated(std::string_view source, const ExpressionLimits& limits = {}) {
  const Result<Expression> parsed = Expression::parse(source, limits);
  if (!parsed.ok()) return std::string(parsed.error().name()) + " " + parsed.error().message();
  const Result<Value> value = parsed->evaluate(over(sample()), limits);
  return value.ok() ? to_json(*value) : std::string(value.error().name()) + " " + value.error().message();
}

TEST(Expression, ReadsVariables) {
  EXPECT_EQ(evaluated("tasks.build.output.changed > 0 && inputs.depth == 5"), "true");
  EXPECT_EQ(evaluated("tasks[\"unit-tests\"].output.failed"), "0");
  EXPECT_EQ(evaluated("tasks.`unit-tests`.output"), R"({"failed":0})");
  EXPECT_EQ(evaluated("item.name + '-' + string(index)"), R"("cpp-2")");
  EXPECT_EQ(evaluated("has(tasks.build.output.missing) ? 1 : 2"), "2");
}

TEST(Expression, InvalidSourcesSayWhere) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", "column 1: expected a value, but the expression ends"},
      {"  ", "column 3: expected a value, but the expression ends"},
      {"1 +", "column 4: expected a value, but the expression ends"},
      {"1 + * 2", "column 5: expected a value, found \"*\""},
      {"(1", "column 3: expected ')', but the expression ends"},
      {"1)", "column 2: expected an operator or the end, found \")\""},
      {"a b", "column 3: expected an operator or the end, found \"b\""},
      {"a = 1", "column 3: '=' is no operator; compare with '=='"},
      {"a & b", "column 3: '&' is no operator; write '&&'"},
      {"a | b", "column 3: '|' is no operator; write '||'"},
      {"a ? b", "column 6: expected ':', but the expression ends"},
      {"a.", "column 3: expected the name of a field, but the expression ends"},
      {"a.1", "column 2: expected an operator or the end, found \".1\""},
      {"a.in", "column 3: expected the name of a field, found \"in\""},
      {"a[1", "column 4: expected ']', but the expression ends"},
      {"[1 2]", "column 4: expected ',' or ']', found \"2\""},
      {"{'a' 1}", "column 6: expected ':', found \"1\""},
      {"{1: 2}", "column 2: the keys of a map are strings"},
      {"{'a': 1 'b'}", "column 9: expected ',' or '}', found \"'b'\""},
      {"f(1, )", "column 6: expected a value, found \")\""},
      {"f(1 2)", "column 5: expected ',' or ')', found \"2\""},
      {"'abc", "column 1: this string has no end"},
      {"'a\nb'",
       "line 1, column 1: this string does not end on its line; one with three quotes may have several"},
      {"1 +\n  'a\\q'", "line 2, column 5: there is no such escape sequence; write \\\\ for a backslash"},
      {"'\xC3\xA9\xC3\xA9' + §", "column 8: unexpected \"§\""},
      {"'\\u12'", "column 2: this escape sequence needs 4 hexadecimal digits"},
      {"'\\ud800'", "column 2: there is no such character"},
      {"'\\U00110000'", "column 2: there is no such character"},
      {"'\\08'", "column 2: an octal escape sequence has three digits"},
      {"'\\", "column 2: this escape sequence has no end"},
      {"'\xFF'", "column 2: the text is not UTF-8"},
      {"\xFF", "column 1: the text is not UTF-8"},
      {"b'abc'", "column 1: bytes literals are not supported; write a string"},
      {"1u", "column 2: unsigned numbers are not supported; leave out the 'u'"},
      {"12abc", "column 1: this is not a number"},
      {"0x", "column 1: 0x needs hexadecimal digits"},
      {"9223372036854775808", "column 1: this number is too large for an int"},
      {"-9223372036854775809", "column 2: this number is too large for an int"},
      {"99999999999999999999", "column 1: this number is too large for an int"},
      {"1e999", "column 1: this number is too large for a double"},
      {"while", "column 1: 'while' is a reserved word"},
      {"!-1", "column 2: expected a value, found \"-\""},
      {"`a`", "column 1: a name in backticks is only possible after a '.'"},
      {"a.`b", "column 3: this name in backticks has no end"},
      {"a.`b$`", "column 3: a name in backticks has only letters, digits, '_', '.', '-', '/' and spaces"},
      {"a.``", "column 3: a name in backticks is not empty"},
      {"foo(1)", "column 1: there is no function foo()"},
      {"a.foo(1)", "column 3: there is no function foo()"},
      {"contains('a', 'b')", "column 1: there is no function contains(); write value.contains(…)"},
      {"a.int()", "column 3: there is no function int() of a value; write int(value)"},
      {"size()", "column 1: size() takes 1 argument, not 0"},
      {"'a'.trim(1)", "column 5: trim() takes no arguments, not 1"},
      {"'a'.split()", "column 5: split() takes 1 to 2 arguments, not 0"},
      {"math.least()", "column 6: math.least() takes 1 to 64 arguments, not 0"},
      {"has(a)", "column 1: has() takes one selection of a field, such as has(inputs.name)"},
      {"has(a['b'])", "column 1: has() takes one selection of a field, such as has(inputs.name)"},
      {"[1].all(x)", "column 5: all() takes a variable and one expression"},
      {"[1].map(x)", "column 5: map() takes a variable and one or two expressions"},
      {"[1].all(1, true)", "column 9: the first argument of all() is the name of a variable"},
      {"'a'.matches('(')", "column 13: the pattern \"(\" is not possible: missing ): ("},
  };
  for (const auto& [source, expected] : cases) {
    const Result<Expression> parsed = Expression::parse(source);
    ASSERT_FALSE(parsed.ok()) << source;
    EXPECT_EQ(parsed.error().code(), Code::ExpressionInvalid);
    EXPECT_EQ(parsed.error().message(), expected) << source;
  }
}

TEST(Expression, FailuresSayWhereAndWhy) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"nothing", "column 1: unknown name \"nothing\""},
      {"inputs.missing", "column 8: no such key \"missing\""},
      {"inputs['missing']", "column 7: no such key \"missing\""},
      {"inputs.depth.x", "column 14: int has no field \"x\""},
      {"inputs[1]", "column 7: the keys of a map are strings, not int"},
      {"inputs.list[2]", "column 12: the index is outside of a list of 2"},
      {"inputs.list['x']", "column 12: list[string] is not possible"},
      {"1 + 1.0", "column 3: int + double is not possible; convert one side with int() or double()"},
      {"'n: ' + index", "column 7: string + int is not possible; convert one side with string()"},
      {"1 < 'a'", "column 3: int < string is not possible"},
      {"1 / 0", "column 3: division by zero"},
      {"index / (index - 2)", "column 7: division by zero"},
      {"9223372036854775807 + 1", "column 21: int overflow"},
      {"inputs.repo ? 1 : 2", "column 8: expected a bool, found string"},
      {"true &&\n  index", "line 2, column 3: expected a bool, found int"},
      {"inputs.list.all(x, x > 1)", "column 22: string > int is not possible"},
      {"index.all(x, true)", "column 7: int is neither a list nor a map, so it has no elements"},
      {"inputs.repo.contains(1)", "column 13: contains() is not possible with string, int"},
      {"int('x')", "column 1: \"x\" is no int"},
      {"[1, 2].join()", "column 8: join() needs a list of strings, found int"},
      {"'a'.matches(inputs.repo + '(')",
       "column 5: the pattern \"/srv/a b(\" is not possible: missing ): /srv/a b("},
  };
  for (const auto& [source, expected] : cases) {
    EXPECT_EQ(evaluated(source), "EXPRESSION_FAILED " + std::string(expected)) << source;
  }
}

TEST(Expression, PathsAndVariables) {
  const auto paths = [](std::string_view source) {
    const Result<Expression> parsed = Expression::parse(source);
    return parsed.ok() ? parsed->paths() : std::vector<Path>{{parsed.error().message()}};
  };
  EXPECT_EQ(paths("1 + 2"), std::vector<Path>{});
  EXPECT_EQ(paths("tasks.build.output.x > 0"), (std::vector<Path>{{"tasks", "build", "output", "x"}}));
  EXPECT_EQ(paths("tasks[\"unit-tests\"].output"), (std::vector<Path>{{"tasks", "unit-tests", "output"}}));
  EXPECT_EQ(paths("has(tasks.`a-b`.output.x)"), (std::vector<Path>{{"tasks", "a-b", "output", "x"}}));
  EXPECT_EQ(paths("tasks[item].output + item"), (std::vector<Path>{{"item"}, {"tasks"}}));
  EXPECT_EQ(paths("inputs.list[0].name.size()"), (std::vector<Path>{{"inputs", "list"}}));
  EXPECT_EQ(paths("inputs.list.map(x, x.name + inputs.sep)"),
            (std::vector<Path>{{"inputs", "list"}, {"inputs", "sep"}}));
  EXPECT_EQ(paths("item.all(item, item.x > 0)"), (std::vector<Path>{{"item"}}));
  EXPECT_EQ(paths("a.map(x, b.map(y, x + y + z))"), (std::vector<Path>{{"a"}, {"b"}, {"z"}}));
  EXPECT_EQ(paths("type(a.b) == int"), (std::vector<Path>{{"a", "b"}}));
  EXPECT_EQ(paths("(a ? b : c).d"), (std::vector<Path>{{"a"}, {"b"}, {"c"}}));
  EXPECT_EQ(paths("{'k': a.b, c: [d]}"), (std::vector<Path>{{"a", "b"}, {"c"}, {"d"}}));
  EXPECT_EQ(paths("math.greatest(a, 1)"), (std::vector<Path>{{"a"}}));

  const Expression parsed = *Expression::parse("b.x + a.map(c, c + b.y + d)[0]");
  EXPECT_EQ(parsed.variables(), (std::vector<std::string>{"a", "b", "d"}));
  EXPECT_EQ(parsed.source(), "b.x + a.map(c, c + b.y + d)[0]");
}

TEST(Expression, CostIsBounded) {
  Value list;
  for (int i = 0; i < 400; ++i) list.push(i);
  const Value values(Value::Map{{"l", list}, {"s", std::string(100'000, 'a')}});
  const auto code = [&](std::string_view source, const ExpressionLimits& limits = {}) {
    const Result<Value> value = Expression::parse(source)->evaluate(over(values), limits);
    return value.ok() ? std::string_view("OK") : value.error().name();
  };
  EXPECT_EQ(code("l.all(a, l.all(b, a + b >= 0))"), "EXPRESSION_COST");
  EXPECT_EQ(code("l.all(a, a >= 0)"), "OK");
  // Nothing absorbs the end of the budget.
  EXPECT_EQ(code("true || l.all(a, l.all(b, a + b >= 0))"), "OK");
  EXPECT_EQ(code("l.all(a, l.all(b, a + b >= 0)) || true"), "EXPRESSION_COST");
  EXPECT_EQ(code("l.exists(a, l.all(b, l.all(c, a == a)))"), "EXPRESSION_COST");
  EXPECT_EQ(code("l.map(a, s.contains('b')).size()"), "EXPRESSION_COST");
  EXPECT_EQ(code("l.map(a, s + 'b').size()"), "EXPRESSION_COST");
  EXPECT_EQ(code("s.matches('(a*)*b')"), "OK");
  EXPECT_EQ(code("l.map(a, s == s + '').size()"), "EXPRESSION_COST");
  EXPECT_EQ(code("l.map(a, s.split('')).size()"), "EXPRESSION_COST");
  EXPECT_EQ(code("l.map(a, 'a'.matches(string(a))).size()"), "EXPRESSION_COST");
  EXPECT_EQ(code("l.map(a, 'a'.matches(string(a % 3))).size()"), "OK");
  EXPECT_EQ(code("1 + 1", {.max_cost = 3}), "OK");
  EXPECT_EQ(code("1 + 1", {.max_cost = 2}), "EXPRESSION_COST");
  EXPECT_EQ(code("1", {.max_cost = 0}), "EXPRESSION_COST");
}

TEST(Expression, ResultsAreBounded) {
  const ExpressionLimits small{.max_result_bytes = 1000};
  EXPECT_EQ(evaluated("'" + std::string(999, 'a') + "' + 'b' == ''", small), "false");
  EXPECT_EQ(evaluated("'" + std::string(1000, 'a') + "' + 'b' == ''", small),
            "EXPRESSION_COST column 1004: a result of more than 1000 bytes");
  EXPECT_EQ(evaluated("'aaaaaaaaaa'.replace('a', '" + std::string(101, 'b') + "').size()", small),
            "EXPRESSION_COST column 14: a result of more than 1000 bytes");
  EXPECT_EQ(evaluated("'" + std::string(900, 'a') + "'.split('').size()", small),
            "EXPRESSION_COST column 904: a result of more than 1000 bytes");

  // Lists share their elements: a few steps make what would fill the memory of any machine in writing.
  std::string bomb = "['aaaaaaaaaa']";
  for (int i = 0; i < 20; ++i) bomb += ".map(x, [x, x, x, x, x, x, x, x, x, x])";
  EXPECT_EQ(evaluated(bomb + ".size()"), "1");
  EXPECT_TRUE(evaluated(bomb).starts_with("EXPRESSION_COST ")) << evaluated(bomb);
  EXPECT_TRUE(evaluated(bomb + " == " + bomb).starts_with("EXPRESSION_COST "));
  EXPECT_TRUE(evaluated(bomb + " in [" + bomb + "]").starts_with("EXPRESSION_COST "));
}

TEST(Expression, SourcesAreBounded) {
  const auto repeated = [](std::string_view text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
  };
  EXPECT_EQ(evaluated(repeated("(", 60) + "1" + repeated(")", 60)), "1");
  const std::string too_deep = "nested deeper than 64 levels";
  for (const std::string& source :
       {repeated("(", 5000), repeated("[", 5000), repeated("{'a':", 3000), repeated("!", 5000),
        repeated("- ", 5000), "1" + repeated("+1", 5000), "a" + repeated(".a", 5000),
        "a" + repeated("[0]", 5000), repeated("true?1:", 2000) + "1", repeated("size(", 3000),
        repeated("[].map(x,", 1000)}) {
    const std::string result = evaluated(source);
    EXPECT_NE(result.find(too_deep), std::string::npos) << source.substr(0, 20) << " " << result;
  }
  EXPECT_EQ(evaluated("true" + repeated("||true", 2000)), "true");
  EXPECT_EQ(evaluated("1 == 1" + repeated(" && 1 == 1", 1000)), "true");
  EXPECT_EQ(evaluated(std::string(16 * 1024 + 1, ' ')),
            "EXPRESSION_INVALID the expression has 16385 bytes, at most 16384 are allowed");
  EXPECT_TRUE(evaluated("'a'.matches('((((a{100}){10}){10}){10})')").starts_with("EXPRESSION_INVALID"));
  EXPECT_TRUE(evaluated("'a'.matches('\\\\pL{900}')").starts_with("EXPRESSION_INVALID"));
  EXPECT_EQ(evaluated("'aa'.matches('\\\\pL{2}')"), "true");
  EXPECT_NE(evaluated("false" + repeated(" || 'aa'.matches('\\\\pL{2}')", 300))
                .find("the patterns of this expression are too large together"),
            std::string::npos);
}

TEST(Expression, ResultsMayReferToTemporaries) {
  EXPECT_EQ(evaluated("[[1, 2], [3]].map(l, l)[0][1]"), "2");
  EXPECT_EQ(evaluated("{'a': {'b': ['text that is long enough for the heap']}}.a.b[0]"),
            "\"text that is long enough for the heap\"");
  EXPECT_EQ(evaluated("(true ? inputs.list.map(x, {'k': x}) : []).filter(m, m.k == 'y')[0].k"), "\"y\"");
  EXPECT_EQ(evaluated("{'b': 1, 'a': 2}.map(k, k)"), "[\"a\",\"b\"]");
  EXPECT_EQ(evaluated("{'b': 1, 'a': 2}.filter(k, k == 'b')"), "[\"b\"]");
}

// The examples that people copy have to be right.
TEST(Expression, ExamplesOfTheDocumentAreValid) {
  const char* root = std::getenv("EZ_SOURCE_DIR");
  std::ifstream document(std::string(root == nullptr ? "." : root) + "/docs/formats/expressions.md");
  ASSERT_TRUE(document) << "docs/formats/expressions.md; set EZ_SOURCE_DIR or start in the source directory";
  int checked = 0;
  for (std::string line; std::getline(document, line);) {
    if (!line.starts_with("    ")) continue;
    const std::size_t when = line.find("when: ");
    if (when == std::string::npos) {
      const Result<Template> parsed = Template::parse(line);
      EXPECT_TRUE(parsed.ok()) << line << "\n" << (parsed.ok() ? "" : parsed.error().message());
    } else {
      const Result<Expression> parsed = Expression::parse(std::string_view(line).substr(when + 6));
      EXPECT_TRUE(parsed.ok()) << line << "\n" << (parsed.ok() ? "" : parsed.error().message());
    }
    ++checked;
  }
  EXPECT_GE(checked, 10);
}

TEST(Expression, WithoutVariables) {
  EXPECT_EQ(Expression::parse("1 + 1")->evaluate({})->as_int(), 2);
  EXPECT_EQ(Expression::parse("a")->evaluate({}).error().code(), Code::ExpressionFailed);
}

}  // namespace
}  // namespace ez
