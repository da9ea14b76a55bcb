// How much live state costs: many runs at once, many timers, one very large run, a restart with all of it.
// Usage: scale_bench [DIRECTORY] [LIVE RUNS]; prints one JSON object a line. The real engine over the real
// log and history in a new folder below DIRECTORY (the temporary folder), without HTTP.
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>

#include "engine/engine.h"
#include "log/disk_posix.h"
#include "log/local_log.h"
#include "orchestration/parse.h"

namespace ez::bench {
namespace {

namespace fs = std::filesystem;
using Steady = std::chrono::steady_clock;

constexpr std::size_t kWindow = 4096;  // proposals on their way
constexpr std::uint32_t kWant = 1024;

// A deadline for each run is a timer for each run.
constexpr std::string_view kFlow = R"(name: flow
budget: {deadline: 240h}
defaults: {agent: {type: bench}}
tasks:
  - {id: security, prompt: none}
  - {id: observability, prompt: none}
  - {id: queues, dependencies: [security], prompt: none}
  - {id: orchestration, dependencies: [queues, observability], prompt: none}
)";

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "scale_bench: %s\n", why.c_str());
  std::exit(1);
}

template <typename T>
T must(Result<T> result) {
  if (!result.ok()) die(result.error().to_string());
  return std::move(result).value();
}

void must(const Status& status) {
  if (!status.ok()) die(status.error().to_string());
}

double resident_mb() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total = 0, resident = 0;
  file >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

double seconds_since(Steady::time_point begin) {
  return std::chrono::duration<double>(Steady::now() - begin).count();
}

class Server {
 public:
  explicit Server(const std::string& data) {
    fs::create_directories(data);
    history_ = must(storage::History::open(data));
    engine_ = std::make_unique<engine::Engine>(
        engine::KernelOptions{}, must(log::open_local_log(log::posix_disk(), data + "/log", {}, nullptr)),
        *history_, nullptr, system_clock(), system_random());
    must(engine_->start());
  }
  ~Server() { engine_->stop(); }
  engine::Engine& engine() { return *engine_; }

  // Proposes `count` commands, at most kWindow on their way at a time, and waits for all.
  template <typename Make>
  void propose(std::size_t count, Make make) {
    std::size_t under_way = 0;
    for (std::size_t i = 0; i < count; ++i) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return under_way < kWindow; });
        ++under_way;
      }
      engine_->propose(make(i), [&](const Result<core::Reply>& reply) {
        if (!reply.ok()) die(reply.error().to_string());
        if (reply->error) die(reply->error->to_string());
        last_ = *reply;
        std::lock_guard lock(mutex_);
        if (--under_way < kWindow / 2) changed_.notify_all();
      });
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return under_way == 0; });
  }
  core::Reply one(core::pb::Command command) {
    propose(1, [&](std::size_t) { return command; });
    return last_;
  }

  void register_workflow(std::string_view source) {
    const auto parsed = orchestration::parse_workflow(std::string(source));
    if (!parsed.ok()) die("the workflow does not parse");
    core::pb::Command command;
    command.mutable_register_workflow()->set_namespace_("default");
    command.mutable_register_workflow()->set_canonical(orchestration::to_canonical(*parsed.workflow));
    one(command);
  }
  static core::pb::Command start(const std::string& workflow) {
    core::pb::Command command;
    command.mutable_start_run()->set_namespace_("default");
    command.mutable_start_run()->set_workflow(workflow);
    command.mutable_start_run()->set_inputs("{}");
    command.mutable_start_run()->set_principal("bench");
    return command;
  }

  void read(const std::function<void(const core::State&)>& look) {
    bool seen = false;
    engine_->read([&](const core::State& state) {
      look(state);
      std::lock_guard lock(mutex_);
      seen = true;
      changed_.notify_all();
    });
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return seen; });
  }

  // Does everything that there is to do with one agent; returns how many tasks that were.
  std::size_t drain() {
    core::pb::Command command;
    command.mutable_register_agent()->set_name("bench");
    command.mutable_register_agent()->set_type("bench");
    command.mutable_register_agent()->set_capacity(kWant);
    const AgentId agent = one(command).agent;
    std::size_t done = 0;
    std::vector<core::pb::ReportResult> results;
    while (true) {
      engine::WorkAnswer answer = work({agent, kWant, std::move(results)});
      results.clear();
      for (const engine::WorkTask& task : answer.tasks) {
        core::pb::ReportResult& result = results.emplace_back();
        result.set_fence(task.lease.fence.value);
        result.set_run(task.lease.run.value);
        result.set_outcome(core::pb::ReportResult::SUCCEEDED);
      }
      done += answer.tasks.size();
      if (!answer.tasks.empty()) continue;
      std::size_t live = 0;
      read([&](const core::State& state) { live = state.live_runs; });
      if (live == 0) return done;
    }
  }

 private:
  engine::WorkAnswer work(engine::WorkRequest request) {
    std::optional<engine::WorkAnswer> out;
    const auto waiting = engine_->work(std::move(request), [&](Result<engine::WorkAnswer> answer) {
      std::lock_guard lock(mutex_);
      out = must(std::move(answer));
      changed_.notify_all();
      return true;
    });
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return out.has_value(); });
    return std::move(*out);
  }

  std::unique_ptr<storage::History> history_;
  std::unique_ptr<engine::Engine> engine_;
  std::mutex mutex_;
  std::condition_variable changed_;
  core::Reply last_;
};

