// ez signal: tells a run that something happened that one of its tasks waits for.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/payload.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

Result<int> run_signal(Session& session, const Arguments& arguments) {
  Value body(Value::Map{});
  if (arguments.has("payload")) {
    EZ_ASSIGN(Value payload, read_json_option("--payload", arguments.text("payload")));
    body.set("payload", std::move(payload));
  }
  if (arguments.has("id")) body.set("id", Value(arguments.text("id")));
  EZ_ASSIGN(const auto api, session.connect(arguments));
  const std::string id = arguments.text("RUN");
  const std::string name = arguments.text("NAME");
  EZ_ASSIGN(const Value view, api->post(run_target(id, "/signals/" + encode(name)), body));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
    return kExitOk;
  }
  const std::string task(view.string_or("task", ""));
  if (view.bool_or("repeated", false)) {
    session.out << id << " has this signal already.\n";
  } else if (task.empty()) {
    session.out << id << " keeps the signal " << printable(name) << " until a task waits for it.\n";
  } else {
    session.out << id << "/" << printable(task) << " took the signal " << printable(name) << ".\n";
  }
  return kExitOk;
}

}  // namespace

Command signal_command() {
  return {"signal",
          "Send a signal that a task of a live run waits for",
          "  ez signal r12 deployed\n"
          "  ez signal r12 reviewed --payload '{\"approved\": true}' --id ticket-4711\n"
          "  ez signal r12 reviewed --payload @answer.json\n",
          {{"--payload", "JSON|@FILE", "what the task gets as its output, at most 16 KiB"},
           {"--id", "ID", "the same id again counts once"},
           {"--json", "", "the answer as JSON"}},
          {{"RUN", "the run, for example r12"}, {"NAME", "the name that the task waits for"}},
          true,
          run_signal};
}

}  // namespace ez::cli
