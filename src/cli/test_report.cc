#include "cli/test_report.h"

#include <cstdio>

#include "cli/text.h"

namespace ez::cli {
namespace {

std::string at(const TestedFile& file, int line, int column) {
  return file.path + ":" + std::to_string(line) + ":" + std::to_string(column);
}

Value number(std::size_t value) { return Value(static_cast<std::int64_t>(value)); }

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\n':
        out += "&#10;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string seconds(std::int64_t us) {
  char text[32];
  std::snprintf(text, sizeof text, "%lld.%06lld", static_cast<long long>(us / 1'000'000),
                static_cast<long long>(us % 1'000'000));
  return text;
}

}  // namespace

TestTotals test_totals(const std::vector<TestedFile>& files) {
  TestTotals totals;
  for (const TestedFile& file : files) {
    totals.mistakes += file.rehearsal.mistakes.size();
    for (const RehearsedTest& test : file.rehearsal.tests) {
      ++(test.mismatches.empty() ? totals.passed : totals.failed);
      totals.simulated_ms += test.simulated_ms;
      totals.took_us += test.took_us;
    }
  }
  return totals;
}

void print_tests(const std::vector<TestedFile>& files, bool timelines, std::ostream& to) {
  for (const TestedFile& file : files) {
    for (const auto& mistake : file.rehearsal.mistakes) {
      to << at(file, mistake.line, mistake.column) << ": " << printable(mistake.message) << "\n";
      if (!mistake.hint.empty()) to << "  " << printable(mistake.hint) << "\n";
    }
    for (const RehearsedTest& test : file.rehearsal.tests) {
      const bool passed = test.mismatches.empty();
      to << (passed ? "pass  " : "FAIL  ") << file.path << "  " << printable(test.name) << "  ("
         << duration_text(test.simulated_ms) << " simulated)\n";
      for (const auto& mismatch : test.mismatches)
        to << "      " << at(file, mismatch.line, mismatch.column) << ": " << printable(mismatch.what)
           << "\n";
      if (passed && !timelines) continue;
      to << "      what happened:\n";
      for (const std::string& line : test.timeline) to << "        " << printable(line) << "\n";
    }
  }
  const TestTotals totals = test_totals(files);
  to << totals.passed << " passed, " << totals.failed << " failed";
  if (totals.mistakes > 0) to << ", " << totals.mistakes << " mistakes in test files";
  to << "; " << duration_text(totals.simulated_ms) << " simulated in " << (totals.took_us + 999) / 1000
     << "ms\n";
}

Value tests_value(const std::vector<TestedFile>& files) {
  Value::List list;
  for (const TestedFile& file : files) {
    Value::List mistakes;
    for (const auto& mistake : file.rehearsal.mistakes) {
      mistakes.push_back(Value(Value::Map{{"line", Value(mistake.line)},
                                          {"column", Value(mistake.column)},
                                          {"message", Value(mistake.message)},
                                          {"hint", Value(mistake.hint)}}));
    }
    Value::List tests;
    for (const RehearsedTest& test : file.rehearsal.tests) {
      Value::List mismatches;
      for (const auto& mismatch : test.mismatches) {
        mismatches.push_back(Value(Value::Map{{"line", Value(mismatch.line)},
                                              {"column", Value(mismatch.column)},
                                              {"message", Value(mismatch.what)}}));
      }
      tests.push_back(
          Value(Value::Map{{"name", Value(test.name)},
                           {"line", Value(test.line)},
                           {"passed", Value(test.mismatches.empty())},
                           {"state", test.state.empty() ? Value() : Value(test.state)},
                           {"simulated_ms", Value(test.simulated_ms)},
                           {"cost_microusd", Value(test.cost_microusd)},
                           {"took_us", Value(test.took_us)},
                           {"mismatches", Value(std::move(mismatches))},
                           {"timeline", Value(Value::List(test.timeline.begin(), test.timeline.end()))}}));
    }
    list.push_back(Value(Value::Map{{"file", Value(file.path)},
                                    {"workflow", Value(file.workflow)},
                                    {"mistakes", Value(std::move(mistakes))},
                                    {"tests", Value(std::move(tests))}}));
  }
  const TestTotals totals = test_totals(files);
  return Value(Value::Map{{"files", Value(std::move(list))},
                          {"passed", number(totals.passed)},
                          {"failed", number(totals.failed)},
                          {"mistakes", number(totals.mistakes)}});
}

std::string tests_junit(const std::vector<TestedFile>& files) {
  std::string suites;
  for (const TestedFile& file : files) {
    std::string cases;
    std::size_t failed = 0;
    for (const RehearsedTest& test : file.rehearsal.tests) {
      cases += "    <testcase classname=\"" + escaped(file.path) + "\" name=\"" + escaped(test.name) +
               "\" file=\"" + escaped(file.path) + "\" line=\"" + std::to_string(test.line) + "\" time=\"" +
               seconds(test.took_us) + "\"";
      if (test.mismatches.empty()) {
        cases += "/>\n";
        continue;
      }
      ++failed;
      std::string text;
      for (const auto& mismatch : test.mismatches)
        text += at(file, mismatch.line, mismatch.column) + ": " + mismatch.what + "\n";
      cases += ">\n      <failure message=\"" + escaped(test.mismatches[0].what) + "\">" + escaped(text) +
               "</failure>\n    </testcase>\n";
    }
    std::size_t errors = 0;
    for (const auto& mistake : file.rehearsal.mistakes) {
      ++errors;
      cases += "    <testcase classname=\"" + escaped(file.path) + "\" name=\"line " +
               std::to_string(mistake.line) + "\">\n      <error message=\"" + escaped(mistake.message) +
               "\"/>\n    </testcase>\n";
    }
    suites += "  <testsuite name=\"" + escaped(file.path) + "\" tests=\"" +
              std::to_string(file.rehearsal.tests.size() + errors) + "\" failures=\"" +
              std::to_string(failed) + "\" errors=\"" + std::to_string(errors) + "\">\n" + cases +
              "  </testsuite>\n";
  }
  const TestTotals totals = test_totals(files);
  const std::size_t tests = totals.passed + totals.failed + totals.mistakes;
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"" + std::to_string(tests) +
         "\" failures=\"" + std::to_string(totals.failed) + "\" errors=\"" + std::to_string(totals.mistakes) +
         "\">\n" + suites + "</testsuites>\n";
}

}  // namespace ez::cli
