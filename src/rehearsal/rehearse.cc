#include "rehearsal/rehearse.h"

#include "base/clock.h"
#include "rehearsal/judge.h"
#include "rehearsal/stage.h"

namespace ez::rehearsal {

Result<Report> rehearse(const orchestration::Workflow& workflow, std::string_view tests,
                        std::string_view only) {
  Report report;
  Script script = read_script(tests, workflow);
  report.mistakes = std::move(script.mistakes);
  if (!report.mistakes.empty()) return report;
  for (const Test& test : script.tests) {
    if (test.name.find(only) == std::string::npos) continue;
    const std::int64_t began_us = system_clock().monotonic_us();
    Stage stage(workflow, test);
    auto played = stage.play();
    if (!played.ok()) return played.error().in("the test `" + test.name + "`");
    Outcome outcome = std::move(played).value();
    TestReport& out = report.tests.emplace_back();
    out.name = test.name;
    out.place = test.place;
    out.mismatches = judge(test, outcome);
    if (outcome.run) {
      out.state = core::to_text(outcome.run->state);
      out.cost_microusd = outcome.run->cost_microusd;
    }
    out.simulated_ms = outcome.end_ms;
    out.timeline = std::move(outcome.timeline);
    out.took_us = system_clock().monotonic_us() - began_us;
  }
  return report;
}

}  // namespace ez::rehearsal
