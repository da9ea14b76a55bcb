// cancel, pause, resume: control of a live run.
#include "base/json.h"
#include "cli/commands/commands.h"

namespace ez::cli {
namespace {

Result<int> control(Session& session, const Arguments& arguments, const char* verb) {
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

Result<int> cancel(Session& session, const Arguments& arguments) {
  return control(session, arguments, "cancel");
}
Result<int> pause(Session& session, const Arguments& arguments) {
  return control(session, arguments, "pause");
}
Result<int> resume(Session& session, const Arguments& arguments) {
  return control(session, arguments, "resume");
}

std::vector<OptionSpec> options() {
  return {{"-m,--comment", "TEXT", "why, for the record"}, {"--json", "", "the run as JSON"}};
}
std::vector<OperandSpec> operands() { return {{"RUN", "the run, for example r12"}}; }

}  // namespace

Command cancel_command() {
  return {"cancel",
          "Cancel a run: what runs is stopped, nothing more starts",
          "  ez cancel r12\n",
          options(),
          operands(),
          true,
          cancel};
}
Command pause_command() {
  return {"pause",
          "Pause a run: what runs goes on, nothing more starts",
          "  ez pause r12\n",
          options(),
          operands(),
          true,
          pause};
}
Command resume_command() {
  return {"resume", "Let a paused run go on", "  ez resume r12\n", options(), operands(), true, resume};
}

}  // namespace ez::cli
