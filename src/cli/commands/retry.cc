#include "base/json.h"
#include "cli/commands/commands.h"

namespace ez::cli {
namespace {

Result<int> run(Session& session, const Arguments& arguments) {
  const std::string of = arguments.text("RUN");
  if (arguments.has("TASK") && arguments.has("from")) {
    return Error(Code::InvalidArgument,
                 "--from starts a new run from a checkpoint; it does not go with one TASK");
  }
  EZ_ASSIGN(const auto api, session.connect(arguments));
  Value body(Value::Map{});
  if (arguments.has("comment")) body.set("comment", Value(arguments.text("comment")));
  if (arguments.has("from")) body.set("checkpoint", Value(arguments.text("from")));
  const std::string task = arguments.text("TASK");
  EZ_ASSIGN(const Value view,
            api->post(task.empty() ? run_target(of, "/retry") : task_target(of, task, "/retry"), body));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
  } else if (!task.empty()) {
    session.out << task << " of " << of << " is tried again; it is now " << view.string_or("state", "unknown")
                << ".\n";
  } else if (const std::string started(view.string_or("run", "")); !started.empty()) {
    session.out << started << " takes up " << of << ". `ez follow " << started << "` follows it.\n";
  } else {
    session.out << "The paused tasks of " << of << " are tried again.\n";
  }
  return kExitOk;
}

}  // namespace

Command retry_command() {
  return {"retry",
          "Try paused tasks again, or take up a finished run where it stopped",
          "  ez retry r12 build       one paused task of a live run\n"
          "  ez retry r12             all its paused tasks; of a finished run: a new run that keeps what was "
          "done\n"
          "  ez retry r12 --from inventory\n",
          {{"--from", "CHECKPOINT", "start a new run from that checkpoint task"},
           {"-m,--comment", "TEXT", "why, for the record"},
           {"--json", "", "the answer as JSON"}},
          {{"RUN", "the run, for example r12"}, {"TASK", "a paused task", false}},
          true,
          run};
}

}  // namespace ez::cli
