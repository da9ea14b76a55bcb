#include <gtest/gtest.h>

#include "base/expression.h"
#include "base/json.h"

namespace ez {
namespace {

const Value& sample() {
  static const Value value = *parse_json(R"({
    "inputs": {"repo": "/srv/a b", "n": 5, "ratio": 2.0, "quote": "it's; rm -rf \"$HOME\" `x`",
               "zero": "a\u0000b",
               "list": ["x", "y"], "map": {"a": {"b": 1}}, "nothing": null},
    "item": "cpp"})");
  return value;
}

const Value* lookup(std::string_view name) { return sample().find(name); }

std::string rendered(std::string_view text, Template::Quoting quoting = Template::Quoting::kPlain,
                     const ExpressionLimits& limits = {}) {
  const Result<Template> parsed = Template::parse(text, limits);
  if (!parsed.ok()) return std::string(parsed.error().name()) + " " + parsed.error().message();
  const Result<std::string> out = parsed->render(lookup, quoting, limits);
  return out.ok() ? *out : std::string(out.error().name()) + " " + out.error().message();
}

TEST(Template, InsertsValues) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", ""},
      {"plain text } }} { {{ $ $$ ${x}", "plain text } }} { {{ $ $$ ${x}"},
      {"${{ inputs.repo }}", "/srv/a b"},
      {"${{inputs.n}}", "5"},
      {"repo/${{ inputs.repo }}/${{ item }}!", "repo//srv/a b/cpp!"},
      {"${{ item }}${{ item }}", "cppcpp"},
      {"${{ inputs.list }} ${{ inputs.map }} ${{ inputs.nothing }} ${{ true }}",
       R"(["x","y"] {"a":{"b":1}} null true)"},
      {"${{ inputs.ratio }}", "2.0"},
      // The end is found by reading the expression, not by looking for braces.
      {"${{ '}}' }}", "}}"},
      {"${{ \"a}}b\" + '${{' }}.", "a}}b${{."},
      {"${{ '''}}''' + r'\\}}' }}", "}}\\}}"},
      {"${{ {'a': {'b': 1}}}}", R"({"a":{"b":1}})"},
      {"${{ {'a': {'b': 1}} }}}", R"({"a":{"b":1}}})"},
      {"${{ {}}}", "{}"},
      {"${{ 1 // }} a comment runs to the end of its line\n }}", "1"},
      // Escaped.
      {"$${{ inputs.repo }}", "${{ inputs.repo }}"},
      {"a $${{ b $${{ c", "a ${{ b ${{ c"},
      {"$$${{ x", "$${{ x"},
      {"${{ '$' }}${{ item }}", "$cpp"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(rendered(text), expected) << text;
}

TEST(Template, QuotesForTheShell) {
  const auto shell = [](std::string_view text) { return rendered(text, Template::Quoting::kShell); };
  EXPECT_EQ(shell("cd ${{ inputs.repo }} && make"), "cd '/srv/a b' && make");
  EXPECT_EQ(shell("echo ${{ inputs.quote }}"), R"(echo 'it'\''s; rm -rf "$HOME" `x`')");
  EXPECT_EQ(shell("echo ${{ inputs.n }}>file"), "echo '5'>file");
  EXPECT_EQ(shell("echo ${{ '' }}"), "echo ''");
  EXPECT_EQ(shell("echo ${{ inputs.list }}"), R"(echo '["x","y"]')");
  EXPECT_EQ(shell("echo ${{ inputs.zero }}"),
            "EXPRESSION_FAILED in ${{ \"inputs.zero\" }}: a shell word cannot hold a zero byte");
}

TEST(Template, EvaluateKeepsTheTypeOfASingleInsert) {
  const auto evaluated = [](std::string_view text) { return *Template::parse(text)->evaluate(lookup); };
  EXPECT_TRUE(evaluated("${{ inputs.list }}").is_list());
  EXPECT_TRUE(evaluated("${{ inputs.n }}").is_int());
  EXPECT_TRUE(evaluated("${{ inputs.nothing }}").is_null());
  EXPECT_EQ(evaluated(" ${{ inputs.n }}"), Value(" 5"));
  EXPECT_EQ(evaluated("${{ inputs.n }}\n"), Value("5\n"));
  EXPECT_EQ(evaluated("${{ item }}${{ item }}"), Value("cppcpp"));
  EXPECT_EQ(evaluated("text"), Value("text"));
  EXPECT_EQ(evaluated(""), Value(""));
}

TEST(Template, KnowsItsExpressions) {
  EXPECT_TRUE(Template::parse("")->is_constant());
  EXPECT_TRUE(Template::parse("text $${{ x }}")->is_constant());
  const Template two = *Template::parse("a ${{ inputs.repo }} b ${{  tasks.x.output\n}}");
  EXPECT_FALSE(two.is_constant());
  ASSERT_EQ(two.expressions().size(), 2U);
  EXPECT_EQ(two.expressions()[0].source(), "inputs.repo");
  EXPECT_EQ(two.expressions()[1].source(), "tasks.x.output");
  EXPECT_EQ(two.expressions()[1].paths(), (std::vector<std::vector<std::string>>{{"tasks", "x", "output"}}));
}

TEST(Template, SourceParsesToTheSameTemplate) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", ""},
      {"plain } $ {", "plain } $ {"},
      {"a ${{inputs.n}}b", "a ${{ inputs.n }}b"},
      {"${{  inputs.n\n}}${{item}}", "${{ inputs.n }}${{ item }}"},
      {"$${{ x }} ${{ item }}", "$${{ x }} ${{ item }}"},
      {"$$${{ x $${{", "$$${{ x $${{"},
      {"${{ '}}' + '${{' }}", "${{ '}}' + '${{' }}"},
      {"${{ 1 // note\n }}!", "${{ 1 // note\n}}!"},
  };
  for (const auto& [text, expected] : cases) {
    const Template parsed = *Template::parse(text);
    EXPECT_EQ(parsed.source(), expected) << text;
    const Result<Template> again = Template::parse(parsed.source());
    ASSERT_TRUE(again.ok()) << text;
    EXPECT_EQ(again->source(), expected);
    EXPECT_EQ(*again->render(lookup, Template::Quoting::kPlain),
              *parsed.render(lookup, Template::Quoting::kPlain));
  }
}

