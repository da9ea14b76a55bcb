// What a search over many finished runs costs. Usage: history_bench [DIRECTORY] [RUNS]; prints one JSON
// object a line: how fast the runs were written, then each search with its slowest time of several.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "storage/history.h"

namespace ez::bench {
namespace {

namespace fs = std::filesystem;
using Steady = std::chrono::steady_clock;

double since_ms(Steady::time_point start) {
  return std::chrono::duration<double, std::milli>(Steady::now() - start).count();
}

// Three of a million runs are what the searches look for.
bool is_rare(std::uint64_t id, std::uint64_t runs) {
  return id == runs / 5 || id == runs / 2 || id == runs / 2 + 7;
}

storage::HistoryRow row(std::uint64_t id, std::uint64_t runs) {
  const bool rare = is_rare(id, runs);
  storage::HistoryRow out;
  out.id = RunId{id};
  out.namespace_name = id % 10 == 0 ? "team" : "default";
  out.workflow = rare ? "nightly" : id % 2 == 0 ? "nightly" : "deploy" + std::to_string(id % 40);
  out.version = 1;
  // `nightly` never fails but for the rare ones; the others do often.
  out.state = rare || (id % 2 != 0 && id % 5 == 0) ? "failed" : "succeeded";
  out.priority = "normal";
  out.created_ms = 1'790'000'000'000 + static_cast<std::int64_t>(id) * 50;
  out.started_ms = out.created_ms + 1;
  out.finished_ms = out.created_ms + 1'000;
  out.tasks = {4, 4, 0, 0, 0};
  out.started_by = id % 100 == 1 ? "ada" : "ci";
  if (out.state == "failed") out.error_code = rare ? "DISK_FULL" : "COMMAND_FAILED";
  out.labels.emplace_back("env", id % 3 == 0 ? "prod" : "test");
  if (id % 4 == 0 || rare) out.labels.emplace_back("team", rare ? "archive" : "storage");
  out.record = std::string(400, static_cast<char>('a' + id % 26));
  return out;
}

int run(const std::string& folder, std::uint64_t runs) {
  auto history = storage::History::open(folder);
  if (!history.ok()) {
    std::fprintf(stderr, "%s\n", history.error().to_string().c_str());
    return 1;
  }
  constexpr std::uint64_t kBatch = 2'000;
  const auto start = Steady::now();
  std::vector<storage::HistoryRow> rows;
  for (std::uint64_t id = 1; id <= runs; ++id) {
    rows.push_back(row(id, runs));
    if (rows.size() < kBatch && id < runs) continue;
    if (const Status status = (*history)->append(rows, LogIndex{id}); !status.ok()) return 1;
    rows.clear();
  }
  std::printf("{\"runs\": %llu, \"rows_per_s\": %.0f}\n", static_cast<unsigned long long>(runs),
              static_cast<double>(runs) * 1000 / since_ms(start));

  struct Search {
    const char* name;
    storage::HistoryFilter filter;
  };
  std::vector<Search> searches(9);
  searches[0] = {"newest page", {}};
  searches[1] = {"rare workflow and state", {"default", "nightly", "failed", {}, {}}};
  searches[2] = {"rare label", {}};
  searches[2].filter.labels = {{"team", "archive"}};
  searches[3] = {"frequent label, rare label, workflow, state", {"default", "nightly", "failed", {}, {}}};
  searches[3].filter.labels = {{"env", "prod"}, {"team", "archive"}};
  searches[4] = {"text of a rare error", {}};
  searches[4].filter.text = "disk";
  searches[5] = {"text of a workflow", {}};
  searches[5].filter.text = "deploy3";
  searches[6] = {"text of nothing", {}};
  searches[6].filter.text = "nothing";
  searches[7] = {"frequent label in a rare stretch of time", {}};
  searches[7].filter.labels = {{"env", "prod"}};
  searches[7].filter.created_before_ms = 1'790'000'000'000 + 5'000;
  searches[8] = {"frequent label, frequent workflow, state that both lack",
                 {"", "nightly", "failed", {}, {}}};
  searches[8].filter.labels = {{"env", "test"}};
  for (const Search& search : searches) {
    double slowest = 0;
    std::size_t found = 0;
    for (int i = 0; i < 5; ++i) {
      const auto began = Steady::now();
      const auto page = (*history)->list(search.filter, 100, "");
      if (!page.ok()) return 1;
      slowest = std::max(slowest, since_ms(began));
      found = page->rows.size();
    }
    std::printf("{\"search\": \"%s\", \"found\": %zu, \"slowest_ms\": %.2f}\n", search.name, found, slowest);
  }
  return 0;
}

}  // namespace
}  // namespace ez::bench

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  const fs::path parent = argc > 1 ? fs::path(argv[1]) : fs::temp_directory_path();
  const fs::path folder = parent / ("ez-history-bench-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const int status =
      ez::bench::run(folder.string(), argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000);
  fs::remove_all(folder);
  return status;
}
