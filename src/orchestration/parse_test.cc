#include "orchestration/parse.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace ez::orchestration {
namespace {

std::string all_messages(const ParsedWorkflow& parsed) {
  std::string out;
  for (const Diagnostic& d : parsed.diagnostics) out += d.to_string() + " [" + d.hint + "]\n";
  return out;
}

std::shared_ptr<const Workflow> parse_good(std::string_view source) {
  ParsedWorkflow parsed = parse_workflow(source);
  EXPECT_TRUE(parsed.ok()) << all_messages(parsed);
  return parsed.workflow;
}

constexpr std::string_view kFull = R"(# A comment
name: repository-checkup
description: Everything at once
namespace: team-a
inputs:
  repo: {type: git, description: Where}
  depth: {type: int, default: 5}
  version: {type: string, default: 1.10}
  languages: {type: list, default: [cpp, go]}
repository: ${{ inputs.repo }}
branch: ez/${{ run.id }}
base: main
files: ./scripts//tools/
priority: high
budget: {cost_usd: 12.5, deadline: 1d12h}
defaults:
  retry: {max_attempts: 5, backoff: 10m}
  timeout: {start_to_close: 2h}
  agent: {capabilities: [git, cpp, git]}
  on_failure: continue
tasks:
  - id: inventory
    run: |
      echo ${{ inputs.repo }} > out
      echo done
    workspace: read
    checkpoint: true
  - id: build
    name: Build and test
    dependencies: [inventory]
    when: tasks.inventory.output.build != ""
    for_each: ${{ tasks.inventory.output.languages }}
    max_parallel: 4
    agent: {type: exec, capabilities: [fast]}
    run: make ${{ item }} N=${{ index }}
    env: {LANG_NAME: "${{ item }}", A: 5}
    verify: make test
    artifacts: [report/*.md]
    concurrency: {key: "repo/${{ inputs.repo }}", limit: 4}
    retry: {multiplier: 1.5, jitter: 0.25}
    timeout: {schedule_to_start: 10m, heartbeat: 45s}
    on_failure: pause
    priority: critical
    sandbox: {network: true, memory_mb: 512, cpu_s: 60}
  - id: review
    dependencies: [build]
    agent: {type: claude}
    prompt: Look at ${{ tasks.inventory.output }} and ${{ tasks.build.outputs }}
  - id: release
    dependencies: [review]
    approval: {role: maintainer, message: "Release ${{ inputs.version }}?"}
)";

TEST(ParseWorkflow, ReadsEveryKey) {
  const auto workflow = parse_good(kFull);
  ASSERT_NE(workflow, nullptr);
  EXPECT_EQ(workflow->name, "repository-checkup");
  EXPECT_EQ(workflow->namespace_name, "team-a");
  ASSERT_EQ(workflow->inputs.size(), 4U);
  EXPECT_EQ(workflow->inputs[1].fallback, Value(5));
  EXPECT_EQ(workflow->inputs[2].fallback, Value("1.10"));
  EXPECT_EQ(to_json(*workflow->inputs[3].fallback), R"(["cpp","go"])");
  EXPECT_FALSE(workflow->inputs[0].fallback.has_value());
  EXPECT_EQ(workflow->files, "scripts/tools");
  EXPECT_EQ(workflow->priority, Priority::kHigh);
  EXPECT_EQ(workflow->budget_microusd, 12'500'000);
  EXPECT_EQ(workflow->deadline_ms, 36LL * 3600 * 1000);
  ASSERT_EQ(workflow->tasks.size(), 4U);

  const Task& inventory = workflow->tasks[0];
  EXPECT_EQ(inventory.name, "inventory");
  EXPECT_EQ(inventory.workspace, WorkspaceMode::kRead);
  EXPECT_EQ(inventory.retry.max_attempts, 5U);
  EXPECT_EQ(inventory.retry.backoff_ms, 600'000);
  EXPECT_EQ(inventory.retry.max_backoff_ms,
            600'000);  // the built-in ceiling of 5m gives way to a longer backoff
  EXPECT_EQ(inventory.timeout.start_to_close_ms, 7'200'000);
  EXPECT_EQ(inventory.on_failure, OnFailure::kContinue);
  EXPECT_EQ(inventory.agent.capabilities, (std::vector<std::string>{"cpp", "git"}));
  EXPECT_TRUE(inventory.checkpoint);
  EXPECT_EQ(inventory.dependents, (std::vector<std::uint32_t>{1}));
  EXPECT_EQ(inventory.depth_below, 3U);

  const Task& build = workflow->tasks[1];
  EXPECT_EQ(build.name, "Build and test");
  EXPECT_EQ(build.dependencies, (std::vector<std::uint32_t>{0}));
  EXPECT_EQ(build.when->source(), "tasks.inventory.output.build != \"\"");
  EXPECT_TRUE(build.for_each.has_value());
  EXPECT_EQ(build.max_parallel, 4U);
  EXPECT_EQ(build.agent.capabilities, (std::vector<std::string>{"fast"}));
  EXPECT_EQ(build.workspace, WorkspaceMode::kWrite);
  ASSERT_EQ(build.env.size(), 2U);
  EXPECT_EQ(build.env[0].first, "A");
  EXPECT_EQ(build.concurrency->limit, 4U);
  EXPECT_EQ(build.retry.max_attempts, 5U);
  EXPECT_EQ(build.retry.multiplier_permille, 1'500U);
  EXPECT_EQ(build.retry.jitter_permille, 250U);
  EXPECT_EQ(build.timeout.start_to_close_ms, 7'200'000);
  EXPECT_EQ(build.timeout.schedule_to_start_ms, 600'000);
  EXPECT_EQ(build.timeout.heartbeat_ms, 45'000);
  EXPECT_EQ(build.on_failure, OnFailure::kPause);
  EXPECT_EQ(build.priority, Priority::kCritical);
  EXPECT_TRUE(build.sandbox.network);
  EXPECT_EQ(build.sandbox.memory_mb, 512U);
  EXPECT_EQ(build.sandbox.disk_mb, 4'096U);
  EXPECT_EQ(build.sandbox.cpu_s, 60U);

  EXPECT_EQ(workflow->tasks[2].agent.type, "claude");
  EXPECT_EQ(workflow->tasks[2].agent.capabilities, (std::vector<std::string>{"cpp", "git"}));

  const Task& release = workflow->tasks[3];
  EXPECT_TRUE(release.is_approval_only());
  EXPECT_EQ(release.approval->role, "maintainer");
  EXPECT_EQ(release.retry.max_attempts, 3U);
  EXPECT_EQ(release.workspace, WorkspaceMode::kNone);
  EXPECT_EQ(release.depth_below, 0U);

  EXPECT_EQ(workflow->find_task("build"), 1U);
  EXPECT_EQ(workflow->find_task("builds"), std::nullopt);
}

TEST(ParseWorkflow, WaitsNeedNoAgent) {
  const auto workflow = parse_good(
      "name: x\ndefaults: {retry: {max_attempts: 9}, on_failure: fail}\ntasks:\n"
      "  - {id: a, wait: {for: 1m30s}}\n  - {id: b, wait: {until: 2026-12-24T08:00:00+01:00}}\n"
      "  - {id: c, dependencies: [a], wait: {until: '${{ tasks.a.output }}'}, on_failure: continue}\n"
      "  - {id: d, wait: {signal: go, timeout: 2h}, for_each: '${{ [1, 2] }}'}\n");
  ASSERT_NE(workflow, nullptr);
  EXPECT_EQ(workflow->tasks[0].wait->for_ms, 90'000);
  EXPECT_EQ(workflow->tasks[0].retry.max_attempts, Retry().max_attempts);
  EXPECT_EQ(workflow->tasks[0].on_failure, OnFailure::kFail);
  EXPECT_FALSE(workflow->tasks[0].needs_agent());
  EXPECT_EQ(workflow->tasks[1].wait->until->source(), "2026-12-24T08:00:00+01:00");
  EXPECT_EQ(workflow->tasks[2].on_failure, OnFailure::kContinue);
  EXPECT_EQ(workflow->tasks[3].wait->signal, "go");
  EXPECT_EQ(workflow->tasks[3].wait->timeout_ms, 7'200'000);
  EXPECT_TRUE(workflow->knows_signal("go"));
  EXPECT_FALSE(workflow->knows_signal("stop"));
  EXPECT_FALSE(workflow->knows_signal(""));
  const std::string canonical = to_canonical(*workflow);
  const auto again = from_canonical(canonical);
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_EQ(to_canonical(**again), canonical);
}

TEST(ParseWorkflow, OneWorkflowStartsAnother) {
  const auto workflow = parse_good(
      "name: x\ndefaults: {timeout: {start_to_close: 5m}, sandbox: {network: true}}\n"
      "outputs: {n: tasks.b.output.n, m: 'size(tasks.a.outputs)'}\ntasks:\n"
      "  - {id: a, for_each: '${{ [1, 2] }}',\n"
      "     workflow: {name: other, version: 3, inputs: {n: '${{ item }}', a: 5}}}\n"
      "  - {id: b, approval: {}, workflow: {name: other}, budget: {cost_usd: 2},\n"
      "     timeout: {schedule_to_close: 1h}}\n");
  ASSERT_NE(workflow, nullptr);
  const Task& a = workflow->tasks[0];
  EXPECT_EQ(a.workflow->name, "other");
  EXPECT_EQ(a.workflow->version, 3U);
  ASSERT_EQ(a.workflow->inputs.size(), 2U);
  EXPECT_EQ(a.workflow->inputs[0].first, "a");
  EXPECT_EQ(a.workflow->inputs[1].second.source(), "${{ item }}");
  EXPECT_EQ(a.max_parallel, kDefaultChildren);
  EXPECT_EQ(a.timeout.start_to_close_ms, 0);
  EXPECT_FALSE(a.sandbox.network);
  EXPECT_FALSE(workflow->tasks[1].is_approval_only());
  EXPECT_EQ(workflow->tasks[1].timeout.schedule_to_close_ms, 3'600'000);
  ASSERT_EQ(workflow->outputs.size(), 2U);
  EXPECT_EQ(workflow->outputs[0].first, "m");
  const std::string canonical = to_canonical(*workflow);
  const auto again = from_canonical(canonical);
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_EQ(to_canonical(**again), canonical);
}

TEST(ParseWorkflow, JsonAndYamlGiveTheSameWorkflow) {
  const auto yaml =
      parse_good("name: x\ntasks:\n  - id: a\n    run: |\n      one \"two\"\n      ${{ run.id }}\n");
  const auto json =
      parse_good(R"({"name": "x", "tasks": [{"id": "a", "run": "one \"two\"\n${{ run.id }}\n"}]})");
  const auto flow = parse_good(R"({name: x, tasks: [{id: a, run: "one \"two\"\n${{ run.id }}\n"}]})");
  ASSERT_TRUE(yaml && json && flow);
  EXPECT_EQ(to_canonical(*yaml), to_canonical(*json));
  EXPECT_EQ(to_canonical(*yaml), to_canonical(*flow));
}

TEST(ParseWorkflow, AliasesShareValues) {
  const auto workflow = parse_good(
      "name: x\ntasks:\n  - id: a\n    run: &script |\n      make\n    retry: &r {max_attempts: 7}\n"
      "  - id: b\n    run: *script\n    retry: *r\n");
  ASSERT_NE(workflow, nullptr);
  EXPECT_EQ(workflow->tasks[1].run->source(), "make\n");
  EXPECT_EQ(workflow->tasks[1].retry.max_attempts, 7U);
}

TEST(ParseWorkflow, AliasBombsAreRefused) {
  std::string bomb = "name: x\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
    for (int k = 0; k < 9; ++k) bomb += ", " + last;
    bomb += "]\n";
  }
  const ParsedWorkflow parsed = parse_workflow(bomb);
  ASSERT_EQ(parsed.diagnostics.size(), 1U);
  EXPECT_EQ(parsed.diagnostics[0].code, Code::WorkflowTooLarge);
  EXPECT_GT(parsed.diagnostics[0].line, 2);

  // Few nodes, much text.
  std::string texts = "name: x\nbig: &big \"" + std::string(1'000'000, 'x') + "\"\nlist: [";
  for (int i = 0; i < 100; ++i) texts += "*big, ";
  const ParsedWorkflow second = parse_workflow(texts + "]\n");
  ASSERT_EQ(second.diagnostics.size(), 1U);
  EXPECT_EQ(second.diagnostics[0].code, Code::WorkflowTooLarge);
}

TEST(ParseWorkflow, ShowsEveryMistakeInFileOrder) {
  const ParsedWorkflow parsed = parse_workflow(
      "nam: x\ntasks:\n  - id: a\n    run: ${{ inputs.y }}\n    retry: {max_attempts: 0}\n  - id: a\n    "
      "rum: x\n");
  ASSERT_FALSE(parsed.ok());
  std::vector<std::string> lines;
  for (const Diagnostic& d : parsed.diagnostics) lines.push_back(d.to_string());
  const std::vector<std::string> expected{
      "1:1: unknown key `nam` (did you mean `name`?)",
      "1:1: the workflow has no `name`",
      "4:14: the input `y` is not declared",
      "5:27: `max_attempts` must be a whole number from 1 to 1000, not `0`",
      "6:5: the task has nothing to do",
      "6:9: the id `a` is taken by the task in line 3",
      "7:5: unknown key `rum` (did you mean `run`?)",
  };
  EXPECT_EQ(lines, expected);
}

TEST(ParseWorkflow, ShowsAtMostAHundredMistakes) {
  std::string source = "name: x\ntasks:\n";
  for (int i = 0; i < 500; ++i) source += "  - {id: t" + std::to_string(i) + "}\n";
  const ParsedWorkflow parsed = parse_workflow(source);
  ASSERT_EQ(parsed.diagnostics.size(), kMaxDiagnostics);
  EXPECT_EQ(parsed.diagnostics.back().line, 102);
}

TEST(ParseWorkflow, PlacesExpressionErrorsInTheFile) {
  struct Case {
    std::string_view source;
    int line;
    int column;
  };
  const Case cases[] = {
      {"name: x\ntasks:\n- id: a\n  run: echo ${{ 1 + }}\n", 4, 21},
      {"name: x\ntasks:\n- id: a\n  run: \"é\\t ${{ 1 + }}\"\n", 4, 21},
      {"name: x\ntasks:\n- id: a\n  run: |\n    one\n    two ${{ 1 + }}\n", 6, 17},
      {"name: x\ntasks:\n- id: a\n  run: >-\n    one\n    two ${{ nope }}\n", 6, 13},
      {"name: x\ntasks:\n- id: a\n  run: x\n  when: 'inputs.a &&'\n", 5, 21},
      {"{\"name\": \"x\", \"tasks\": [\n {\"id\": \"a\", \"run\": \"\\u00e9\\n ${{ nope }}\"}]}", 2, 35},
      {"name: x\ntasks:\n- id: a\n  run: &r 'it''s'' ${{ nope }}'\n", 4, 24},
      {"name: x\ntasks:\n- id: a\n  run: ${{ run.id }} ${{ run.id }} ${{ nope }}\n", 4, 40},
  };
  for (const Case& c : cases) {
    const ParsedWorkflow parsed = parse_workflow(c.source);
    ASSERT_FALSE(parsed.diagnostics.empty()) << c.source;
    EXPECT_EQ(parsed.diagnostics[0].line, c.line) << c.source << all_messages(parsed);
    EXPECT_EQ(parsed.diagnostics[0].column, c.column) << c.source << all_messages(parsed);
  }
}

TEST(ParseWorkflow, RunTasksStayExecUnderOtherDefaults) {
  const auto workflow = parse_good(
      "name: x\ndefaults: {agent: {type: claude}}\ntasks:\n- {id: a, prompt: do it}\n- {id: b, run: make}\n");
  ASSERT_NE(workflow, nullptr);
  EXPECT_EQ(workflow->tasks[0].agent.type, "claude");
  EXPECT_EQ(workflow->tasks[1].agent.type, "exec");
}

TEST(ParseWorkflow, CanonicalFormReadsBack) {
  const auto workflow = parse_good(kFull);
  ASSERT_NE(workflow, nullptr);
  const std::string canonical = to_canonical(*workflow);
  const auto again = from_canonical(canonical);
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_EQ(to_canonical(**again), canonical);
  EXPECT_EQ((*again)->tasks[0].depth_below, 3U);
  EXPECT_EQ((*again)->find_task("release"), 3U);
}

TEST(ParseWorkflow, DamagedCanonicalFormsAreRefused) {
  const std::string good = to_canonical(*parse_good(kFull));
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"format\":1", "\"format\":2"},
           {"\"dependencies\":[0]", "\"dependencies\":[9]"},
           {"\"dependencies\":[0]", "\"dependencies\":[3]"},  // a circle
           {"\"dependencies\":[0]", "\"dependencies\":[-1]"},
           {"\"id\":\"build\"", "\"id\":\"review\""},
           {"\"retry\":1", "\"retry\":77"},
           {"${{ item }}", "${{ item"},
           {"\"on_failure\":\"pause\"", "\"on_failure\":\"rewind\""},
           {"\"name\":\"repository-checkup\"", "\"name\":\"\""}}) {
    std::string bad = good;
    const std::size_t at = bad.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    bad.replace(at, from.size(), to);
    EXPECT_FALSE(from_canonical(bad).ok()) << from;
  }
  for (std::size_t i = 0; i < good.size(); i += 37) EXPECT_FALSE(from_canonical(good.substr(0, i)).ok());
}

TEST(ParseWorkflow, ResolversOfTheWorkflowAndOfTasks) {
  const std::string source = R"(name: x
inputs: {repo: {type: git}}
repository: ${{ inputs.repo }}
resolver:
  agent: {type: claude, model: m, max_turns: 9}
  prompt: Keep ${{ inputs.repo }}.
  budget: {cost_usd: 0.5}
tasks:
  - {id: a, run: make}
  - {id: b, run: make, resolver: {run: "./settle ${{ task }}", tries: 4, timeout: 30s}}
  - {id: c, run: make, resolver: none}
  - {id: d, run: make, workspace: read}
  - {id: e, run: make}
)";
  const ParsedWorkflow wrong = parse_workflow(source);
  EXPECT_FALSE(wrong.ok());  // no variable is named task
  std::string good = source;
  good.replace(good.find("${{ task }}"), 11, "${{ inputs.repo }}");
  const auto workflow = parse_good(good);
  ASSERT_NE(workflow, nullptr);
  const Resolver& shared = *workflow->tasks[0].resolver;
  EXPECT_EQ(shared.agent.type, "claude");
  EXPECT_EQ(shared.agent.model, "m");
  EXPECT_EQ(shared.agent.max_turns, 9U);
  EXPECT_EQ(shared.tries, 2U);
  EXPECT_EQ(shared.timeout_ms, 600'000);
  EXPECT_EQ(shared.budget_microusd, 500'000);
  EXPECT_EQ(workflow->tasks[4].resolver.get(), &shared);
  EXPECT_EQ(workflow->tasks[1].resolver->agent.type, "exec");
  EXPECT_EQ(workflow->tasks[1].resolver->tries, 4U);
  EXPECT_EQ(workflow->tasks[2].resolver, nullptr);
  EXPECT_EQ(workflow->tasks[3].resolver, nullptr);
  EXPECT_EQ(workflow->resolver_microusd, 500'000);
  EXPECT_EQ(workflow->tasks[0].lease_ms(false), 3'600'000);
  EXPECT_EQ(workflow->tasks[0].lease_ms(true), 3'600'000 + 2 * 600'000);

  const std::string canonical = to_canonical(*workflow);
  const auto again = from_canonical(canonical);
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_EQ(to_canonical(**again), canonical);
  EXPECT_EQ((*again)->tasks[4].resolver, (*again)->tasks[0].resolver);
  EXPECT_EQ((*again)->tasks[1].resolver->run->source(), "./settle ${{ inputs.repo }}");
  EXPECT_EQ((*again)->resolver_microusd, 500'000);
  for (const char* part : {R"("type":"claude")", R"("tries":2)", R"("run":"./settle)"}) {
    std::string damaged = canonical;
    ASSERT_NE(damaged.find(part), std::string::npos) << part;
    damaged.replace(damaged.find(part) + 1, 1, "X");
    EXPECT_FALSE(from_canonical(damaged).ok()) << part;
  }
}

}  // namespace
}  // namespace ez::orchestration
