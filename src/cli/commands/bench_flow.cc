// `ez bench flow`: the four-task workflow of the customer's paper with agents that do nothing, only through
// the public API. Everything that is measured lies between two points that a client sees:
//   assignment  from sending what made a task ready (the start of its run, or the last result it waited for)
//   until an
//               agent has it: so the commit of that result is inside
//   end to end  from sending the start of a run until its last result is answered
// The clients are app/flow_load.h.
#include <algorithm>
#include <cstdlib>
#include <thread>
#include <vector>

#include "base/json.h"
#include "cli/commands/commands.h"

namespace ez::cli {
namespace {

constexpr std::string_view kWorkflow = R"(name: bench-flow
inputs: {n: {type: int}}
defaults: {agent: {type: bench}}
tasks:
  - {id: security, prompt: none}
  - {id: observability, prompt: none}
  - {id: queues, dependencies: [security], prompt: none}
  - {id: orchestration, dependencies: [queues, observability], prompt: none}
)";

// One figure of the server's own metrics; 0 when it is not there.
double metric(Api& api, const std::string& name) {
  std::string text;
  const Status read = api.download("/metrics", [&](std::string_view piece) {
    text += piece;
    return true;
  });
  const auto at = read.ok() ? text.find("\n" + name + " ") : std::string::npos;
  return at == std::string::npos ? 0 : std::strtod(text.c_str() + at + name.size() + 2, nullptr);
}

double percentile_ms(std::vector<std::int64_t>& us, std::size_t percent) {
  if (us.empty()) return 0;
  std::sort(us.begin(), us.end());
  return static_cast<double>(us[(us.size() - 1) * percent / 100]) / 1000.0;
}

Result<int> bench_flow(Session& session, const Arguments& arguments) {
  BenchFlowOptions plan;
  EZ_ASSIGN(plan.workflows, arguments.number("workflows", 10'000, 1, 10'000'000));
  EZ_ASSIGN(plan.agents, arguments.number("agents", 100, 1, 20'000));
  EZ_ASSIGN(plan.window, arguments.number("window", 250, 1, 100'000));
  EZ_ASSIGN(plan.wait_ms, arguments.number("wait", 200, 0, 60'000));
  if (arguments.has("low")) plan.window = 1;
  EZ_ASSIGN(plan.endpoint, Session::endpoint(arguments));
  EZ_ASSIGN(const auto api, session.connect(plan.endpoint));
  EZ_TRY(api->post("/v1/workflows", Value(Value::Map{{"source", Value(kWorkflow)}})));
  const double cpu_before = metric(*api, "process_cpu_seconds_total");
  EZ_ASSIGN(BenchFlowFigures flow, session.ports.bench_flow(plan));
  const double cpu = metric(*api, "process_cpu_seconds_total") - cpu_before;
  const double tasks = static_cast<double>(plan.workflows) * 4;
  const double rate = tasks * 1e6 / static_cast<double>(flow.duration_us);
  const Value result(
      Value::Map{{"workflows", Value(plan.workflows)},
                 {"agents", Value(plan.agents)},
                 {"window", Value(plan.window)},
                 {"tasks_per_s", Value(rate)},
                 {"e2e_p50_ms", Value(percentile_ms(flow.flow_us, 50))},
                 {"e2e_p99_ms", Value(percentile_ms(flow.flow_us, 99))},
                 {"assign_p50_ms", Value(percentile_ms(flow.assign_us, 50))},
                 {"assign_p99_ms", Value(percentile_ms(flow.assign_us, 99))},
                 {"server_rss_mb", Value(metric(*api, "process_resident_memory_bytes") / 1048576.0)},
                 {"server_cpu_s_per_1000_tasks", Value(cpu * 1000.0 / tasks)},
                 {"fsync", Value(true)},
                 {"cores", Value(static_cast<std::int64_t>(std::thread::hardware_concurrency()))}});
  if (arguments.has("json")) {
    session.out << to_json(result) << "\n";
  } else {
    session.out << to_pretty_json(result) << "\n";
  }
  return kExitOk;
}

}  // namespace

Command bench_flow_command() {
  return {"bench flow",
          "Measure a running server: runs of four tasks, agents that do nothing",
          "  ez bench flow --workflows 10000 --agents 100\n  ez bench flow --workflows 500 --low --json\n",
          {{"--workflows", "N", "how many runs (10000)"},
           {"--agents", "N", "how many agents wait for work (100)"},
           {"--window", "N", "runs under way at a time (250)"},
           {"--wait", "MS", "how long an agent waits for work before it asks again (200)"},
           {"--low", "", "one run at a time"},
           {"--json", "", "one JSON object"}},
          {},
          true,
          bench_flow};
}

}  // namespace ez::cli
