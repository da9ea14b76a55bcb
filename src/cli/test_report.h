// What `ez test` found, for people (text), programs (JSON) and continuous integration (JUnit XML).
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "base/value.h"
#include "cli/ports.h"

namespace ez::cli {

struct TestedFile {
  std::string path;      // of the test file, as it was given
  std::string workflow;  // path of the workflow file
  Rehearsal rehearsal;
};

struct TestTotals {
  std::size_t passed = 0;
  std::size_t failed = 0;
  std::size_t mistakes = 0;  // in test files
  std::int64_t simulated_ms = 0;
  std::int64_t took_us = 0;
};

[[nodiscard]] TestTotals test_totals(const std::vector<TestedFile>& files);
// One line a test; of failed ones (of all with `timelines`) what happened when.
void print_tests(const std::vector<TestedFile>& files, bool timelines, std::ostream& to);
[[nodiscard]] Value tests_value(const std::vector<TestedFile>& files);
[[nodiscard]] std::string tests_junit(const std::vector<TestedFile>& files);

}  // namespace ez::cli
