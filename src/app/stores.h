// What a server keeps in its data directory, opened together and looked after.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "log/log.h"
#include "queue/embedded/embedded_bus.h"
#include "storage/attempt_logs.h"
#include "storage/blob_store.h"
#include "storage/history.h"
#include "storage/retention.h"

namespace ez::app {

struct Stores {
  std::unique_ptr<log::Log> log;  // taken by the engine; holds the lock of the directory
  std::unique_ptr<storage::History> history;
  std::unique_ptr<storage::BlobStore> blobs;
  std::unique_ptr<storage::AttemptLogs> logs;
  std::unique_ptr<queue::EmbeddedBus> queue;  // over a log of its own
};

// Opens or creates everything below `data`, the log with its lock first. Errors: DATA_DIR_LOCKED,
// DATA_DIR_UNUSABLE, LOG_DAMAGED and the other errors of the stores.
[[nodiscard]] Result<Stores> open_stores(const std::string& data, Clock& clock);

// The housekeeping of one server: finished runs that need not be kept, blobs that nothing refers to, and the
// logs of the oldest finished runs when they take more than their share. Each step() does a bounded amount of
// work. Not thread-safe.
class Housekeeping {
 public:
  static constexpr std::int64_t kBlobGraceMs =
      24 * 3'600'000;  // longer than an attempt lives between upload and result
  static constexpr std::size_t kBlobsPerStep = 500;
  static constexpr std::size_t kRunsPerStep = 100;

  Housekeeping(std::string data, storage::History& history, storage::BlobStore& blobs,
               storage::AttemptLogs& logs, Clock& clock,
               std::uint64_t log_budget_bytes = storage::AttemptLogLimits{}.total_bytes)
      : data_(std::move(data)),
        history_(history),
        blobs_(blobs),
        logs_(logs),
        clock_(clock),
        log_budget_(log_budget_bytes),
        retention_(history, blobs, logs) {}

  // True: there is more to do at once.
  bool step();
  // From the next step on. Any thread.
  void retain(std::vector<storage::RetentionRule> rules);

 private:
  bool remove_runs();
  void collect_blobs();
  void trim_logs();

  const std::string data_;
  storage::History& history_;
  storage::BlobStore& blobs_;
  storage::AttemptLogs& logs_;
  Clock& clock_;
  const std::uint64_t log_budget_;
  storage::Retention retention_;
  std::mutex mutex_;
  std::vector<storage::RetentionRule> rules_;  // guarded by mutex_
};

}  // namespace ez::app
