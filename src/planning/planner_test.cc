#include "planning/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "base/json.h"
#include "base/json_schema.h"
#include "planning/estimate.h"
#include "planning/texts.h"

namespace ez::planning {
namespace {

using testing::HasSubstr;

constexpr const char* kGoodFile = R"(name: shop
description: A small shop.
inputs:
  repo: {type: git}
  motifs: {type: list, default: [cat, dog]}
repository: ${{ inputs.repo }}
budget: {cost_usd: 10}
tasks:
  - id: ground
    agent: {type: claude}
    workspace: write
    prompt: Lay the ground.
    verify: node --test
  - id: page
    dependencies: [ground]
    agent: {type: gpt}
    workspace: write
    prompt: Make the page.
    verify: test -s page.html
  - id: pictures
    dependencies: [ground]
    for_each: ${{ inputs.motifs }}
    agent: {type: gpt}
    workspace: write
    prompt: Draw ${{ item }}.
    verify: "true"
  - id: whole
    dependencies: [page, pictures]
    workspace: read
    run: node --test
  - id: release
    dependencies: [whole]
    approval: {message: Take it?}
)";

// Gives prepared answers in order and remembers what it was asked.
class ScriptedPlanner final : public PlannerModel {
 public:
  bool serves(const std::string& model) const override { return served.contains(model); }
  Result<Value> ask(const Value& request) override {
    requests.push_back(request);
    if (answers.empty()) return Error(Code::ModelUnavailable, "the script is over");
    auto next = std::move(answers.front());
    answers.pop_front();
    return next;
  }
  std::int64_t spent_microusd() const override { return 0; }
  const models::PriceTable& prices() const override { return models::PriceTable::builtin(); }

