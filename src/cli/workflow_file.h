// A workflow file on this machine: read, checked, and sent to a server with the folder that it ships.
#pragma once

#include <ostream>
#include <string>

#include "base/result.h"
#include "base/value.h"
#include "cli/api_port.h"
#include "orchestration/parse.h"

namespace ez::cli {

inline constexpr std::uint64_t kMaxShippedBytes = 256ULL << 20;  // all files of a workflow together

struct WorkflowFile {
  std::string path;  // as it was given
  std::string source;
  orchestration::ParsedWorkflow parsed;
};

// A whole file of at most `most` bytes. Errors: IO_FAILED, `too_large`.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::uint64_t most, Code too_large);
// IO_FAILED, WORKFLOW_TOO_LARGE. Mistakes in it are in `parsed`.
[[nodiscard]] Result<WorkflowFile> read_workflow_file(const std::string& path);

// "FILE:LINE:COL: message" for each mistake. The number of mistakes.
std::size_t print_mistakes(const WorkflowFile& file, std::ostream& to);
// [{file, line, column, code, message, hint}].
[[nodiscard]] Value mistakes_value(const WorkflowFile& file);
// "FILE: warning: message" for what a valid workflow hardly means; nothing for one with mistakes.
void print_warnings(const WorkflowFile& file, std::ostream& to);
// [{file, message, hint}].
[[nodiscard]] Value warnings_value(const WorkflowFile& file);
// WORKFLOW_INVALID when there are mistakes.
[[nodiscard]] Status check_workflow(const WorkflowFile& file);

// Uploads the shipped folder (regular files only; a symbolic link or a path out of the folder is
// INVALID_ARGUMENT, as are more than kMaxFiles or kMaxShippedBytes) and registers the workflow, in
// `name_space` unless that is empty. {name, namespace, version, created}.
[[nodiscard]] Result<Value> register_workflow(Api& api, const WorkflowFile& file,
                                              const std::string& name_space);

// "k=v" texts to inputs: converted as the workflow declares them; lists and maps are JSON; `@FILE` reads the
// value from a file; the path of a git input becomes absolute. INVALID_ARGUMENT, INPUT_INVALID, IO_FAILED.
[[nodiscard]] Result<Value> read_inputs(const orchestration::Workflow& workflow,
                                        const std::vector<std::string>& given);

}  // namespace ez::cli
