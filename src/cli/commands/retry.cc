#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/run_picture.h"

namespace ez::cli {
namespace {

Status check(const Arguments& arguments) {
  const bool again = arguments.has("keep") || arguments.has("redo");
  if (arguments.has("TASK") && arguments.has("from")) {
    return Error(Code::InvalidArgument,
                 "--from starts a new run from a checkpoint; it does not go with one TASK");
  }
  if (arguments.has("keep") && arguments.has("redo")) {
    return Error(Code::InvalidArgument, "--keep and --redo exclude each other");
  }
  if (again && !arguments.has("TASK"))
    return Error(Code::InvalidArgument, "--keep and --redo need the TASK that is to be done again");
  return {};
}

// Where to send it, with what is still missing in the body: a task of a live run stays in that run, of a
// finished one it makes a new run.
Result<std::string> target(Api& api, const Arguments& arguments, Value& body) {
  const std::string of = arguments.text("RUN");
  const std::string task = arguments.text("TASK");
  if (task.empty()) return run_target(of, "/retry");
  if (!arguments.has("keep") && !arguments.has("redo")) return task_target(of, task, "/retry");
  body.set("mode", Value(arguments.has("keep") ? "keep" : "redo"));
  EZ_ASSIGN(const Value run, api.get(run_target(of, "?tasks=false")));
  if (!is_over(run.string_or("state", ""))) return task_target(of, task, "/retry");
  body.set("tasks", Value(Value::List{Value(task)}));
  return run_target(of, "/retry");
}

Result<int> run_retry(Session& session, const Arguments& arguments) {
  EZ_TRY(check(arguments));
  const std::string of = arguments.text("RUN");
  const std::string task = arguments.text("TASK");
  EZ_ASSIGN(const auto api, session.connect(arguments));
  Value body(Value::Map{});
  if (arguments.has("comment")) body.set("comment", Value(arguments.text("comment")));
  if (arguments.has("from")) body.set("checkpoint", Value(arguments.text("from")));
  EZ_ASSIGN(const std::string where, target(*api, arguments, body));
  EZ_ASSIGN(const Value view, api->post(where, body));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
  } else if (const std::string started(view.string_or("run", "")); !started.empty()) {
    session.out << started << " takes up " << of << ". `ez follow " << started << "` follows it.\n";
  } else if (!task.empty()) {
    session.out << task << " of " << of << " is tried again; it is now " << view.string_or("state", "unknown")
                << ".\n";
  } else {
    session.out << "The paused tasks of " << of << " are tried again.\n";
  }
  return kExitOk;
}

}  // namespace

Command retry_command() {
  return {
      "retry",
      "Try paused tasks again, do a task again, or take up a finished run where it stopped",
      "  ez retry r12 build         one paused task of a live run\n"
      "  ez retry r12               all its paused tasks; of a finished run: a new run that keeps what was "
      "done\n"
      "  ez retry r12 build --redo  build and all that follows it once more, whatever became of them\n"
      "  ez retry r12 build --keep  build alone; what follows keeps its results\n"
      "  ez retry r12 --from inventory\n",
      {{"--redo", "", "do TASK and everything after it again (a finished run: in a new run)"},
       {"--keep", "", "do TASK again, what follows keeps its results (a finished run: in a new run)"},
       {"--from", "CHECKPOINT", "start a new run from that checkpoint task"},
       {"-m,--comment", "TEXT", "why, for the record"},
       {"--json", "", "the answer as JSON"}},
      {{"RUN", "the run, for example r12"}, {"TASK", "a task of it", false}},
      true,
      run_retry};
}

}  // namespace ez::cli
