// schedule set: makes a schedule, or changes the one of that name.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/commands/schedule.h"
#include "cli/text.h"
#include "cli/workflow_file.h"
#include "orchestration/text.h"

namespace ez::cli {
namespace {

// --jitter and the like, in milliseconds.
Status put_duration(const Arguments& arguments, std::string_view option, std::string_view member,
                    Value& body) {
  if (!arguments.has(option)) return {};
  const std::string text = arguments.text(option);
  const auto ms = orchestration::parse_duration_ms(text == "0" ? "0s" : text);
  if (!ms) {
    return Error(Code::InvalidArgument, "--" + std::string(option) + ": '" + text + "' is no duration",
                 "Write for example 30s, 15m, 6h or 1d.");
  }
  body.set(std::string(member), Value(*ms));
  return {};
}

// The inputs with the types that the workflow declares.
Result<Value> inputs_of(Api& api, const Arguments& arguments) {
  const auto given = arguments.all("input");
  if (given.empty()) return Value(Value::Map{});
  std::string target = "/v1/workflows/" + encode(arguments.text("workflow"));
  if (arguments.has("version")) target += "?version=" + encode(arguments.text("version"));
  EZ_ASSIGN(const Value workflow, api.get(target));
  const auto parsed = orchestration::parse_workflow(workflow.string_or("source", ""));
  if (!parsed.ok()) return Error(Code::Internal, "the server's workflow cannot be read");
  return read_inputs(*parsed.workflow, given);
}

Result<int> run_schedule_set(Session& session, const Arguments& arguments) {
  if (!arguments.has("workflow")) return Error(Code::InvalidArgument, "--workflow is required");
  if (arguments.has("cron") == arguments.has("every"))
    return Error(Code::InvalidArgument, "give one of --cron and --every",
                 "For example --cron \"0 3 * * *\" or --every 15m.");
  EZ_ASSIGN(const auto api, session.connect(arguments));
  Value body(Value::Map{{"workflow", Value(arguments.text("workflow"))}});
  for (const std::string_view name : {"cron", "zone", "overlap", "priority", "comment"}) {
    if (arguments.has(name)) body.set(std::string(name), Value(arguments.text(name)));
  }
  EZ_TRY(put_duration(arguments, "every", "every_ms", body));
  EZ_TRY(put_duration(arguments, "jitter", "jitter_ms", body));
  EZ_TRY(put_duration(arguments, "catch-up", "catch_up_ms", body));
  if (arguments.has("version")) {
    EZ_ASSIGN(const std::int64_t version, arguments.number("version", 0, 1, UINT32_MAX));
    body.set("version", Value(version));
  }
  EZ_ASSIGN(Value inputs, inputs_of(*api, arguments));
  body.set("inputs", std::move(inputs));
  if (arguments.has("preview")) body.set("preview", Value(true));
  EZ_ASSIGN(const Value view, api->post(schedule_target(arguments), body));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
  } else if (arguments.has("preview")) {
    session.out << "Nothing was set; it would tick at\n" << next_text(view);
  } else {
    session.out << schedule_text(view);
  }
  return kExitOk;
}

}  // namespace

Command schedule_set_command() {
  return {
      "schedule set",
      "Start a workflow by the calendar: make a schedule or change it",
      "  ez schedule set nightly --workflow checkup --cron '0 3 * * *' --zone Europe/Berlin --input repo=.\n"
      "  ez schedule set poll --workflow sync --every 15m --jitter 2m --overlap skip\n"
      "  ez schedule set monthly --workflow report --cron '@monthly' --catch-up 3d --preview\n",
      {{"--workflow", "W", "what it starts; the newest version at each tick unless --version says another"},
       {"--version", "N", "always this version"},
       {"--cron", "EXPRESSION", "minute hour day-of-month month day-of-week, or @daily and the like"},
       {"--every", "DURATION", "at the multiples of that time since 1970 (UTC)"},
       {"--zone", "ZONE", "the time zone of --cron, for example Europe/Berlin (UTC)"},
       {"--jitter", "DURATION", "start each run up to so much later, drawn each time"},
       {"-i,--input", "NAME=VALUE", "an input; lists and maps as JSON; @FILE reads the value from a file",
        true},
       {"--priority", "P", "critical, high, normal, low or deferred"},
       {"--overlap", "HOW", "while a run of it is live: skip (the default), queue or allow"},
       {"--catch-up", "DURATION",
        "a tick that was missed runs once, when it is not older (1 year); 0: never"},
       {"-m,--comment", "TEXT", "what it is for"},
       {"--preview", "", "only show when it would tick"},
       {"--json", "", "as JSON"}},
      {{"NAME", "the schedule"}},
      true,
      run_schedule_set};
}

}  // namespace ez::cli
