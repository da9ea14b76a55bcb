// bench workspace: how long an attempt waits for its workspace, a command for its sandbox, a run for a merge.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "agents/files.h"
#include "agents/sandbox.h"
#include "agents/workspace.h"
#include "base/json.h"
#include "cli/commands/commands.h"

namespace ez::cli {
namespace {

struct WorkspacePlan {
  std::int64_t files = 0, workers = 0, rounds = 0;
};

struct WorkspaceTimes {
  // The first workspaces of a repository are checked out, later ones are put back to their commit.
  std::vector<double> fresh, ready, sandbox, commit, removal, merge;  // milliseconds
};

Status make_repository(const std::string& path, std::int64_t files) {
  for (std::int64_t i = 0; i < files; ++i) {
    const std::string folder = path + "/d" + std::to_string(i / 100);
    if (i % 100 == 0) EZ_TRY(agents::make_folders(folder));
    std::ofstream(folder + "/f" + std::to_string(i)) << "file " << i << "\nsome text of an ordinary length\n";
  }
  agents::ProcessSpec spec;
  spec.argv = {
      "/bin/sh", "-ec",
      "git init -q -b main; git add -A; git -c user.name=b -c user.email=b@localhost commit -qm first"};
  spec.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/nonexistent"};
  spec.directory = path;
  EZ_ASSIGN(const agents::ProcessOutcome made, agents::run_process(spec));
  if (!made.succeeded()) return Error(Code::GitFailed, "the repository cannot be made: " + made.err);
  return {};
}

// One attempt after the other, as a worker does them.
class WorkspaceBench {
 public:
  WorkspaceBench(const std::string& root, const WorkspacePlan& plan)
      : repository_(root + "/repository"), plan_(plan), manager_(options(root)) {}

  Status run() {
    EZ_TRY(make_repository(repository_, plan_.files));
    std::vector<std::thread> threads;
    for (std::int64_t worker = 0; worker < plan_.workers; ++worker) {
      threads.emplace_back([this, worker] {
        const Status status = work(worker);
        const std::lock_guard lock(mutex_);
        if (!status.ok() && failure_.ok()) failure_ = status;
      });
    }
    for (std::thread& thread : threads) thread.join();
    return failure_;
  }
  [[nodiscard]] WorkspaceTimes& times() { return times_; }

 private:
  static agents::WorkspaceManager::Options options(const std::string& root) {
    agents::WorkspaceManager::Options out;
    out.root = root + "/workspaces";
    return out;
  }
  template <typename Step>
  auto timed(std::vector<double>& into, const Step& step) {
    const auto began = std::chrono::steady_clock::now();
    auto result = step();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
    const std::lock_guard lock(mutex_);
    into.push_back(took.count());
    return result;
  }
  Status work(std::int64_t worker) {
    const agents::Sandbox sandbox;
    for (std::int64_t round = 0; round <= plan_.rounds; ++round) {
      const std::string task = "t" + std::to_string(worker) + "-" + std::to_string(round);
      EZ_ASSIGN(auto workspace, timed(round == 0 ? times_.fresh : times_.ready, [&] {
                  return manager_.create({agents::WorkspaceMode::kWrite, "r1", task, 1, repository_, "main",
                                          "ez/r1", "ez/r1/" + task + ".1", ""});
                }));
      agents::SandboxSpec spec;
      workspace.show_in(spec);
      spec.argv = {"/bin/true"};
      EZ_ASSIGN([[maybe_unused]] const auto ran,
                timed(times_.sandbox, [&] { return sandbox.run(spec, [](std::string_view) {}); }));
      std::ofstream(workspace.tree() + "/" + task) << task;
      EZ_ASSIGN(const auto done, timed(times_.commit, [&] { return manager_.commit(workspace, task); }));
      const std::string branch = workspace.branch();
      EZ_TRY(timed(times_.removal, [&] { return manager_.remove(std::move(workspace)); }));
      EZ_ASSIGN([[maybe_unused]] const auto merged, timed(times_.merge, [&] {
                  return manager_.merge({"r1", task, 1, repository_, "ez/r1", done.id, branch, ""}, nullptr);
                }));
    }
    return {};
  }

  const std::string repository_;
  const WorkspacePlan plan_;
  agents::WorkspaceManager manager_;
  std::mutex mutex_;  // guards the two below
  WorkspaceTimes times_;
  Status failure_;
};

double part_of(std::vector<double>& times, std::size_t percent) {
  std::sort(times.begin(), times.end());
  return times[(times.size() - 1) * percent / 100];
}

Result<int> run_bench_workspace(Session& session, const Arguments& arguments) {
  WorkspacePlan plan;
  EZ_ASSIGN(plan.files, arguments.number("files", 10'000, 1, 1'000'000));
  EZ_ASSIGN(plan.workers, arguments.number("workers", 1, 1, 64));
  EZ_ASSIGN(plan.rounds, arguments.number("rounds", 50, 1, 10'000));
  const agents::TemporaryFolder folder("bench");
  if (folder.path().empty()) return Error(Code::IoFailed, "no temporary folder can be made");
  WorkspaceBench bench(folder.path(), plan);
  EZ_TRY(bench.run());
  WorkspaceTimes& times = bench.times();
  const Value result(Value::Map{{"files", Value(plan.files)},
                                {"workers", Value(plan.workers)},
                                {"rounds", Value(plan.rounds)},
                                {"ready_p50_ms", Value(part_of(times.ready, 50))},
                                {"ready_p99_ms", Value(part_of(times.ready, 99))},
                                {"fresh_p50_ms", Value(part_of(times.fresh, 50))},
                                {"sandbox_p50_ms", Value(part_of(times.sandbox, 50))},
                                {"commit_p50_ms", Value(part_of(times.commit, 50))},
                                {"removal_p50_ms", Value(part_of(times.removal, 50))},
                                {"merge_p50_ms", Value(part_of(times.merge, 50))}});
  session.out << (arguments.has("json") ? to_json(result) : to_pretty_json(result)) << "\n";
  return kExitOk;
}

}  // namespace

Command bench_workspace_command() {
  return {"bench workspace",
          "Measure how long an attempt waits for its workspace, in a repository made for it",
          "  ez bench workspace --json\n  ez bench workspace --files 50000 --workers 4\n",
          {{"--files", "N", "of the repository (10000)"},
           {"--workers", "N", "side by side (1)"},
           {"--rounds", "N", "attempts of each after its first, which is counted apart (50)"},
           {"--json", "", "one JSON object"}},
          {},
          false,
          run_bench_workspace};
}

}  // namespace ez::cli
