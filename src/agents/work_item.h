// What the control plane gives to an agent (WorkItem) and what comes back (TaskResult), to and from JSON.
// docs/guide/agents.md describes the fields; names here are the JSON names.
//
// Parsing is strict about kinds and lenient about absence: unknown members are ignored (a newer server),
// absent ones keep the defaults below, a member of the wrong kind or out of bounds is REQUEST_INVALID with
// its path.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agents/sandbox.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/value.h"

namespace ez::agents {

inline constexpr std::size_t kMaxInlineOutputBytes = 16 * 1024;
inline constexpr std::size_t kMaxOutputBytes = 1024 * 1024;  // of $EZ_OUTPUT

enum class WorkKind { kExecute, kMerge };
enum class Outcome { kSucceeded, kFailed, kCancelled, kConflict };
[[nodiscard]] std::string_view to_text(WorkKind kind);
[[nodiscard]] std::string_view to_text(Outcome outcome);

struct ArtifactRef {
  std::string name;  // relative path, no "..", unique within its task
  std::string sha256;
  std::int64_t size = 0;
  friend bool operator==(const ArtifactRef&, const ArtifactRef&) = default;
};

struct Dependency {
  std::string state;
  Value output;             // when small
  std::string output_blob;  // sha256, when large
  std::vector<ArtifactRef> artifacts;
};

struct WorkflowFile {
  std::string path;
  std::string sha256;
  std::uint32_t mode = 0644;
};

// Who settles what does not merge, of a merge's item.
struct ResolverNeed {
  std::string agent_type = "exec";
  std::string agent_model;  // the other members of `agent` as in a WorkItem
  std::int64_t max_turns = 0;
  std::int64_t max_tokens = 0;
  std::string run_command;  // exec
  std::string prompt;       // all others, besides what resolver.h tells them
  std::int64_t tries = 1;
  std::int64_t timeout_ms = 600'000;  // of one try
};

struct WorkItem {
  std::string run;
  std::string task;
  std::uint64_t attempt = 0;
  Fence fence;
  WorkKind kind = WorkKind::kExecute;
  std::string namespace_name = "default";  // JSON "namespace"
  std::string workflow;
  std::int64_t workflow_version = 0;
  std::int64_t heartbeat_ms = 30'000;  // lease.heartbeat_ms
  std::int64_t start_to_close_ms = 0;  // lease.start_to_close_ms; 0: no limit
  std::string agent_type = "exec";     // agent.type
  std::string agent_model;             // agent.model; empty: the type's
  std::int64_t max_turns = 0;          // agent.max_turns; 0: the type's
  std::int64_t max_tokens = 0;         // agent.max_tokens; 0: the type's
  struct {
    std::string url;  // base of the Messages API, without /v1/messages; empty: none
    std::string key;  // ends with the lease
  } model_gateway;
  Value output_schema;  // JSON Schema of the output; null: none
  Value mcp;            // servers by name; null: none
  std::string run_command;
  std::string prompt;
  std::vector<std::pair<std::string, std::string>> env;
  std::string verify;
  Value inputs;
  Value item;  // of for_each
  Value index;
  std::map<std::string, Dependency> dependencies;
  struct {
    std::string mode = "none";  // write, read, none
    std::string repository;
    std::string base;
    std::string run_branch;
    std::string branch;
  } workspace;
  struct {
    std::string branch;
    std::string commit;
    std::string into;
    std::string message;
    std::string verify;
    std::optional<ResolverNeed> resolver = std::nullopt;
  } merge;                             // kind merge
  std::vector<std::string> artifacts;  // globs
  SandboxLimits sandbox;
  std::vector<WorkflowFile> files;
  std::string traceparent;
};

// run r12, task build.0: within the bounds of the contract, so that they may be used as parts of paths and
// branches.
[[nodiscard]] Result<WorkItem> parse_work_item(const Value& json);
[[nodiscard]] Value to_value(const WorkItem& item);

struct ResolverTry {
  std::string error_code;  // empty: it settled the merge
  std::string error_message;
};

struct TaskResult {
  std::string run;
  std::string task;
  std::uint64_t attempt = 0;
  Fence fence;
  WorkKind kind = WorkKind::kExecute;
  Outcome outcome = Outcome::kFailed;
  Value output;             // null: none, or in output_blob
  std::string output_blob;  // sha256 of the output when it is over kMaxInlineOutputBytes
  std::string error_code;   // name of the catalogue; empty when it succeeded
  std::string error_message;
  std::optional<std::int64_t> exit_code;  // of the command, when it ran to an end
  std::vector<ArtifactRef> artifacts;
  std::string branch;  // execute: the attempt's branch, when it holds a commit
  std::string commit;
  std::string base;  // merge: the run branch before
  std::string head;  // merge: and after
  bool merged = false;
  bool final = false;  // a failure that no retry can mend
  std::int64_t changed_files = 0;
  std::int64_t cost_microusd = 0;
  std::string conflict;
  std::string resolver_type;  // merge: of the resolver that was asked; empty: none
  std::vector<ResolverTry> resolver_tries;
  std::int64_t duration_ms = 0;
};

[[nodiscard]] Result<TaskResult> parse_task_result(const Value& json);
[[nodiscard]] Value to_value(const TaskResult& result);

// A result of this item that says how it went wrong.
[[nodiscard]] TaskResult failure_of(const WorkItem& item, Outcome outcome, const Error& error);

// Whether a path names something below a folder: relative, no empty, "." or ".." part, no zero byte, at most
// 1024 bytes.
[[nodiscard]] bool is_safe_path(std::string_view path);

}  // namespace ez::agents
