// Runs that come from another server: what becomes of their records here. docs/formats/export.md describes
// it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "core/command.pb.h"
#include "core/state.h"

namespace ez::engine {

inline constexpr std::size_t kMaxImportedBytes = 32 * 1024 * 1024;  // of one record

// What is known of a record before there is a workflow for it.
struct ImportedRun {
  std::string
      origin;  // the same for every export of the run, live or finished: "r12-" and 40 hexadecimal digits
  std::string workflow;
  std::string state;
  bool live = false;
  std::int64_t finished_ms = 0;
};

// Errors: REQUEST_INVALID.
[[nodiscard]] Result<ImportedRun> look_at_record(std::string_view record);

// The command that brings the run here: a finished one becomes a finished run of this log, a live one a new
// run that takes over what was complete. `version` is that of the workflow as it is registered here. Errors:
// REQUEST_INVALID, WORKFLOW_NOT_FOUND.
[[nodiscard]] Result<core::pb::Command> import_command(std::string_view record, const std::string& name_space,
                                                       std::uint32_t version, const std::string& principal,
                                                       const core::State& state);

}  // namespace ez::engine
