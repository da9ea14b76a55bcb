#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rehearsal/rehearse.h"

namespace ez::rehearsal {
namespace {

using testing::HasSubstr;

constexpr char kWorkflow[] = R"(name: w
inputs:
  items: {type: list, default: [a, b]}
repository: /srv/repo
tasks:
  - id: build
    run: make
    retry: {max_attempts: 3, backoff: 10s, jitter: 1}
    timeout: {start_to_close: 1h, heartbeat: 30s}
  - id: convert
    dependencies: [build]
    for_each: ${{ inputs.items }}
    workspace: write
    run: convert ${{ item }}
  - id: release
    dependencies: [convert]
    approval: {role: maintainer}
    on_failure: fail
)";

// `more` is further keys at its top.
std::shared_ptr<const orchestration::Workflow> workflow(const std::string& more = "") {
  const auto parsed = orchestration::parse_workflow(kWorkflow + more);
  EXPECT_TRUE(parsed.ok()) << (parsed.diagnostics.empty() ? "" : parsed.diagnostics[0].to_string());
  return parsed.workflow;
}

Report play(const std::string& tests, const std::string& only = "", const std::string& more = "") {
  auto report = rehearse(*workflow(more), tests, only);
  EXPECT_TRUE(report.ok()) << report.error().to_string();
  return report.ok() ? std::move(report).value() : Report();
}

// The mismatches of the only test, one a line: "LINE:COLUMN what".
std::string mismatches(const std::string& test, const std::string& more = "") {
  const Report report = play("tests:\n" + test, "", more);
  std::string out;
  for (const auto& mistake : report.mistakes) out += "mistake " + mistake.to_string() + "\n";
  for (const TestReport& played : report.tests) {
    for (const Mismatch& mismatch : played.mismatches) {
      out += std::to_string(mismatch.place.line) + ":" + std::to_string(mismatch.place.column) + " " +
             mismatch.what + "\n";
    }
  }
  return out;
}

TEST(Rehearsal, TasksWithoutAScriptSucceedInNoTime) {
  EXPECT_EQ(mismatches(R"(
  - name: plain
    decisions: {release: approve}
    expect:
      {state: succeeded, takes: 0s, cost_usd: 0, order: [build, convert.0, convert.1, release], error: null}
)"),
            "");
}

TEST(Rehearsal, AttemptsFollowTheScriptAndTimeSkips) {
  EXPECT_EQ(mismatches(R"(
  - name: retries
    tasks:
      build:
        - {fail: COMMAND_FAILED, message: no luck, takes: 5m, cost_usd: 0.1}
        - {output: {n: [1, 2]}, takes: 1m, cost_usd: 0.25}
      convert: {takes: 1m}
      convert.1: {takes: 2m, artifacts: [b.txt]}
    decisions: {release: {do: approve, after: 3h, by: ada}}
    expect:
      state: succeeded
      cost_usd: 0.35
      takes: 3h8m10s
      tasks:
        build: {state: succeeded, attempts: 2, output: {n: [1, 2]}, error: null, ends_at: 6m10s}
        convert.0: {ends_at: {at_least: 7m10s, at_most: 7m10s}}
        convert.1: {ends_at: 8m10s}
      that: ['tasks.build.output.n[1] == 2', 'run.workflow == "w"', 'tasks.release.state == "succeeded"']
)"),
            "");
}

TEST(Rehearsal, ALostAgentIsNoticedByItsHeartbeat) {
  EXPECT_EQ(mismatches(R"(
  - name: lost
    tasks: {build: [{lost: true}, {takes: 1m}]}
    expect:
      state: waiting
      tasks: {build: {state: succeeded, attempts: 2, ends_at: {at_least: 1m30s, at_most: 1m40s}}}
)"),
            "");
}

TEST(Rehearsal, TimeoutsDeadlinesAndCancellationsHitWorkThatGoesOn) {
  EXPECT_EQ(mismatches(R"(
  - name: too slow, then asks, then is cancelled
    tasks: {build: {takes: 2h}}
    actions: [{at: 4h, do: cancel}]
    expect: {state: cancelled, takes: 4h, tasks: {build: {state: cancelled, attempts: 3}}}
)"),
            "");
  EXPECT_EQ(mismatches(R"(
  - name: the deadline
    tasks: {build: {takes: 59m}}
    decisions: {release: {do: approve, after: 20h}}
    expect: {state: failed, takes: 10h, notices: [deadline_warning], tasks: {release: cancelled}}
)",
                       "budget: {deadline: 10h}\n"),
            "");
}

