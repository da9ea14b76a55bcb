// What is checked of a run before it is started: its inputs, and that the repositories it names are there.
#pragma once

#include <string>

#include "base/result.h"
#include "base/value.h"
#include "core/run.h"

namespace ez::http::api {

// Looks for a .git folder or file, or a bare repository, with a few file system calls. Errors:
// REPOSITORY_INVALID.
[[nodiscard]] Status check_repository(const std::string& path);

// Whether check_start() has anything to look for on the disk.
[[nodiscard]] bool names_repositories(const core::WorkflowVersion& workflow);

// Binds `given` to the declared inputs, checks those of type git and the repository that the workflow names
// with them. Errors: INPUT_INVALID, REPOSITORY_INVALID, EXPRESSION_FAILED, EXPRESSION_COST. Reads the file
// system.
[[nodiscard]] Status check_start(const std::shared_ptr<const core::WorkflowVersion>& workflow,
                                 const Value& given);

}  // namespace ez::http::api
