#include "app/rehearse.h"

#include "rehearsal/rehearse.h"

namespace ez::app {

Result<cli::Rehearsal> rehearse(const orchestration::Workflow& workflow, const std::string& tests,
                                const std::string& only) {
  EZ_ASSIGN(rehearsal::Report report, rehearsal::rehearse(workflow, tests, only));
  cli::Rehearsal out;
  out.mistakes = std::move(report.mistakes);
  for (rehearsal::TestReport& test : report.tests) {
    cli::RehearsedTest& slot = out.tests.emplace_back();
    slot.name = std::move(test.name);
    slot.line = test.place.line;
    slot.column = test.place.column;
    for (rehearsal::Mismatch& mismatch : test.mismatches)
      slot.mismatches.push_back({mismatch.place.line, mismatch.place.column, std::move(mismatch.what)});
    slot.state = std::move(test.state);
    slot.simulated_ms = test.simulated_ms;
    slot.cost_microusd = test.cost_microusd;
    slot.took_us = test.took_us;
    slot.timeline = std::move(test.timeline);
  }
  return out;
}

}  // namespace ez::app
