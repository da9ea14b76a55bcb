// cancel: control of a live run.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/commands/control_run.h"

namespace ez::cli {

Result<int> control_run(Session& session, const Arguments& arguments, const char* verb) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  Value body(Value::Map{});
  if (arguments.has("comment")) body.set("comment", Value(arguments.text("comment")));
  const std::string run = arguments.text("RUN");
  EZ_ASSIGN(const Value view, api->post(run_target(run, std::string("/") + verb), body));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
  } else {
    session.out << run << " is now " << view.string_or("state", "unknown") << ".\n";
  }
  return kExitOk;
}

namespace {

Result<int> cancel(Session& session, const Arguments& arguments) {
  return control_run(session, arguments, "cancel");
}

}  // namespace

Command cancel_command() {
  return {"cancel",
          "Cancel a run: what runs is stopped, nothing more starts",
          "  ez cancel r12\n",
          {{"-m,--comment", "TEXT", "why, for the record"}, {"--json", "", "the run as JSON"}},
          {{"RUN", "the run, for example r12"}},
          true,
          cancel};
}

}  // namespace ez::cli
