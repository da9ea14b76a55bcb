// What the local log commits per second, and how long one append takes, on the disk of the given directory.
// Usage: log_bench [DIRECTORY] [SECONDS per cell]; prints one JSON object. Commands of 100 bytes, one record
// each.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "log/disk_posix.h"
#include "log/local_log.h"

namespace ez::log {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kCommandBytes = 100;

// Keeps `outstanding` appends on their way: each commit proposes the next one.
class Load final : public LogListener {
 public:
  Load(Log& log, std::size_t outstanding) : log_(log), started_(outstanding) {}

  void committed(const Record& record) override {
    if (record.ticket.value == 0) return;
    const auto now = Clock::now();
    latencies_us.push_back(
        std::chrono::duration<double, std::micro>(now - started_[slot(record.ticket)]).count());
    if (running) propose(record.ticket);
  }
  void append_ended(Ticket, AppendOutcome) override { die("an append ended"); }
  void leadership(Epoch epoch, bool leading) override {
    epoch_ = epoch;
    if (!leading) return;
    for (std::size_t i = 0; i < started_.size(); ++i) propose(Ticket{i + 1});
  }
  void failed(const Error& error) override { die(error.to_string()); }

  [[noreturn]] static void die(const std::string& why) {
    std::fprintf(stderr, "log_bench: %s\n", why.c_str());
    std::exit(1);
  }

  std::vector<double> latencies_us;
  bool running = true;

 private:
  std::size_t slot(Ticket ticket) const { return (ticket.value - 1) % started_.size(); }
  void propose(Ticket previous) {
    const Ticket ticket{previous.value + started_.size()};
    started_[slot(ticket)] = Clock::now();
    const Status status = log_.append(epoch_, ticket, std::string(kCommandBytes, 'c'));
    if (!status.ok()) die(status.error().to_string());
  }

  Log& log_;
  std::vector<Clock::time_point> started_;
  Epoch epoch_;
};

double percentile(std::vector<double>& values, double part) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::ptrdiff_t>(part * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

void measure(const std::string& directory, std::size_t outstanding, double seconds, bool last) {
  std::filesystem::remove_all(directory);
  auto opened = open_local_log(posix_disk(), directory);
  if (!opened.ok()) Load::die(opened.error().to_string());
  Load load(**opened, outstanding);
  if (const Status started = (*opened)->start(LogIndex{0}, load); !started.ok()) {
    Load::die(started.error().to_string());
  }
  load.latencies_us.reserve(1 << 24);
  (*opened)->poll(std::chrono::microseconds(0));
  const auto begin = Clock::now();
  double elapsed = 0;
  while (elapsed < seconds) {
    (*opened)->poll(std::chrono::microseconds(0));
    elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  const auto commits = static_cast<double>(load.latencies_us.size());
  load.running = false;
  std::printf(
      "    {\"outstanding\": %zu, \"commits_per_second\": %.0f, \"p50_us\": %.0f, \"p99_us\": %.0f, "
      "\"p999_us\": %.0f, \"max_us\": %.0f}%s\n",
      outstanding, commits / elapsed, percentile(load.latencies_us, 0.5), percentile(load.latencies_us, 0.99),
      percentile(load.latencies_us, 0.999), percentile(load.latencies_us, 1.0), last ? "" : ",");
  std::fflush(stdout);
  opened->reset();
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace ez::log

int main(int argc, char** argv) {
  const std::string base = argc > 1 ? argv[1] : std::filesystem::temp_directory_path().string();
  const double seconds = argc > 2 ? std::atof(argv[2]) : 3;
  std::printf("{\"benchmark\": \"log\", \"command_bytes\": %zu, \"cells\": [\n", ez::log::kCommandBytes);
  for (const std::size_t outstanding : {1U, 16U, 256U, 4096U}) {
    ez::log::measure(base + "/ez-log-bench", outstanding, seconds, outstanding == 4096);
  }
  std::printf("]}\n");
  return 0;
}
