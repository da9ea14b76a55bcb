#include "orchestration/generator.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "orchestration/parse.h"

namespace ez::orchestration {
namespace {

constexpr std::uint64_t kSeeds = 400;

TEST(Generator, WorkflowsAreValidAndReadBackFromTheirCanonicalForm) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SeededRandom random(seed);
    const GeneratedWorkflow made = generate_workflow(random);
    const ParsedWorkflow parsed = parse_workflow(made.source);
    ASSERT_TRUE(parsed.ok()) << "seed " << seed << "\n"
                             << parsed.diagnostics[0].to_string() << "\n"
                             << made.source;
    EXPECT_EQ(parsed.workflow->tasks.size(), made.tasks) << "seed " << seed;
    const std::string canonical = to_canonical(*parsed.workflow);
    const auto again = from_canonical(canonical);
    ASSERT_TRUE(again.ok()) << "seed " << seed << " " << again.error().to_string();
    EXPECT_EQ(to_canonical(**again), canonical) << "seed " << seed;
    for (std::size_t i = 0; i < parsed.workflow->tasks.size(); ++i) {
      EXPECT_EQ((*again)->tasks[i].dependents, parsed.workflow->tasks[i].dependents) << "seed " << seed;
      EXPECT_EQ((*again)->tasks[i].depth_below, parsed.workflow->tasks[i].depth_below) << "seed " << seed;
    }
    EXPECT_EQ((*again)->by_id, parsed.workflow->by_id) << "seed " << seed;
    const auto inputs = bind_inputs(*parsed.workflow, made.inputs);
    EXPECT_TRUE(inputs.ok()) << "seed " << seed << " " << inputs.error().to_string();
  }
}

// The tables say which features were used: they must agree with what the parser saw.
TEST(Generator, KnowsWhichFeaturesItUsed) {
  GeneratedWorkflow total;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SeededRandom random(seed);
    const GeneratedWorkflow made = generate_workflow(random);
    const ParsedWorkflow parsed = parse_workflow(made.source);
    ASSERT_TRUE(parsed.ok()) << "seed " << seed;
    GeneratedWorkflow seen;
    for (const Task& task : parsed.workflow->tasks) {
      seen.dependencies += static_cast<std::uint32_t>(task.dependencies.size());
      seen.for_each += task.for_each ? 1 : 0;
      seen.conditions += task.when ? 1 : 0;
      seen.approvals += task.approval ? 1 : 0;
      seen.waiting += task.is_approval_only() ? 1 : 0;
      seen.prompts += task.prompt ? 1 : 0;
      seen.waits += task.wait ? 1 : 0;
      seen.children += task.workflow ? 1 : 0;
      seen.write_tasks += task.workspace == WorkspaceMode::kWrite ? 1 : 0;
      seen.concurrency += task.concurrency ? 1 : 0;
    }
    EXPECT_EQ(seen.dependencies, made.dependencies) << "seed " << seed;
    EXPECT_EQ(seen.for_each, made.for_each) << "seed " << seed;
    EXPECT_EQ(seen.conditions, made.conditions) << "seed " << seed;
    EXPECT_EQ(seen.approvals, made.approvals) << "seed " << seed;
    EXPECT_EQ(seen.waiting, made.waiting) << "seed " << seed;
    EXPECT_EQ(seen.prompts, made.prompts) << "seed " << seed;
    EXPECT_EQ(seen.waits, made.waits) << "seed " << seed;
    EXPECT_EQ(seen.children, made.children) << "seed " << seed;
    EXPECT_EQ(seen.write_tasks, made.write_tasks) << "seed " << seed;
    EXPECT_EQ(seen.concurrency, made.concurrency) << "seed " << seed;
    total.for_each += made.for_each;
    total.conditions += made.conditions;
    total.waiting += made.waiting;
    total.prompts += made.prompts;
    total.waits += made.waits;
    total.children += made.children;
    total.write_tasks += made.write_tasks;
    total.concurrency += made.concurrency;
  }
  for (const std::uint32_t count : {total.for_each, total.conditions, total.waiting, total.prompts,
                                    total.write_tasks, total.concurrency, total.waits, total.children}) {
    EXPECT_GT(count, 20U);
  }
}

TEST(Generator, OptionsKeepFeaturesOut) {
  GeneratorOptions plain;
  plain.repository = plain.for_each = plain.conditions = plain.approvals = false;
  plain.waits = plain.children = plain.policies = plain.limits = plain.prompts = plain.styles = false;
  plain.min_tasks = plain.max_tasks = 50;
  SeededRandom random(7);
  const GeneratedWorkflow made = generate_workflow(random, plain);
  const ParsedWorkflow parsed = parse_workflow(made.source);
  ASSERT_TRUE(parsed.ok()) << parsed.diagnostics[0].to_string();
  ASSERT_EQ(parsed.workflow->tasks.size(), 50U);
  for (const Task& task : parsed.workflow->tasks) {
    EXPECT_TRUE(task.run && !task.for_each && !task.when && !task.approval);
    EXPECT_EQ(task.retry.max_attempts, Retry{}.max_attempts);
  }
}

// Damaged files end in a workflow or in a list of mistakes with places inside the file; nothing else.
TEST(Generator, DamagedWorkflowsAreAnswered) {
  static constexpr std::string_view kBytes = "{}[]:,-?&*!|>'\"%@`# \n\t~aé$<=.0\\\xff";
  std::uint64_t bad = 0;
  for (std::uint64_t seed = 0; seed < 3'000; ++seed) {
    SeededRandom random(seed);
    GeneratorOptions small;
    small.max_tasks = 6;
    std::string source = generate_workflow(random, small).source;
    for (std::uint64_t edits = 1 + random.below(6); edits > 0; --edits) {
      const std::size_t at = random.below(source.size());
      switch (random.below(5)) {
        case 0:
          source[at] = kBytes[random.below(kBytes.size())];
          break;
        case 1:
          source.insert(at, 1, kBytes[random.below(kBytes.size())]);
          break;
        case 2:
          source.erase(at, 1 + random.below(8));
          break;
        case 3:
          source.insert(at, source.substr(random.below(source.size()), random.below(60)));
          break;
        default:
          source.resize(std::max<std::size_t>(at, 1));
      }
      if (source.empty()) source = "x";
    }
    const ParsedWorkflow parsed = parse_workflow(source);
    ASSERT_NE(parsed.ok(), !parsed.diagnostics.empty()) << "seed " << seed;
    bad += parsed.ok() ? 0 : 1;
    const auto lines =
        2 + std::count_if(source.begin(), source.end(), [](char c) { return c == '\n' || c == '\r'; });
    for (const Diagnostic& d : parsed.diagnostics) {
      EXPECT_GE(d.line, 1) << "seed " << seed << " " << d.message;
      EXPECT_LE(d.line, lines) << "seed " << seed << " " << d.message;
      EXPECT_GE(d.column, 1) << "seed " << seed << " " << d.message;
      EXPECT_FALSE(d.message.empty()) << "seed " << seed;
    }
    if (parsed.ok()) {
      EXPECT_TRUE(from_canonical(to_canonical(*parsed.workflow)).ok()) << "seed " << seed << "\n" << source;
    }
  }
  EXPECT_GT(bad, 1'000U);
}

}  // namespace
}  // namespace ez::orchestration