  std::set<std::string> served;
  std::deque<Result<Value>> answers;
  std::vector<Value> requests;
};

Value proposal(const std::string& file, Value::List sizes = {}) {
  const Value input(
      Value::Map{{"file", Value(file)}, {"summary", Value("It sells.")}, {"sizes", Value(std::move(sizes))}});
  return Value(Value::Map{{"stop_reason", Value("tool_use")},
                          {"content", Value(Value::List{Value(Value::Map{{"type", Value("tool_use")},
                                                                         {"id", Value("t1")},
                                                                         {"name", Value("propose_workflow")},
                                                                         {"input", input}})})}});
}

PlanRequest plan_request(std::uint32_t tries = 4) {
  PlanRequest request;
  request.description = "a small shop";
  request.model = "planner-1";
  request.tries = tries;
  for (const char* name : {"claude", "gpt"})
    request.types.push_back(*orchestration::builtin_agent_types().find(name));
  return request;
}

std::string last_words(const ScriptedPlanner& model) {
  return to_json(model.requests.back().find("messages")->as_list().back());
}

TEST(Planner, ThePromptsAreInTheTreeAndWhole) {
  const auto schema = parse_json(answer_schema_text());
  ASSERT_TRUE(schema.ok());
  EXPECT_TRUE(JsonSchema::compile(*schema).ok());
  EXPECT_THAT(std::string(planner_prompt_text()), HasSubstr("propose_workflow"));
  ASSERT_NE(find_template("saas"), nullptr);
  EXPECT_THAT(std::string(find_template("saas")->text), HasSubstr("tenant"));
  EXPECT_EQ(find_template("none"), nullptr);
}

TEST(Planner, TheExampleInThePromptIsValid) {
  std::string file;
  const std::string text(planner_prompt_text());
  const std::size_t begin = text.find("    name: invoice-service");
  for (std::size_t at = begin; at < text.size() && text.substr(at, 4) == "    ";) {
    const std::size_t end = text.find('\n', at);
    file += text.substr(at + 4, end - at - 3);
    at = end + 1;
  }
  const auto parsed = orchestration::parse_workflow(file);
  EXPECT_TRUE(parsed.ok()) << file << (parsed.diagnostics.empty() ? "" : parsed.diagnostics[0].to_string());
}

TEST(Planner, AGoodAnswerIsAPlan) {
  ScriptedPlanner model;
  model.answers.emplace_back(
      proposal(kGoodFile, {Value(Value::Map{{"task", Value("ground")}, {"size", Value("large")}})}));
  PlanRequest request = plan_request();
  request.guidance = "Think of tenants.";
  const auto plan = make_plan(model, request, [](const std::string&) {});
  ASSERT_TRUE(plan.ok()) << plan.error().to_string();
  EXPECT_EQ(plan->source, kGoodFile);
  EXPECT_EQ(plan->workflow->name, "shop");
  EXPECT_EQ(plan->answers, 1u);
  EXPECT_EQ(plan->sizes.at("ground"), Size::kLarge);
  ASSERT_EQ(model.requests.size(), 1u);
  const std::string asked = to_json(model.requests[0]);
  for (const char* part : {"a small shop", "Think of tenants.", "gpt: algorithms",
                           "\"tool_choice\":{\"name\":\"propose_workflow\",\"type\":\"tool\"}"})
    EXPECT_THAT(asked, HasSubstr(part));
}

TEST(Planner, MistakesGoBackToTheModelWithTheirPlaces) {
  ScriptedPlanner model;
  model.answers.emplace_back(proposal("name: shop\ntasks: [\n"));
  model.answers.emplace_back(
      proposal("name: shop\nrepository: /r\ntasks:\n  - {id: a, prompt: x, agent: {type: cobol}}\n"
               "  - {id: b, dependencies: [c], run: x, workspace: write}\n"
               "  - {id: d, prompt: x}\n"));
  model.answers.emplace_back(proposal(kGoodFile));
  std::vector<std::string> told;
  const auto plan = make_plan(model, plan_request(), [&](const std::string& text) { told.push_back(text); });
  ASSERT_TRUE(plan.ok()) << plan.error().to_string();
  EXPECT_EQ(plan->answers, 3u);
  const Value::List& turns = model.requests[2].find("messages")->as_list();
  ASSERT_EQ(turns.size(), 5u);
  EXPECT_EQ(turns[1].string_or("role", ""), "assistant");
  EXPECT_THAT(to_json(turns[2]), HasSubstr("\"tool_use_id\":\"t1\""));
  EXPECT_THAT(to_json(turns[4]), HasSubstr("5:"));  // the place of the unknown dependency
  EXPECT_THAT(to_json(turns[4]), HasSubstr("`prompt` needs an agent that is not exec"));
  EXPECT_THAT(told.at(1), HasSubstr("mistake"));
}

TEST(Planner, ItsOwnRulesAreRulesToo) {
  ScriptedPlanner model;
  model.answers.emplace_back(proposal("name: shop\ntasks:\n  - {id: a, prompt: x, agent: {type: cobol}}\n"));
  model.answers.emplace_back(
      proposal("name: shop\nrepository: /r\ntasks:\n"
               "  - {id: b, run: x, workspace: write}\n"));
  model.answers.emplace_back(Value(Value::Map{
      {"stop_reason", Value("end_turn")},
      {"content",
       Value(Value::List{Value(Value::Map{{"type", Value("text")}, {"text", Value("Here you are.")}})})}}));
  model.answers.emplace_back(proposal(kGoodFile));
  ASSERT_TRUE(make_plan(model, plan_request(), [](const std::string&) {}).ok());
  const auto said = [&](std::size_t i) {
    return to_json(model.requests[i].find("messages")->as_list().back());
  };
  EXPECT_THAT(said(1), HasSubstr("agent type cobol is not among those that are listed"));
  EXPECT_THAT(said(1), HasSubstr("no `repository`"));
  EXPECT_THAT(said(2), HasSubstr("changes files and has no `verify`"));
  EXPECT_THAT(said(3), HasSubstr("call the tool"));
}

TEST(Planner, AModelThatKeepsFailingIsGivenUp) {
  ScriptedPlanner model;
  for (int i = 0; i < 5; ++i) model.answers.emplace_back(proposal("tasks: 7\n"));
  const auto plan = make_plan(model, plan_request(3), [](const std::string&) {});
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code(), Code::PlanInvalid);
  EXPECT_THAT(plan.error().message(), HasSubstr("in 3 answers"));
  EXPECT_EQ(model.requests.size(), 3u);
}

