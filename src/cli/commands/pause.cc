// pause, resume: of a run, a workflow, an agent type, a namespace.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/commands/control_run.h"

namespace ez::cli {
namespace {

// {"workflow": …}, {"agent_type": …} or {"namespace": …}; null: a run is meant.
Result<Value> target(const Arguments& arguments) {
  const bool run = arguments.has("RUN");
  const bool workflow = arguments.has("workflow");
  const bool type = arguments.has("agent-type");
  if ((run ? 1 : 0) + (workflow ? 1 : 0) + (type ? 1 : 0) > 1) {
    return Error(Code::InvalidArgument, "only one of RUN, --workflow and --agent-type can be given");
  }
  if (run) return Value();
  Value body(Value::Map{});
  if (workflow) {
    body.set("workflow", Value(arguments.text("workflow")));
  } else if (type) {
    body.set("agent_type", Value(arguments.text("agent-type")));
  } else if (arguments.has("namespace")) {
    body.set("namespace", Value(arguments.text("namespace")));
  } else {
    return Error(Code::InvalidArgument, "what is meant is not given",
                 "Give a run, --workflow W, --agent-type T or --namespace N.");
  }
  return body;
}

Result<int> set(Session& session, const Arguments& arguments, const char* verb) {
  EZ_ASSIGN(Value body, target(arguments));
  if (body.is_null()) return control_run(session, arguments, verb);
  if (arguments.has("comment")) body.set("comment", Value(arguments.text("comment")));
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value answer, api->post(std::string("/v1/") + verb, body));
  if (arguments.has("json")) {
    session.out << to_json(answer) << "\n";
    return kExitOk;
  }
  const std::string kind(answer.string_or("kind", ""));
  session.out << (kind == "agent_type" ? "agent type" : kind) << " " << answer.string_or("name", "")
              << (answer.bool_or("paused", false) ? " is paused: what runs is left to finish.\n"
                                                  : " goes on.\n");
  return kExitOk;
}

Result<int> pause(Session& session, const Arguments& arguments) { return set(session, arguments, "pause"); }
Result<int> resume(Session& session, const Arguments& arguments) { return set(session, arguments, "resume"); }

std::vector<OptionSpec> options() {
  return {{"--workflow", "W", "a workflow, all its versions; with --namespace, the one there"},
          {"--agent-type", "T", "what agents of that type do"},
          {"-m,--comment", "TEXT", "why, for the record"},
          {"--json", "", "as JSON"}};
}
std::vector<OperandSpec> operands() { return {{"RUN", "the run, for example r12", false}}; }

}  // namespace

Command pause_command() {
  return {"pause",
          "Pause a run, a workflow, an agent type or a namespace: what runs goes on, nothing more starts",
          "  ez pause r12\n  ez pause --workflow nightly -m 'the mirror is down'\n"
          "  ez pause --agent-type claude\n  ez pause --namespace team-a\n",
          options(),
          operands(),
          true,
          pause};
}
Command resume_command() {
  return {"resume",
          "Let what was paused go on",
          "  ez resume r12\n  ez resume --workflow nightly\n  ez resume --namespace team-a\n",
          options(),
          operands(),
          true,
          resume};
}

}  // namespace ez::cli
