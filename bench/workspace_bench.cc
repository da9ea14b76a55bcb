// How long an attempt waits for its workspace, a command for its sandbox, and a run for a merge: a repository
// of N files, W workers at once. Usage: workspace_bench [files] [workers] [rounds]. Prints one line of
// figures per phase: p50, p95, max in milliseconds.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agents/files.h"
#include "agents/sandbox.h"
#include "agents/workspace.h"

namespace {

using ez::agents::ProcessSpec;
using ez::agents::Sandbox;
using ez::agents::SandboxSpec;
using ez::agents::WorkspaceManager;
using ez::agents::WorkspaceMode;

struct Phase {
  const char* name;
  std::vector<double> ms;
};
std::mutex mutex;

template <typename Work>
auto timed(Phase& phase, const Work& work) {
  const auto began = std::chrono::steady_clock::now();
  auto result = work();
  const double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
  const std::lock_guard lock(mutex);
  phase.ms.push_back(ms);
  return result;
}

void must(const ez::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.error().to_string().c_str());
  std::exit(1);
}

template <typename T>
T must(ez::Result<T> result) {
  if (!result.ok()) must(ez::Status(result.error()));
  return std::move(result).value();
}

void shell(const std::string& directory, const std::string& script) {
  ProcessSpec spec;
  spec.argv = {"/bin/sh", "-ec", script};
  spec.environment = {"PATH=/usr/bin:/bin", "HOME=/nonexistent"};
  spec.directory = directory;
  if (must(ez::agents::run_process(spec)).exit_code != 0) std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  const int files = argc > 1 ? std::atoi(argv[1]) : 10'000;
  const int workers = argc > 2 ? std::atoi(argv[2]) : 1;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 10;
  char name[] = "/tmp/ez-bench-XXXXXX";
  const std::string root = ::mkdtemp(name);
  const std::string repository = root + "/repo";
  for (int i = 0; i < files; ++i) {
    const std::string folder = repository + "/d" + std::to_string(i / 100);
    if (i % 100 == 0) must(ez::agents::make_folders(folder));
    std::ofstream(folder + "/f" + std::to_string(i)) << "file " << i << "\nsome text of an ordinary length\n";
  }
  shell(
      repository,
      "git init -q -b main . && git add -A && git -c user.name=b -c user.email=b@localhost commit -qm first");
  WorkspaceManager::Options options;
  options.root = root + "/workspaces";
  WorkspaceManager manager(options);
  const Sandbox sandbox;
  Phase create{"workspace ready", {}};
  Phase run{"sandboxed `true`", {}};
  Phase commit{"commit", {}};
  Phase remove{"removal", {}};
  Phase merge{"merge", {}};
  std::vector<std::thread> threads;
  for (int w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      for (int i = 0; i < rounds; ++i) {
        const std::string task = "t" + std::to_string(w) + "-" + std::to_string(i);
        auto workspace = must(timed(create, [&] {
          return manager.create({WorkspaceMode::kWrite, "r1", task, 1, repository, "main", "ez/r1",
                                 "ez/r1/" + task + ".1", ""});
        }));
        SandboxSpec spec;
        workspace.show_in(spec);
        spec.argv = {"/bin/true"};
        must(timed(run, [&] { return sandbox.run(spec, [](std::string_view) {}); }));
        std::ofstream(workspace.tree() + "/" + task) << task;
        const auto done = must(timed(commit, [&] { return manager.commit(workspace, task); }));
        const std::string branch = workspace.branch();
        must(timed(remove, [&] { return manager.remove(std::move(workspace)); }));
        must(timed(merge, [&] {
          return manager.merge({"r1", task, 1, repository, "ez/r1", done.id, branch, ""}, nullptr);
        }));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::printf("%d files, %d workers, %d rounds\n", files, workers, rounds);
  for (Phase* phase : {&create, &run, &commit, &remove, &merge}) {
    std::sort(phase->ms.begin(), phase->ms.end());
    const std::size_t count = phase->ms.size();
    std::printf("%-18s p50 %7.1f  p95 %7.1f  max %7.1f ms\n", phase->name, phase->ms[count / 2],
                phase->ms[count * 95 / 100], phase->ms.back());
  }
  must(ez::agents::remove_tree(root));
  return 0;
}
