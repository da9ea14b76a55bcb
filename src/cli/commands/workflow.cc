// workflow validate, register, list.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/text.h"
#include "cli/workflow_file.h"

namespace ez::cli {
namespace {

Result<int> validate(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const WorkflowFile file, read_workflow_file(arguments.text("FILE")));
  const bool valid = file.parsed.ok();
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{{"valid", Value(valid)},
                                            {"errors", mistakes_value(file)},
                                            {"warnings", warnings_value(file)}}))
                << "\n";
  } else if (valid) {
    session.out << file.path << ": valid, workflow " << file.parsed.workflow->name << " with "
                << file.parsed.workflow->tasks.size() << " tasks\n";
    print_warnings(file, session.err);
  } else {
    print_mistakes(file, session.err);
  }
  return valid ? kExitOk : info(Code::WorkflowInvalid).exit_status;
}

Result<int> register_file(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const WorkflowFile file, read_workflow_file(arguments.text("FILE")));
  if (!file.parsed.ok() && !arguments.has("json")) print_mistakes(file, session.err);
  EZ_TRY(check_workflow(file));
  if (!arguments.has("json")) print_warnings(file, session.err);
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(
      const Value answer,
      register_workflow(*api, file, Session::name_space(arguments, file.parsed.workflow->namespace_name)));
  if (arguments.has("json")) {
    session.out << to_json(answer) << "\n";
  } else {
    session.out << answer.string_or("name", "") << " version " << answer.int_or("version", 0)
                << (answer.bool_or("created", true) ? " registered\n" : " was registered already\n");
  }
  return kExitOk;
}

Result<int> list(Session& session, const Arguments& arguments) {
  constexpr std::size_t kMost = 10'000;
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value::List workflows, list_all(*api, "/v1/workflows", kMost));
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{{"items", Value(workflows)}})) << "\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows{{"WORKFLOW", "VERSION", "TASKS", "DESCRIPTION"}};
  for (const Value& workflow : workflows) {
    rows.push_back({printable(workflow.string_or("name", "")), std::to_string(workflow.int_or("version", 0)),
                    std::to_string(workflow.int_or("tasks", 0)),
                    clipped(printable(workflow.string_or("description", "")), 80)});
  }
  session.out << (workflows.empty() ? std::string("No workflows are registered.\n") : table_text(rows));
  return kExitOk;
}

}  // namespace

Command workflow_validate_command() {
  return {"workflow validate",
          "Check a workflow file; no server is needed",
          "  ez workflow validate nightly.yaml\n",
          {{"--json", "", "as JSON"}},
          {{"FILE", "workflow file, YAML or JSON"}},
          false,
          validate};
}

Command workflow_register_command() {
  return {"workflow register",
          "Register a workflow file with a server",
          "  ez workflow register nightly.yaml\n",
          {{"--json", "", "as JSON"}},
          {{"FILE", "workflow file, YAML or JSON"}},
          true,
          register_file};
}

Command workflow_list_command() {
  return {"workflow list",
          "List registered workflows",
          "  ez workflow list\n",
          {{"--json", "", "as JSON"}},
          {},
          true,
          list};
}

}  // namespace ez::cli
