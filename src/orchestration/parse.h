// From the text of a workflow file (YAML 1.2 or JSON) to a checked Workflow, and its canonical form.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "orchestration/definition.h"

namespace ez::orchestration {

// One mistake in a workflow file. Lines and columns count from 1; 0 when the place is the whole file.
struct Diagnostic {
  int line = 0;
  int column = 0;
  Code code = Code::WorkflowInvalid;
  std::string message;  // names the key and what is wrong with it
  std::string hint;     // what to write instead; may be empty
  // "12:5: unknown key `dependancies` (did you mean `dependencies`?)"
  [[nodiscard]] std::string to_string() const;
};

struct ParsedWorkflow {
  std::shared_ptr<const Workflow> workflow;  // null when diagnostics has errors
  std::vector<Diagnostic> diagnostics;       // at most kMaxDiagnostics, in file order
  [[nodiscard]] bool ok() const { return workflow != nullptr; }
};

inline constexpr std::size_t kMaxDiagnostics = 100;
// The largest canonical form: a registration has to fit into one record of the log.
inline constexpr std::size_t kMaxCanonicalBytes = 15 * 1024 * 1024;

// Every mistake that can be found without running: syntax, unknown and duplicate keys (with a suggestion),
// types, ranges, unknown dependencies, cycles (the whole cycle is named), expressions (position inside the
// file), references in expressions to unknown inputs or to tasks that are not upstream. Never throws, never
// aborts on any bytes.
[[nodiscard]] ParsedWorkflow parse_workflow(std::string_view source);

// The canonical form that is logged with a registered version: compact JSON with every default written out,
// the same bytes for the same meaning. from_canonical(to_canonical(w)) gives the same workflow. Independent
// of YAML.
[[nodiscard]] std::string to_canonical(const Workflow& workflow);
[[nodiscard]] Result<std::shared_ptr<const Workflow>> from_canonical(std::string_view canonical);

// The inputs of a run: declared ones checked and converted (a text like "5" becomes an int where one is
// declared, because the CLI gives texts), fallbacks filled in. Errors: INPUT_INVALID naming the input.
[[nodiscard]] Result<Value> bind_inputs(const Workflow& workflow, const Value& given);

// The JSON Schema (draft 2020-12) of a workflow file; docs/formats/workflow.schema.json is this text.
[[nodiscard]] std::string_view workflow_json_schema();

}  // namespace ez::orchestration
