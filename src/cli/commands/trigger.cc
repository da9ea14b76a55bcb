// trigger list, show, set, pause, resume, remove: messages that start runs.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

std::string target(const Arguments& arguments) { return "/v1/triggers/" + encode(arguments.text("NAME")); }

Result<int> list(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value answer, api->get("/v1/triggers"));
  const Value::List& triggers = answer.find("items")->as_list();
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{{"items", Value(triggers)}})) << "\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows{
      {"TRIGGER", "TOPIC", "WORKFLOW", "STARTED", "REPEATED", "SKIPPED", "FAILED", "STATE", "LAST ERROR"}};
  for (const Value& trigger : triggers) {
    std::vector<std::string> row;
    for (const char* key : {"name", "topic", "workflow"})
      row.push_back(printable(trigger.string_or(key, "")));
    for (const char* key : {"started", "repeated", "skipped", "failed"}) {
      row.push_back(std::to_string(trigger.int_or(key, 0)));
    }
    row.emplace_back(trigger.bool_or("paused", false) ? "paused" : "");
    // Its code or place; `ez trigger show` has all of it.
    const std::string_view error = trigger.string_or("last_error", "");
    row.push_back(printable(error.substr(0, error.find(':'))));
    rows.push_back(std::move(row));
  }
  session.out << (triggers.empty() ? std::string("No triggers.\n") : table_text(rows));
  return kExitOk;
}

void print(Session& session, const Arguments& arguments, const Value& trigger) {
  if (arguments.has("json")) {
    session.out << to_json(trigger) << "\n";
    return;
  }
  session.out << printable(trigger.string_or("name", "")) << ": " << printable(trigger.string_or("topic", ""))
              << " starts " << printable(trigger.string_or("workflow", ""));
  if (trigger.int_or("version", 0) != 0) session.out << " version " << trigger.int_or("version", 0);
  session.out << (trigger.bool_or("paused", false) ? " (paused)" : "") << "\n";
  if (const auto when = trigger.string_or("when", ""); !when.empty()) {
    session.out << "  when " << printable(when) << "\n";
  }
  for (const auto& [name, text] : trigger.find("inputs")->as_map()) {
    session.out << "  " << printable(name) << " = " << printable(text.as_string()) << "\n";
  }
  if (const auto error = trigger.string_or("last_error", ""); !error.empty()) {
    session.out << "  last error: " << printable(error) << "\n";
  }
}

Result<int> show(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value trigger, api->get(target(arguments)));
  print(session, arguments, trigger);
  return kExitOk;
}

Result<int> set(Session& session, const Arguments& arguments) {
  if (!arguments.has("topic") || !arguments.has("workflow")) {
    return Error(Code::InvalidArgument, "--topic and --workflow are needed");
  }
  Value::Map inputs;
  for (const std::string& input : arguments.all("input")) {
    const auto at = input.find('=');
    if (at == std::string::npos || at == 0) {
      return Error(Code::InvalidArgument, "--input is '" + printable(input) + "', not NAME=TEXT");
    }
    inputs.emplace_back(input.substr(0, at), Value(input.substr(at + 1)));
  }
  EZ_ASSIGN(const std::int64_t version, arguments.number("version", 0, 0, 4'294'967'295));
  Value body(Value::Map{{"topic", Value(arguments.text("topic"))},
                        {"workflow", Value(arguments.text("workflow"))},
                        {"version", Value(version)},
                        {"inputs", Value(std::move(inputs))},
                        {"paused", Value(arguments.has("paused"))}});
  if (arguments.has("when")) body.set("when", Value(arguments.text("when")));
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value trigger, api->post(target(arguments), body));
  print(session, arguments, trigger);
  return kExitOk;
}

Result<int> set_paused(Session& session, const Arguments& arguments, bool on) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value trigger, api->get(target(arguments)));
  Value body(Value::Map{{"paused", Value(on)}});
  for (const char* key : {"topic", "workflow", "version", "inputs", "when"})
    body.set(key, *trigger.find(key));
  EZ_ASSIGN(const Value changed, api->post(target(arguments), body));
  print(session, arguments, changed);
  return kExitOk;
}

Result<int> pause(Session& session, const Arguments& arguments) {
  return set_paused(session, arguments, true);
}

Result<int> resume(Session& session, const Arguments& arguments) {
  return set_paused(session, arguments, false);
}

Result<int> remove(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_TRY(api->post(target(arguments) + "/remove", Value(Value::Map{})));
  session.out << printable(arguments.text("NAME")) << " is removed\n";
  return kExitOk;
}

const OptionSpec kJson{"--json", "", "as JSON"};
const OperandSpec kName{"NAME", "the trigger"};

}  // namespace

Command trigger_list_command() {
  return {"trigger list", "List triggers", "  ez trigger list\n", {kJson}, {}, true, list};
}

Command trigger_show_command() {
  return {"trigger show", "Show a trigger", "  ez trigger show orders\n", {kJson}, {kName}, true, show};
}

Command trigger_set_command() {
  return {
      "trigger set",
      "Make or replace a trigger: messages on a topic start runs of a workflow",
      "  ez trigger set orders --topic orders.new --workflow ship --input 'order=${{ message.payload.id }}'\n"
      "  ez trigger set large --topic 'orders.#' --workflow check --when 'message.payload.total > 1000'\n",
      {{"--topic", "PATTERN", "the topic or pattern"},
       {"--workflow", "NAME", "the workflow whose runs are started"},
       {"--version", "N", "of the workflow (0: the newest)"},
       {"--input", "NAME=TEXT", "an input of the run, with ${{ message… }}; several times", true},
       {"--when", "EXPRESSION", "only for messages for which it is true"},
       {"--paused", "", "make it, but let messages wait"},
       kJson},
      {kName},
      true,
      set};
}

Command trigger_pause_command() {
  return {"trigger pause",
          "Let the messages of a trigger wait",
          "  ez trigger pause orders\n",
          {kJson},
          {kName},
          true,
          pause};
}

Command trigger_resume_command() {
  return {"trigger resume",
          "Let a trigger go on",
          "  ez trigger resume orders\n",
          {kJson},
          {kName},
          true,
          resume};
}

Command trigger_remove_command() {
  return {"trigger remove",
          "Remove a trigger, and what waits for it",
          "  ez trigger remove orders\n",
          {},
          {kName},
          true,
          remove};
}

}  // namespace ez::cli
