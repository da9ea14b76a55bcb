// Plays the tests of a file and judges them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "orchestration/parse.h"
#include "rehearsal/script.h"

namespace ez::rehearsal {

// An expectation that was not met, where it stands in the test file.
struct Mismatch {
  Place place;
  std::string what;  // "tasks.build.state: expected succeeded, it is paused"
};

struct TestReport {
  std::string name;
  Place place;
  std::vector<Mismatch> mismatches;  // in file order; empty: passed
  std::string state;                 // of the run at the end; empty: it was refused
  std::int64_t simulated_ms = 0;
  std::int64_t cost_microusd = 0;
  std::int64_t took_us = 0;           // of real time
  std::vector<std::string> timeline;  // what happened when
};

struct Report {
  std::vector<orchestration::Diagnostic> mistakes;  // of the test file; then no test was played
  std::vector<TestReport> tests;
};

// Only tests whose name contains `only` are played (all when it is empty). INTERNAL: a test does not come to
// an end.
[[nodiscard]] Result<Report> rehearse(const orchestration::Workflow& workflow, std::string_view tests,
                                      std::string_view only);

}  // namespace ez::rehearsal
