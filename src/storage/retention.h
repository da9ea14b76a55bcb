// Retention: finished runs that are old, or too many, leave history; their references to blobs and their logs
// go with them. What is live is not in history and is never touched.
//
// A rule for one workflow replaces the rule for all. Each step removes a bounded number of runs: references
// and logs first, then the rows, so that a crash between leaves rows that the next step removes.
//
// Not thread-safe; the stores outlive it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/attempt_logs.h"
#include "storage/blob_store.h"
#include "storage/history.h"

namespace ez::storage {

struct RetentionRule {
  std::string namespace_name;  // both empty: all workflows without a rule of their own
  std::string workflow;
  std::int64_t days = 0;  // after their end; 0: no limit
  std::int64_t runs = 0;  // the newest so many; 0: no limit
};

class Retention {
 public:
  static constexpr std::size_t kRunsPerStep = 1'000;

  Retention(History& history, BlobStore& blobs, AttemptLogs& logs)
      : history_(history), blobs_(blobs), logs_(logs) {}

  // How many runs were removed; kRunsPerStep: there may be more to do.
  [[nodiscard]] Result<std::size_t> step(std::span<const RetentionRule> rules, std::int64_t now_ms);

 private:
  [[nodiscard]] Status remove(const std::vector<RunId>& ids);

  History& history_;
  BlobStore& blobs_;
  AttemptLogs& logs_;
};

}  // namespace ez::storage