TEST(Planner, ARefusalAndAFailureAreErrorsOfTheirOwn) {
  ScriptedPlanner model;
  model.answers.emplace_back(Value(Value::Map{
      {"stop_reason", Value("refusal")},
      {"content",
       Value(Value::List{Value(Value::Map{{"type", Value("text")}, {"text", Value("I will not.")}})})}}));
  const auto refused = make_plan(model, plan_request(), [](const std::string&) {});
  EXPECT_EQ(refused.error().code(), Code::ModelDeclined);
  const auto failed = make_plan(model, plan_request(), [](const std::string&) {});
  EXPECT_EQ(failed.error().code(), Code::ModelUnavailable);
  model.answers.emplace_back(Value(Value::Map{{"content", Value(Value::List{})}}));
  EXPECT_EQ(make_plan(model, plan_request(), [](const std::string&) {}).error().code(),
            Code::ModelReplyInvalid);
}

TEST(Planner, AnAnswerThatDoesNotFitTheSchemaIsAMistake) {
  ScriptedPlanner model;
  Value answer = proposal(kGoodFile, {Value("large")});
  model.answers.emplace_back(answer);
  model.answers.emplace_back(proposal(kGoodFile));
  ASSERT_TRUE(make_plan(model, plan_request(), [](const std::string&) {}).ok());
  EXPECT_THAT(last_words(model), HasSubstr("/sizes/0"));
}

TEST(Planner, WhoPlansIsWhoHasAKey) {
  ScriptedPlanner model;
  const auto& types = orchestration::builtin_agent_types();
  const auto none = choose_planner(model, types, "", {});
  EXPECT_EQ(none.error().code(), Code::ModelNotFound);
  for (const char* name : {"CLAUDE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "DEEPSEEK_API_KEY",
                           "MISTRAL_API_KEY", "GEMINI_API_KEY"})
    EXPECT_THAT(none.error().hint(), HasSubstr(name));
  model.served = {"gpt-5.4", "deepseek-flash"};
  const auto chosen = choose_planner(model, types, "", {});
  ASSERT_TRUE(chosen.ok());
  EXPECT_EQ(chosen->type + " " + chosen->model, "gpt gpt-5.4");
  EXPECT_EQ(chosen->types.size(), 2u);
  EXPECT_EQ(choose_planner(model, types, "deepseek", {"gpt"})->types.size(), 1u);
  EXPECT_EQ(choose_planner(model, types, "claude", {}).error().code(), Code::ModelNotFound);
  EXPECT_EQ(choose_planner(model, types, "cobol", {}).error().code(), Code::AgentTypeUnknown);
  EXPECT_EQ(choose_planner(model, types, "", {"cobol"}).error().code(), Code::AgentTypeUnknown);
}

TEST(Estimate, AddsUpTasksAndFollowsTheLongestPath) {
  Plan plan;
  plan.workflow = orchestration::parse_workflow(kGoodFile).workflow;
  ASSERT_NE(plan.workflow, nullptr);
  plan.sizes["ground"] = Size::kLarge;
  plan.sizes["page"] = Size::kSmall;
  const auto prices = models::PriceTable::parse(
      R"({"dated":"2026-01-01","models":[{"provider":"anthropic","model":"claude-opus-5-5","input":1000000,)"
      R"("output":10000000,"cache_read":100000,"context_tokens":1000,"max_output_tokens":1000}]})");
  ASSERT_TRUE(prices.ok());
  const Estimate estimate = estimate_plan(plan, plan_request().types, *prices);
  ASSERT_EQ(estimate.tasks.size(), 5u);
  // 200,000 in at $1, 2,000,000 cached at $0.10, 40,000 out at $10, each a million.
  EXPECT_EQ(estimate.tasks[0].cost_microusd, 200'000 + 200'000 + 400'000);
  EXPECT_EQ(estimate.cost_microusd, 800'000);
  EXPECT_EQ(estimate.cost_low_microusd, 400'000);
  EXPECT_EQ(estimate.cost_high_microusd, 2'000'000);
  EXPECT_FALSE(estimate.tasks[1].priced);
  EXPECT_EQ(estimate.unpriced, std::vector<std::string>{"gpt-5.5"});
  EXPECT_EQ(estimate.tasks[2].instances, 3);
  EXPECT_EQ(estimate.guessed_lists, 1);
  EXPECT_EQ(estimate.people, 1);
  EXPECT_EQ(estimate.minutes, 25 + 10 + 2);  // pictures are medium, because nobody said otherwise
  EXPECT_EQ(estimate.minutes_alone, 25 + 4 + 30 + 2);
  EXPECT_EQ(estimate.path, (std::vector<std::string>{"ground", "pictures", "whole"}));
}

}  // namespace
}  // namespace ez::planning
