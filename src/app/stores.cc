#include "app/stores.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "log/disk_posix.h"
#include "log/local_log.h"
#include "telemetry/log.h"

namespace ez::app {
namespace fs = std::filesystem;

Result<Stores> open_stores(const std::string& data, Clock& clock) {
  std::error_code failed;
  fs::create_directories(data, failed);
  if (failed) return Error(Code::DataDirUnusable, "create " + data + ": " + failed.message());
  fs::permissions(data, fs::perms::owner_all, failed);
  if (failed) return Error(Code::DataDirUnusable, "set the mode of " + data + ": " + failed.message());
  Stores stores;
  log::OpenReport report;
  EZ_ASSIGN(stores.log, log::open_local_log(log::posix_disk(), data + "/log", {}, &report));
  if (report.torn_bytes > 0) {
    EZ_LOG(kWarning, "up", "the log ended in an unfinished write, which was never acknowledged",
           {"file", report.torn_file}, {"offset", report.torn_offset}, {"bytes", report.torn_bytes});
  }
  EZ_ASSIGN(stores.history, storage::History::open(data));
  EZ_ASSIGN(stores.blobs, storage::BlobStore::open(data, {}, clock));
  EZ_ASSIGN(stores.logs, storage::AttemptLogs::open(data, {}));
  log::OpenReport queue_report;
  EZ_ASSIGN(auto queue_log, log::open_local_log(log::posix_disk(), data + "/queue",
                                                queue::EmbeddedBus::log_options(), &queue_report));
  if (queue_report.torn_bytes > 0) {
    EZ_LOG(kWarning, "up", "the queue's log ended in an unfinished write, which was never acknowledged",
           {"file", queue_report.torn_file}, {"offset", queue_report.torn_offset},
           {"bytes", queue_report.torn_bytes});
  }
  EZ_ASSIGN(stores.queue, queue::EmbeddedBus::open(std::move(queue_log)));
  // Bodies that were under way when an earlier server ended.
  fs::remove_all(data + "/uploads", failed);
  fs::create_directory(data + "/uploads", failed);
  if (failed) return Error(Code::DataDirUnusable, "create " + data + "/uploads: " + failed.message());
  EZ_LOG(kInfo, "up", "data directory opened", {"data", data}, {"fresh", report.fresh},
         {"log_last", report.last_index.value}, {"segments", report.segments});
  return stores;
}

// Blobs first: a run that takes over something of one that is removed now has until the next step to say so.
bool Housekeeping::step() {
  collect_blobs();
  trim_logs();
  return remove_runs();
}

void Housekeeping::retain(std::vector<storage::RetentionRule> rules) {
  std::lock_guard lock(mutex_);
  rules_ = std::move(rules);
}

bool Housekeeping::remove_runs() {
  std::vector<storage::RetentionRule> rules;
  {
    std::lock_guard lock(mutex_);
    rules = rules_;
  }
  const auto removed = retention_.step(rules, clock_.now_ms());
  if (!removed.ok()) {
    EZ_LOG(kWarning, "up", "finished runs are not removed", {"error", removed.error().to_string()});
    return false;
  }
  if (*removed > 0) EZ_LOG(kInfo, "up", "finished runs removed from history", {"runs", *removed});
  return *removed == storage::Retention::kRunsPerStep;
}

void Housekeeping::collect_blobs() {
  const auto collected = blobs_.collect(clock_.now_ms(), kBlobGraceMs, kBlobsPerStep);
  if (!collected.ok()) {
    EZ_LOG(kDebug, "up", "blobs are not collected", {"error", collected.error().to_string()});
  } else if (collected->removed > 0) {
    EZ_LOG(kInfo, "up", "blobs without a reference removed", {"count", collected->removed},
           {"bytes", collected->freed_bytes});
  }
}

// Appends are refused at the whole budget; from three quarters on the oldest finished runs lose their logs.
void Housekeeping::trim_logs() {
  const std::uint64_t goal = log_budget_ / 4 * 3;
  if (logs_.stored_bytes() <= goal) return;
  std::vector<RunId> runs;
  std::error_code failed;
  for (fs::directory_iterator shard(data_ + "/logs", failed), end; !failed && shard != end;
       shard.increment(failed)) {
    std::error_code inner;
    for (fs::directory_iterator run(shard->path(), inner); !inner && run != end; run.increment(inner)) {
      if (const auto id = parse_run_id(run->path().filename().string())) runs.push_back(*id);
    }
  }
  std::sort(runs.begin(), runs.end());
  std::size_t removed = 0;
  for (const RunId run : runs) {
    if (logs_.stored_bytes() <= goal || removed == kRunsPerStep) break;
    if (!history_.get(run).ok()) continue;  // still live
    if (logs_.remove_run(run).ok()) ++removed;
  }
  EZ_LOG(kWarning, "up", "logs of the oldest finished runs were removed to make room", {"runs", removed},
         {"bytes", logs_.stored_bytes()});
}

}  // namespace ez::app
