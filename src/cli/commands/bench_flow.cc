// `ez bench flow`: the four-task workflow of the customer's paper with agents that do nothing, only through
// the public API. Everything that is measured lies between two points that a client sees:
//   assignment  from sending what made a task ready (the start of its run, or the last result it waited for)
//   until an
//               agent has it: so the commit of that result is inside
//   end to end  from sending the start of a run until its last result is answered
#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <latch>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
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
constexpr std::int64_t kCapacity = 256;  // tasks that one agent takes at once
constexpr std::int64_t kStarters = 64;   // clients that start runs, each one at a time

struct Plan {
  std::int64_t workflows = 0;
  std::int64_t agents = 0;
  std::int64_t window = 0;   // runs under way at a time
  std::int64_t wait_ms = 0;  // how long an agent's call waits for work
};

class Flow {
 public:
  Flow(Api& api, Plan plan)
      : api_(api),
        plan_(plan),
        runs_(static_cast<std::size_t>(plan.workflows)),
        registered_(plan.agents),
        room_(plan.window) {}

  Status run() {
    EZ_TRY(api_.post("/v1/workflows", Value(Value::Map{{"source", Value(kWorkflow)}})));
    std::vector<std::thread> threads;
    for (std::int64_t i = 0; i < plan_.agents; ++i) threads.emplace_back([this, i] { keep(agent(i)); });
    registered_.wait();
    begin_us_ = now();
    for (std::int64_t i = 0; i < std::min(kStarters, plan_.window); ++i) {
      threads.emplace_back([this] { keep(start_runs()); });
    }
    for (std::thread& thread : threads) thread.join();
    return failure_ ? Status(*failure_) : Status();
  }
  std::int64_t duration_us() const { return std::max<std::int64_t>(1, end_us_ - begin_us_); }
  std::vector<std::int64_t> assign_us, flow_us;

 private:
  enum Stage : std::size_t { kSecurity, kObservability, kQueues, kOrchestration };
  struct Run {
    std::atomic<std::int64_t> start_us{0};
    std::array<std::atomic<std::int64_t>, 4> sent_us{};  // when the result of that task was sent
  };

  static std::int64_t now() { return system_clock().monotonic_us(); }
  bool over() const { return failed_ || finished_ == plan_.workflows; }
  void keep(const Status& status) {
    if (status.ok() || over()) return;
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = status.error();
    failed_ = true;
    room_grew_.notify_all();
  }

  Status start_runs() {
    while (!over()) {
      const std::int64_t n = next_.fetch_add(1);
      if (n >= plan_.workflows) return {};
      // At most `window` runs are under way: the next one waits until an earlier one has ended.
      {
        std::unique_lock lock(mutex_);
        room_grew_.wait(lock, [&] { return room_ > 0 || failed_; });
        --room_;
      }
      runs_[static_cast<std::size_t>(n)].start_us = now();
      EZ_TRY(api_.post("/v1/runs", Value(Value::Map{{"workflow", Value("bench-flow")},
                                                    {"inputs", Value(Value::Map{{"n", Value(n)}})}})));
    }
    return {};
  }

  static std::size_t stage_of(std::string_view task) {
    if (task == "security") return kSecurity;
    if (task == "observability") return kObservability;
    return task == "queues" ? kQueues : kOrchestration;
  }

  Status agent(std::int64_t number) {
    const auto joined =
        api_.post("/v1/agents", Value(Value::Map{{"name", Value("bench-" + std::to_string(::getpid()) + "-" +
                                                                std::to_string(number))},
                                                 {"type", Value("bench")},
                                                 {"capacity", Value(kCapacity)}}));
    registered_.count_down();
    EZ_ASSIGN(const Value registered, joined);
    const std::string id(registered.string_or("agent", ""));
    std::vector<std::int64_t> assigned, flows;
    Value::List results;
    std::vector<std::int64_t> ending;  // runs whose last result is among them
    while (!over()) {
      Value::Map request{{"agent", Value(id)}, {"want", Value(kCapacity)}, {"wait_ms", Value(plan_.wait_ms)}};
      if (!results.empty()) request.emplace_back("results", Value(std::move(results)));
      EZ_ASSIGN(const Value answer, api_.post("/v1/work", Value(std::move(request))));
      const std::int64_t received = now();
      for (const std::int64_t n : ending)
        flows.push_back(received - runs_[static_cast<std::size_t>(n)].start_us);
      finish(static_cast<std::int64_t>(ending.size()));
      ending.clear();
      results = take(answer, received, assigned, ending);
    }
    std::lock_guard lock(mutex_);
    assign_us.insert(assign_us.end(), assigned.begin(), assigned.end());
    flow_us.insert(flow_us.end(), flows.begin(), flows.end());
    return {};
  }

