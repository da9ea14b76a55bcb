#include <filesystem>

#include "base/ids.h"
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/run_picture.h"
#include "cli/terminal.h"
#include "cli/workflow_file.h"
#include "orchestration/graph.h"

namespace ez::cli {
namespace {

using orchestration::Workflow;

struct Subject {
  std::shared_ptr<const Workflow> workflow;
  orchestration::Annotate annotate;
};

Result<Subject> subject_of_run(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value view, api->get(run_target(arguments.text("WHAT"))));
  EZ_ASSIGN(const Value workflow, api->get("/v1/workflows/" + encode(view.string_or("workflow", "")) +
                                           "?version=" + std::to_string(view.int_or("version", 0)) +
                                           "&namespace=" + encode(view.string_or("namespace", "default"))));
  const auto parsed = orchestration::parse_workflow(workflow.string_or("source", ""));
  if (!parsed.ok()) return Error(Code::Internal, "the workflow of that run does not parse any more");
  auto picture = std::make_shared<RunPicture>();
  picture->take_run(view);
  return Subject{parsed.workflow, [picture](const orchestration::Task& task) -> std::string {
                   const TaskPicture* found = picture->find(task.id);
                   return found == nullptr ? "" : found->state;
                 }};
}

Result<Subject> subject_of(Session& session, const Arguments& arguments) {
  const std::string what = arguments.text("WHAT");
  std::error_code failed;
  if (parse_run_id(what) && !std::filesystem::exists(what, failed)) return subject_of_run(session, arguments);
  EZ_ASSIGN(const WorkflowFile file, read_workflow_file(what));
  if (!file.parsed.ok()) print_mistakes(file, session.err);
  EZ_TRY(check_workflow(file));
  return Subject{file.parsed.workflow, {}};
}

Result<int> run_graph(Session& session, const Arguments& arguments) {
  const std::string format = arguments.text("format", "text");
  if (format != "text" && format != "mermaid" && format != "dot") {
    return Error(Code::InvalidArgument, "--format: '" + format + "' is none of text, mermaid, dot");
  }
  EZ_ASSIGN(const Subject subject, subject_of(session, arguments));
  if (format == "mermaid") {
    session.out << orchestration::to_mermaid(*subject.workflow, subject.annotate);
  } else if (format == "dot") {
    session.out << orchestration::to_dot(*subject.workflow, subject.annotate);
  } else {
    orchestration::DrawingLimits limits;
    limits.unicode = writes_utf8();
    if (is_live_terminal()) limits.width = std::max<std::size_t>(20, terminal_size().columns);
    session.out << orchestration::draw_layers(*subject.workflow, subject.annotate, limits);
  }
  return kExitOk;
}

}  // namespace

Command graph_command() {
  return {"graph",
          "Draw the tasks of a workflow file or of a run",
          "  ez graph nightly.yaml\n  ez graph r12\n  ez graph nightly.yaml --format dot | dot -Tsvg > "
          "nightly.svg\n",
          {{"--format", "FORMAT", "text, mermaid or dot (text)"}},
          {{"WHAT", "a workflow file, or a run"}},
          true,
          run_graph};
}

}  // namespace ez::cli
