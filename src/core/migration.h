// A live run moves to another version of its workflow. docs/guide/migrate.md is the promise.
//
// Tasks that have begun keep their outcome, lease and place, and must do the same work in the new version;
// all others are those of the new version. Everything that is derived of the run's tasks (timers, ready sets,
// lines and places under keys, leases' indexes) is taken out before and rebuilt after.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/value.h"
#include "core/state.h"

namespace ez::core {

struct MigrationPlan {
  std::shared_ptr<const WorkflowVersion> to;
  Value inputs;                       // bound to the new version
  std::vector<std::uint32_t> origin;  // of each task of the new version: the old index, or kNoInstance
  std::vector<std::string> added, removed, changed;  // ids of tasks that have not begun
  std::vector<std::string> kept;                     // that have
};

// Pure: what a move to that version (0: the newest) would do. Errors: WORKFLOW_NOT_FOUND, WRONG_STATE (it has
// that version, or is rolled back), MIGRATION_REFUSED with the reason and the task.
[[nodiscard]] Result<MigrationPlan> plan_migration(const State& state, const Run& run,
                                                   std::uint32_t to_version);

// {"from", "to", "kept", "added", "removed", "changed"}, each list at most 1000 long.
[[nodiscard]] Value migration_view(const Run& run, const MigrationPlan& plan);

}  // namespace ez::core
