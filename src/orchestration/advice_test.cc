#include "orchestration/advice.h"

#include <gtest/gtest.h>

#include "orchestration/parse.h"

namespace ez::orchestration {
namespace {

// The messages, one a line.
std::string advice_of(const std::string& source) {
  const ParsedWorkflow parsed = parse_workflow(source);
  EXPECT_TRUE(parsed.ok()) << (parsed.diagnostics.empty() ? "" : parsed.diagnostics[0].to_string());
  std::string out;
  for (const Advice& advice : advice_on(*parsed.workflow)) {
    out += advice.message + "\n";
    EXPECT_FALSE(advice.hint.empty());
  }
  return out;
}

constexpr char kBudget[] = "name: w\nbudget: {cost_usd: 5}\n";
constexpr char kAgents[] = "defaults: {agent: {type: claude}}\n";

std::string advised(const std::string& who) {
  return "the run has a budget and no task has one: " + who +
         " will work one at a time, because each sets aside all that is left\n";
}

TEST(Advice, TasksWithoutAPartOfTheBudgetWorkOneAtATime) {
  const std::string tasks = "tasks: [{id: a, prompt: x}, {id: b, prompt: x}]\n";
  EXPECT_EQ(advice_of(std::string(kBudget) + kAgents + tasks),
            advised("`a` and `b` could work side by side and"));
  EXPECT_EQ(advice_of(std::string("name: w\n") + kAgents + tasks), "");  // nothing is set aside
}

TEST(Advice, OneWithAPartIsThoughtOf) {
  EXPECT_EQ(
      advice_of(
          std::string(kBudget) + kAgents +
          "tasks: [{id: a, prompt: x, budget: {cost_usd: 1}}, {id: b, prompt: x}, {id: c, prompt: x}]\n"),
      "");
}

TEST(Advice, WhatFollowsEachOtherLosesNothing) {
  EXPECT_EQ(advice_of(std::string(kBudget) + kAgents +
                      "tasks:\n"
                      "  - {id: a, prompt: x}\n"
                      "  - {id: script, dependencies: [a], agent: {type: exec}, run: x}\n"
                      "  - {id: b, dependencies: [script], prompt: x}\n"),
            "");
  EXPECT_EQ(advice_of(std::string(kBudget) + kAgents +
                      "tasks:\n"
                      "  - {id: a, prompt: x}\n"
                      "  - {id: b, dependencies: [a], prompt: x}\n"
                      "  - {id: c, dependencies: [a], prompt: x}\n"),
            advised("`b` and `c` could work side by side and"));
}

TEST(Advice, ItemsOfOneTaskWorkSideBySideToo) {
  const std::string head = std::string(kBudget) + kAgents;
  EXPECT_EQ(advice_of(head + "tasks: [{id: a, for_each: '${{ [1, 2] }}', prompt: x}]\n"),
            advised("the items of `a`"));
  EXPECT_EQ(advice_of(head + "tasks: [{id: a, for_each: '${{ [1, 2] }}', max_parallel: 1, prompt: x}]\n"),
            "");
}

TEST(Advice, ScriptsCostNothingAndChildrenTakeAll) {
  EXPECT_EQ(advice_of(std::string(kBudget) + "tasks: [{id: a, run: x}, {id: b, run: x}]\n"), "");
  EXPECT_EQ(advice_of(std::string(kBudget) +
                      "tasks: [{id: a, workflow: {name: other}}, {id: b, workflow: {name: other}}]\n"),
            advised("`a` and `b` could work side by side and"));
}

}  // namespace
}  // namespace ez::orchestration
