// Measurements against a running server. One function and one table entry each.
#include <algorithm>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "cli/commands/commands.h"

namespace ez::cli {
namespace {

// Calls one after the other: what a single client waits for one answer.
Result<int> bench_api(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const std::int64_t calls, arguments.number("calls", 1000, 1, 1'000'000));
  EZ_ASSIGN(const auto api, session.connect(arguments));
  std::vector<std::int64_t> times_us;
  times_us.reserve(static_cast<std::size_t>(calls));
  const std::int64_t begin_us = system_clock().monotonic_us();
  for (std::int64_t i = 0; i < calls; ++i) {
    const std::int64_t start_us = system_clock().monotonic_us();
    EZ_TRY(api->get("/v1/runs?limit=1"));
    times_us.push_back(system_clock().monotonic_us() - start_us);
  }
  const std::int64_t total_us = std::max<std::int64_t>(1, system_clock().monotonic_us() - begin_us);
  std::sort(times_us.begin(), times_us.end());
  const auto at = [&](std::size_t percent) { return times_us[(times_us.size() - 1) * percent / 100]; };
  const Value result(Value::Map{{"calls", Value(calls)},
                                {"calls_per_s", Value(calls * 1'000'000 / total_us)},
                                {"p50_us", Value(at(50))},
                                {"p95_us", Value(at(95))},
                                {"p99_us", Value(at(99))},
                                {"max_us", Value(times_us.back())}});
  if (arguments.has("json")) {
    session.out << to_json(result) << "\n";
  } else {
    session.out << calls << " calls one after the other: " << result.int_or("calls_per_s", 0)
                << " a second, p50 " << at(50) << " µs, p95 " << at(95) << " µs, p99 " << at(99)
                << " µs, max " << times_us.back() << " µs\n";
  }
  return kExitOk;
}

}  // namespace

Command bench_api_command() {
  return {"bench api",
          "Measure how long one client waits for an answer of the API",
          "  ez bench api --calls 5000\n",
          {{"--calls", "N", "how many calls (1000)"}, {"--json", "", "as JSON"}},
          {},
          true,
          bench_api};
}

}  // namespace ez::cli