  void finish(std::int64_t runs) {
    if (runs == 0) return;
    // The agents that still wait for work when the last run has ended are no part of the time.
    if ((finished_ += runs) == plan_.workflows) end_us_ = now();
    {
      std::lock_guard lock(mutex_);
      room_ += runs;
    }
    // One for each run that may start: waking all of them each time took more of this machine than the calls.
    for (std::int64_t i = 0; i < std::min(runs, kStarters); ++i) room_grew_.notify_one();
  }

  Value::List take(const Value& answer, std::int64_t received, std::vector<std::int64_t>& assigned,
                   std::vector<std::int64_t>& ending) {
    Value::List results;
    const Value* tasks = answer.find("tasks");
    if (tasks == nullptr || !tasks->is_list()) return results;
    for (const Value& item : tasks->as_list()) {
      const Value* inputs = item.find("inputs");
      const std::int64_t n = inputs == nullptr ? -1 : inputs->int_or("n", -1);
      if (n < 0 || n >= plan_.workflows) continue;
      Run& run = runs_[static_cast<std::size_t>(n)];
      const std::size_t stage = stage_of(item.string_or("task", ""));
      std::int64_t ready = run.start_us;
      if (stage == kQueues) ready = run.sent_us[kSecurity];
      if (stage == kOrchestration)
        ready = std::max(run.sent_us[kQueues].load(), run.sent_us[kObservability].load());
      assigned.push_back(received - ready);
      run.sent_us[stage] = now();
      if (stage == kOrchestration) ending.push_back(n);
      results.push_back(Value(Value::Map{{"run", Value(item.string_or("run", ""))},
                                         {"task", Value(item.string_or("task", ""))},
                                         {"attempt", Value(item.int_or("attempt", 1))},
                                         {"fence", Value(item.int_or("fence", 0))},
                                         {"kind", Value("execute")},
                                         {"outcome", Value("succeeded")}}));
    }
    return results;
  }

  Api& api_;
  const Plan plan_;
  std::vector<Run> runs_;
  std::latch registered_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::int64_t> finished_{0};
  std::atomic<bool> failed_{false};
  std::int64_t begin_us_ = 0;
  std::atomic<std::int64_t> end_us_{0};
  std::mutex mutex_;
  std::condition_variable room_grew_;
  std::int64_t room_;  // for further runs under way; guarded by mutex_
  std::optional<Error> failure_;
};

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
  Plan plan;
  EZ_ASSIGN(plan.workflows, arguments.number("workflows", 10'000, 1, 10'000'000));
  EZ_ASSIGN(plan.agents, arguments.number("agents", 100, 1, 20'000));
  EZ_ASSIGN(plan.window, arguments.number("window", 250, 1, 100'000));
  EZ_ASSIGN(plan.wait_ms, arguments.number("wait", 200, 0, 60'000));
  if (arguments.has("low")) plan.window = 1;
  EZ_ASSIGN(const auto api, session.connect(arguments));
  const double cpu_before = metric(*api, "process_cpu_seconds_total");
  Flow flow(*api, plan);
  EZ_TRY(flow.run());
  const double cpu = metric(*api, "process_cpu_seconds_total") - cpu_before;
  const double tasks = static_cast<double>(plan.workflows) * 4;
  const double rate = tasks * 1e6 / static_cast<double>(flow.duration_us());
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