TEST(Rehearsal, ConflictsRejectionsPausesAndRestarts) {
  EXPECT_EQ(mismatches(R"(
  - name: all of them
    tasks:
      convert.0: [{conflict: both changed it}, {}]
      build: {takes: 1m}
    decisions:
      convert.0: {do: retry, after: 1h}
      release: reject
    actions:
      - {at: 30s, do: pause}
      - {at: 2h, do: resume}
      - {at: 150m, do: restart, task: build, redo: false}
    expect:
      state: failed
      tasks: {release: {state: failed, error: REJECTED}, build: {attempts: 2}, convert.0: {attempts: 2}}
)"),
            "");
}

TEST(Rehearsal, WaitsSignalsAndOtherWorkflows) {
  const auto parsed = orchestration::parse_workflow(
      "name: w\ntasks:\n  - {id: cool, wait: {for: 10m}}\n"
      "  - {id: review, dependencies: [cool], wait: {signal: reviewed, timeout: 1d}, on_failure: continue}\n"
      "  - {id: parts, dependencies: [review], when: tasks.review.output.ok, for_each: '${{ [1, 2] }}',\n"
      "     workflow: {name: other, inputs: {n: '${{ item }}'}}}\n"
      "  - {id: last, dependencies: [parts], run: x,\n"
      "     when: \"tasks.parts.state == 'skipped' || tasks.parts.outputs[1].n == 2\"}\n");
  ASSERT_TRUE(parsed.ok()) << parsed.diagnostics[0].to_string();
  const auto report = rehearse(*parsed.workflow, R"(tests:
  - name: all goes well
    tasks: {parts.0: {output: {n: 1}, takes: 1h}, parts.1: {output: {n: 2}}}
    actions: [{at: 2h, do: signal, signal: reviewed, payload: {ok: true}}]
    expect:
      state: succeeded
      takes: 3h
      tasks: {cool: {ends_at: 10m}, review: {output: {ok: true}, ends_at: 2h}, last: succeeded}
  - name: it waits
    until: 1h
    expect: {state: running, tasks: {review: signal}, outputs: {}}
  - name: nobody says anything
    expect: {state: failed, error: EXPRESSION_FAILED, takes: 1450m, tasks: {review: {error: TASK_TIMEOUT}}}
  - name: it comes early and is kept
    actions: [{at: 1m, do: signal, signal: reviewed, payload: {ok: false}}]
    expect: {state: succeeded, takes: 10m, tasks: {parts: skipped}}
  - name: nobody waits for that
    actions: [{at: 1m, do: signal, signal: other}, {at: 2m, do: cancel}]
    expect: {state: cancelled}
)",
                               "");
  ASSERT_TRUE(report.ok()) << report.error().to_string();
  std::string out;
  for (const auto& mistake : report->mistakes) out += mistake.to_string() + "\n";
  for (const TestReport& played : report->tests) {
    for (const Mismatch& mismatch : played.mismatches) out += mismatch.what + "\n";
  }
  EXPECT_EQ(out, "it was refused: SIGNAL_NOT_FOUND: no task of w version 1 waits for a signal other\n");
}

TEST(Rehearsal, MismatchesNameTheirPlace) {
  EXPECT_EQ(mismatches(R"(
  - name: wrong
    tasks: {build: {output: {n: 1, list: [1, 2]}}}
    decisions: {build: approve}
    actions: [{at: 1h, do: resume}]
    expect:
      state: failed
      takes: {at_least: 2h}
      order: [convert.1, build]
      tasks:
        build: {attempts: 2, output: {n: 1, list: [1, 3]}}
        convert.7: succeeded
        release: succeeded
      that:
        - tasks.build.output.n
        - tasks.build.output.missing.x == 1
)"),
            "6:15 it was refused: WRONG_STATE: r1 is not paused\n"
            "8:14 state: expected failed, it is running\n"
            "9:14 takes: expected at least 2h, it is 1h\n"
            "10:26 order: build started before convert.1\n"
            "12:27 tasks.build.attempts: expected 2, it is 1\n"
            "12:38 tasks.build.output.list.1: expected 3, it is 2\n"
            "13:9 tasks.convert.7: the run has no such instance\n"
            "14:18 tasks.release.state: expected succeeded, it is approval\n"
            "16:11 that: tasks.build.output.n: expected true, it is 1\n"
            "17:11 that: tasks.build.output.missing.x == 1: column 20: no such key \"missing\"\n");
}

TEST(Rehearsal, AStartThatIsRefused) {
  EXPECT_EQ(mismatches(R"(
  - {name: refused, inputs: {items: 3}, expect: {refused: INPUT_INVALID}}
  - {name: not refused, expect: {refused: INPUT_INVALID}}
)"),
            "4:43 refused: expected INPUT_INVALID, the run was started\n");
  EXPECT_THAT(mismatches("  - {name: bad, inputs: {none: 3}, expect: {state: succeeded}}\n"),
              HasSubstr("2:5 the run was refused: INPUT_INVALID: "));
}