void live_runs(const std::string& data, std::size_t runs) {
  const double before = resident_mb();
  double start_s = 0, snapshot_s = 0, memory_mb = 0;
  {
    Server server(data);
    server.register_workflow(kFlow);
    auto begin = Steady::now();
    server.propose(runs, [](std::size_t) { return Server::start("flow"); });
    start_s = seconds_since(begin);
    memory_mb = resident_mb() - before;
    begin = Steady::now();
    must(server.engine().snapshot_now());
    snapshot_s = seconds_since(begin);
  }
  const auto begin = Steady::now();
  Server again(data);
  const double restart_s = seconds_since(begin);
  std::size_t kept = 0, timers = 0;
  again.read([&](const core::State& state) {
    kept = state.live_runs;
    timers = state.timers.size();
  });
  if (kept != runs) die(std::to_string(runs - kept) + " runs were lost");
  std::printf(
      "{\"live_runs\": %zu, \"waiting_timers\": %zu, \"memory_mb\": %.0f, \"bytes_per_run\": %.0f, "
      "\"starts_per_s\": %.0f, \"snapshot_s\": %.2f, \"restart_s\": %.2f}\n",
      runs, timers, memory_mb, memory_mb * 1e6 / static_cast<double>(runs),
      static_cast<double>(runs) / start_s, snapshot_s, restart_s);
}

void one_run(const std::string& data, const char* what, const std::string& source) {
  Server server(data);
  auto begin = Steady::now();
  server.register_workflow(source);
  const double register_s = seconds_since(begin);
  begin = Steady::now();
  server.propose(1, [](std::size_t) { return Server::start("large"); });
  const std::size_t tasks = server.drain();
  const double run_s = seconds_since(begin);
  std::printf("{\"%s\": %zu, \"register_s\": %.2f, \"run_s\": %.2f, \"tasks_per_s\": %.0f}\n", what, tasks,
              register_s, run_s, static_cast<double>(tasks) / run_s);
}

// Layers of 100, each task after one of the layer before.
std::string large_dag(std::size_t tasks) {
  std::string text = "name: large\ndefaults: {agent: {type: bench}}\ntasks:\n";
  for (std::size_t i = 0; i < tasks; ++i) {
    text += "  - {id: t" + std::to_string(i) + ", prompt: none";
    if (i >= 100) text += ", dependencies: [t" + std::to_string(i - 100) + "]";
    text += "}\n";
  }
  return text;
}

constexpr const char* kLargeForEach = R"(name: large
defaults: {agent: {type: bench}}
tasks:
  - {id: all, for_each: "${{ lists.range(100000) }}", prompt: none}
)";

int main_of(int argc, char** argv) {
  const std::string base = argc > 1 ? argv[1] : fs::temp_directory_path().string();
  const std::size_t runs = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 100'000;
  if (runs == 0) die("usage: scale_bench [DIRECTORY] [LIVE RUNS]");
  const std::string folder = base + "/ez-scale-" + std::to_string(::getpid());
  live_runs(folder + "/live", runs);
  one_run(folder + "/dag", "dag_tasks", large_dag(50'000));
  one_run(folder + "/for_each", "for_each_instances", kLargeForEach);
  fs::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace ez::bench

int main(int argc, char** argv) { return ez::bench::main_of(argc, argv); }
