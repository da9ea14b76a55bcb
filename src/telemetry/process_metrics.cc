// Metrics of the process itself from /proc (man 5 proc).
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "telemetry/metrics.h"

namespace ez::telemetry {
namespace {

// Field `number` of /proc/self/stat as `man 5 proc` counts them, 3 or more; 0 when it cannot be read.
double stat_field(int number) {
  std::ifstream file("/proc/self/stat");
  std::string text;
  if (!std::getline(file, text)) return 0;
  // The name in field 2 may hold blanks and brackets: count from after its last bracket.
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream rest(text.substr(name_end + 1));
  std::string word;
  for (int i = 3; i <= number; ++i) {
    if (!(rest >> word)) return 0;
  }
  return std::strtod(word.c_str(), nullptr);
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double open_fds() {
  std::error_code error;
  double count = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end;
       at.increment(error)) {
    ++count;
  }
  return count > 0 ? count - 1 : 0;  // without the one that this loop holds
}

double max_fds() {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<double>(limit.rlim_cur) : 0;
}

// Boot time plus the start in clock ticks since boot.
double start_seconds() {
  std::ifstream file("/proc/stat");
  std::string line;
  double boot = 0;
  while (std::getline(file, line)) {
    if (line.starts_with("btime ")) boot = std::strtod(line.c_str() + 6, nullptr);
  }
  return boot + stat_field(22) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

std::vector<CollectHandle> register_process_metrics(Registry& registry) {
  std::vector<CollectHandle> handles;
  const auto add = [&](std::string_view name, std::string_view help, CollectKind kind, double (*read)()) {
    handles.push_back(registry.collect(name, help, kind, {}, [read](Samples& out) { out.add({}, read()); }));
  };
  add("process_cpu_seconds_total", "User and system CPU time of the process.", CollectKind::kCounter,
      cpu_seconds);
  add("process_resident_memory_bytes", "Resident memory of the process.", CollectKind::kGauge,
      [] { return stat_field(24) * static_cast<double>(sysconf(_SC_PAGESIZE)); });
  add("process_open_fds", "Open file descriptors.", CollectKind::kGauge, open_fds);
  add("process_max_fds", "Limit of open file descriptors.", CollectKind::kGauge, max_fds);
  add("process_threads", "Threads of the process.", CollectKind::kGauge, [] { return stat_field(20); });
  add("process_start_time_seconds", "Start of the process, seconds since 1970 UTC.", CollectKind::kGauge,
      start_seconds);
  return handles;
}

}  // namespace ez::telemetry
