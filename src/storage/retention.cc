#include "storage/retention.h"

#include <algorithm>

namespace ez::storage {
namespace {

constexpr std::int64_t kDayMs = 24LL * 3600 * 1000;

}  // namespace

Result<std::size_t> Retention::step(std::span<const RetentionRule> rules, std::int64_t now_ms) {
  std::vector<std::string> own;
  for (const RetentionRule& rule : rules) {
    if (!rule.workflow.empty()) own.push_back(rule.namespace_name + "/" + rule.workflow);
  }
  std::size_t removed = 0;
  for (const RetentionRule& rule : rules) {
    RetentionScope scope{rule.namespace_name, rule.workflow, {}};
    if (rule.workflow.empty()) scope.except = own;
    if (rule.days > 0 && removed < kRunsPerStep) {
      EZ_ASSIGN(const std::vector<RunId> ids,
                history_.finished_before(scope, now_ms - rule.days * kDayMs, kRunsPerStep - removed));
      EZ_TRY(remove(ids));
      removed += ids.size();
    }
    if (rule.runs > 0 && removed < kRunsPerStep) {
      EZ_ASSIGN(const std::vector<RunId> ids,
                history_.beyond_newest(scope, static_cast<std::uint64_t>(rule.runs), kRunsPerStep - removed));
      EZ_TRY(remove(ids));
      removed += ids.size();
    }
  }
  return removed;
}

// References and logs go first: what is still in history is tried again after a crash, and a run whose blobs
// are gone says BLOB_NOT_FOUND for the moment until it is gone itself.
Status Retention::remove(const std::vector<RunId>& ids) {
  if (ids.empty()) return {};
  std::vector<std::string> owners;
  owners.reserve(ids.size());
  for (const RunId id : ids) owners.push_back("run/" + to_text(id));
  EZ_TRY(blobs_.drop_owners(owners));
  for (const RunId id : ids) EZ_TRY(logs_.remove_run(id));
  const auto removed = history_.remove(ids);
  return removed.ok() ? Status() : Status(removed.error());
}

}  // namespace ez::storage
