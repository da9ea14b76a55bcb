// Random workflow definitions that are valid, for tests and for the simulation. The same seed and options
// give the same text on every machine.
//
// What a generated workflow expects from whoever plays its agents: a task's output is a map with the members
// `n` (an int), `ok` (a bool) and `list` (a list of texts). Expressions cope with an output that is null (a
// skipped task).
#pragma once

#include <cstdint>
#include <string>

#include "base/random.h"
#include "base/value.h"

namespace ez::orchestration {

struct GeneratorOptions {
  std::uint32_t min_tasks = 1;
  std::uint32_t max_tasks = 30;
  std::uint32_t max_dependencies = 4;  // of one task
  // Each of these may be used, at random; false keeps it out.
  bool repository = true;  // workspaces, verify, artifacts
  bool for_each = true;
  bool conditions = true;  // `when`
  bool approvals = true;
  bool waits = true;     // for time or a signal
  bool children = true;  // tasks that start the workflow `other`
  bool policies = true;  // on_failure other than pause
  bool limits = true;    // retry, timeout, concurrency, sandbox, budget
  bool prompts = true;   // agents that are not exec
  bool styles = true;    // comments, flow style, quotes, aliases; false: plain block style
};

struct GeneratedWorkflow {
  std::string name;
  std::string source;  // YAML
  Value inputs;        // good for bind_inputs()
  // How often each was used.
  std::uint32_t tasks = 0;
  std::uint32_t dependencies = 0;
  std::uint32_t for_each = 0;
  std::uint32_t conditions = 0;
  std::uint32_t approvals = 0;  // tasks with `approval`
  std::uint32_t waiting = 0;    // of these, tasks with nothing else
  std::uint32_t waits = 0;      // tasks that wait without an agent
  std::uint32_t children = 0;   // tasks that start another workflow
  std::uint32_t prompts = 0;
  std::uint32_t write_tasks = 0;
  std::uint32_t concurrency = 0;
  bool repository = false;
};

[[nodiscard]] GeneratedWorkflow generate_workflow(Random& random, const GeneratorOptions& options = {});

}  // namespace ez::orchestration