TEST(Rehearsal, FewAgentsTakeTurns) {
  EXPECT_EQ(mismatches(R"(
  - name: one at a time
    inputs: {items: [a, b, c]}
    agents: 1
    tasks: {convert: {takes: 1m}}
    expect: {state: waiting, takes: 3m, tasks: {convert.2: {starts_at: 2m}}}
)"),
            "");
}

TEST(Rehearsal, OutputsAreCompared) {
  const auto parsed = orchestration::parse_workflow(
      "name: w\noutputs: {n: tasks.a.output.n, twice: tasks.a.output.n * 2}\ntasks:\n  - {id: a, run: x}\n"
      "  - {id: review, dependencies: [a], wait: {signal: reviewed}}\n");
  ASSERT_TRUE(parsed.ok()) << parsed.diagnostics[0].to_string();
  const auto report = rehearse(*parsed.workflow, R"(tests:
  - name: right
    tasks: {a: {output: {n: 4}, takes: 30m}}
    actions: [{at: 4h, do: signal, signal: reviewed}]
    expect: {state: succeeded, outputs: {n: 4, twice: 8}}
  - name: wrong
    tasks: {a: {output: {n: 4}}}
    actions: [{at: 1s, do: signal, signal: reviewed}]
    expect: {outputs: {n: 4, twice: 9}}
  - name: not signalled
    tasks: {a: {output: {n: 4}}}
    expect: {state: waiting, outputs: {}}
)",
                               "");
  ASSERT_TRUE(report.ok()) << report.error().to_string();
  std::string out;
  for (const auto& mistake : report->mistakes) out += mistake.to_string() + "\n";
  for (const TestReport& played : report->tests) {
    for (const Mismatch& mismatch : played.mismatches) out += played.name + ": " + mismatch.what + "\n";
  }
  EXPECT_EQ(out, "wrong: outputs.twice: expected 9, it is 8\n");
}

TEST(Rehearsal, AMistakeInTheTestFileIsNamed) {
  const Report report = play(R"(tests:
  - name: t
    tasks: {biuld: {}, convert.x: {}, build.0: {}, build: {fail: X, output: 1}, convert: []}
    decisions: {release: aprove}
    actions: [{do: cancel}, {at: 1h, do: restart}, {at: 1h, do: budget}, {at: 1h, do: signal}]
    expect: {stat: failed, state: done, tasks: {build: finished}, takes: {at_least: 2s, at_most: 1s}}
  - name: t
  - expect: {}
more: 1
)");
  std::string all;
  for (const auto& mistake : report.mistakes) all += mistake.to_string() + "\n";
  for (const char* const part :
       {"3:13: the workflow has no task `biuld` (did you mean `build`?)", "no task `convert.x`",
        "no task `build.0`", "3:59: an attempt that fails", "the list has 0 entries",
        "4:26: a decision cannot be `aprove` (did you mean", "the action has no time",
        "`do: restart` names a `task`", "`do: budget` adds", "`do: signal` names",
        "unknown key `stat`", "cannot be `done`",
        "no state `finished`", "`at_least` is more", "there is a test `t` already",
        "the test expects nothing", "the test has no `name`", "9:1: unknown key `more`"}) {
    EXPECT_THAT(all, HasSubstr(part));
  }
  EXPECT_TRUE(report.tests.empty());
  for (const char* const text :
       {"", "[]", "tests: 1", "a: [", "tests: [1]", "\xff", "tests: [{expect: 1, tasks: 2}]"})
    EXPECT_FALSE(play(text).mistakes.empty()) << text;
}

TEST(Rehearsal, TheSameTestGivesTheSameTimelineAndIsQuick) {
  const std::string tests = R"(tests:
  - name: many
    inputs: {items: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]}
    tasks: {build: [{lost: true}, {fail: X}, {takes: 40m}], convert: {takes: 3m}}
    decisions: {release: approve}
    expect: {state: succeeded}
  - name: other
    expect: {state: waiting}
)";
  const Report first = play(tests);
  ASSERT_EQ(first.tests.size(), 2U);
  EXPECT_TRUE(first.tests[0].mismatches.empty());
  EXPECT_EQ(first.tests[0].timeline, play(tests).tests[0].timeline);
  EXPECT_THAT(first.tests[0].timeline, testing::Contains("+0s  build: running (attempt 1)"));
  EXPECT_EQ(play(tests, "oth").tests.size(), 1U);
}

}  // namespace
}  // namespace ez::rehearsal