TEST(Template, InvalidTemplatesSayWhereInTheWholeText) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"a ${{ ", "column 3: this ${{ has no }}"},
      {"a ${{ b", "column 3: this ${{ has no }}"},
      {"a ${{ b }", "column 9: expected an operator or '}}', found \"}\""},
      {"a ${{ }}", "column 7: expected a value, found \"}\""},
      {"a ${{ b } }", "column 9: expected an operator or '}}', found \"}\""},
      {"a ${{ b c }}", "column 9: expected an operator or '}}', found \"c\""},
      {"one\ntwo ${{ x +\n ) }}", "line 3, column 2: expected a value, found \")\""},
      {"a ${{ 'b }}", "column 7: this string has no end"},
      {"${{ a }} ${{ 'x'.matches('[') }}", "column 26: the pattern \"[\" is not possible: missing ]: ["},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(rendered(text), "EXPRESSION_INVALID " + std::string(expected)) << text;
  }
}

TEST(Template, FailuresNameTheExpression) {
  EXPECT_EQ(rendered("a b c ${{ inputs.gone }}"),
            "EXPRESSION_FAILED in ${{ \"inputs.gone\" }}: column 8: no such key \"gone\"");
}

TEST(Template, IsBounded) {
  const ExpressionLimits small{.max_source_bytes = 20, .max_result_bytes = 30};
  EXPECT_EQ(rendered("${{ item }} and more text around it", Template::Quoting::kPlain, small),
            "cpp and more text around it");
  EXPECT_EQ(rendered("${{ item + 'aaaaaaaaaaaaaaaaaaaa' }}", Template::Quoting::kPlain, small),
            "EXPRESSION_INVALID column 1: this ${{ has no }} within 20 bytes");
  EXPECT_TRUE(
      rendered("0123456789012345678901234567890123456789${{ item }}", Template::Quoting::kPlain, small)
          .starts_with("EXPRESSION_COST in "));
}

}  // namespace
}  // namespace ez
