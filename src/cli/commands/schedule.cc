// schedule list, show, pause, resume, trigger, delete.
#include "cli/commands/schedule.h"

#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::size_t kMost = 10'000;

std::string first_next(const Value& view) {
  const Value* next = view.find("next");
  if (next == nullptr || !next->is_list() || next->as_list().empty()) return "-";
  return printable(next->as_list()[0].as_string());
}

Result<int> list(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value::List schedules, list_all(*api, "/v1/schedules", kMost));
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{{"items", Value(schedules)}})) << "\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows{
      {"SCHEDULE", "WORKFLOW", "WHEN", "ZONE", "STATE", "NEXT", "RUNS"}};
  for (const Value& view : schedules) {
    rows.push_back({printable(view.string_or("name", "")), printable(view.string_or("workflow", "")),
                    printable(view.string_or("cadence", "")), printable(view.string_or("zone", "")),
                    printable(view.string_or("state", "")), first_next(view),
                    std::to_string(view.int_or("started", 0))});
  }
  session.out << (schedules.empty() ? std::string("No schedules here: `ez schedule set` makes one.\n")
                                    : table_text(rows));
  return kExitOk;
}

Result<int> show(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value view, api->get(schedule_target(arguments)));
  session.out << (arguments.has("json") ? to_json(view) + "\n" : schedule_text(view));
  return kExitOk;
}

Result<int> set_paused(Session& session, const Arguments& arguments, const char* verb) {
  Value body(Value::Map{});
  if (arguments.has("comment")) body.set("comment", Value(arguments.text("comment")));
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value view, api->post(schedule_target(arguments, verb), body));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
  } else {
    session.out << view.string_or("name", "") << ": " << view.string_or("state", "") << ", next "
                << first_next(view) << "\n";
  }
  return kExitOk;
}

Result<int> pause(Session& session, const Arguments& arguments) {
  return set_paused(session, arguments, "/pause");
}
Result<int> resume(Session& session, const Arguments& arguments) {
  return set_paused(session, arguments, "/resume");
}

Result<int> trigger(Session& session, const Arguments& arguments) {
  Value body(Value::Map{});
  if (arguments.has("idempotency-key")) body.set("idempotency_key", Value(arguments.text("idempotency-key")));
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value answer, api->post(schedule_target(arguments, "/trigger"), body));
  if (arguments.has("json")) {
    session.out << to_json(answer) << "\n";
  } else {
    session.out << "run " << answer.string_or("run", "")
                << (answer.bool_or("created", true) ? "" : "  (started earlier with this key)") << "\n";
  }
  return kExitOk;
}

Result<int> erase(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value answer, api->remove(schedule_target(arguments)));
  session.out << (arguments.has("json")
                      ? to_json(answer) + "\n"
                      : std::string(answer.string_or("name", "")) + " is gone; its runs stay.\n");
  return kExitOk;
}

Command control(std::string_view path, std::string_view summary, std::string_view examples,
                Result<int> (*run)(Session&, const Arguments&), bool comment) {
  std::vector<OptionSpec> options;
  if (comment) options.push_back({"-m,--comment", "TEXT", "why, for the record"});
  options.push_back({"--json", "", "as JSON"});
  return {path, summary, examples, std::move(options), {{"NAME", "the schedule"}}, true, run};
}

}  // namespace

std::string schedule_target(const Arguments& arguments, std::string_view rest) {
  return "/v1/schedules/" + encode(arguments.text("NAME")) + std::string(rest);
}

std::string next_text(const Value& view) {
  std::string out;
  const Value* next = view.find("next");
  if (next == nullptr || !next->is_list()) return out;
  for (const Value& instant : next->as_list()) out += "  " + printable(instant.as_string()) + "\n";
  return out;
}

std::string schedule_text(const Value& view) {
  const auto text = [&](std::string_view key) { return printable(view.string_or(key, "")); };
  std::string out = text("name") + "  " + text("state") + "\n";
  out += "starts    " + text("workflow");
  if (const std::int64_t version = view.int_or("version", 0); version != 0)
    out += " version " + std::to_string(version);
  out += "\nwhen      " + text("cadence") + "  (" + text("zone") + ")";
  if (const std::int64_t jitter = view.int_or("jitter_ms", 0); jitter != 0)
    out += ", up to " + duration_text(jitter) + " later";
  out += "\noverlap   " + text("overlap") + ", missed ticks run once for " +
         duration_text(view.int_or("catch_up_ms", 0));
  if (const Value* inputs = view.find("inputs"); inputs != nullptr && inputs->is_map()) {
    for (const auto& [name, value] : inputs->as_map())
      out += "\ninput     " + printable(name) + " = " + clipped(printable(to_json(value)), 200);
  }
  if (!text("comment").empty()) out += "\ncomment   " + text("comment");
  out += "\nset by    " + text("set_by") + ", " + text("updated_at");
  out += "\nnow       " + text("says");
  out += "\nso far    " + std::to_string(view.int_or("started", 0)) + " started, " +
         std::to_string(view.int_or("skipped", 0)) + " skipped, " + std::to_string(view.int_or("missed", 0)) +
         " missed, " + std::to_string(view.int_or("failed", 0)) + " failed to start\n";
  if (const std::string next = next_text(view); !next.empty()) out += "next\n" + next;
  const Value* events = view.find("events");
  if (events == nullptr || !events->is_list() || events->as_list().empty()) return out;
  std::vector<std::vector<std::string>> rows{{"INSTANT", "CAUSE", "OUTCOME", "RUN", ""}};
  for (const Value& event : events->as_list()) {
    rows.push_back({std::string(event.string_or("instant", "")), std::string(event.string_or("cause", "")),
                    std::string(event.string_or("outcome", "")), std::string(event.string_or("run", "")),
                    printable(event.string_or("text", ""))});
  }
  return out + "\n" + table_text(rows);
}

Command schedule_list_command() {
  return {"schedule list",
          "List schedules and when they tick next",
          "  ez schedule list\n  ez schedule list --namespace team-a\n",
          {{"--json", "", "as JSON"}},
          {},
          true,
          list};
}
Command schedule_show_command() {
  return control("schedule show", "Show a schedule: its next five instants, why it waits, what it did",
                 "  ez schedule show nightly\n  ez schedule show nightly --json\n", show, false);
}
Command schedule_pause_command() {
  return control("schedule pause", "Let a schedule start nothing; what passes meanwhile is not made up for",
                 "  ez schedule pause nightly -m 'freeze until Monday'\n", pause, true);
}
Command schedule_resume_command() {
  return control("schedule resume", "Let a paused schedule tick again", "  ez schedule resume nightly\n",
                 resume, false);
}
Command schedule_trigger_command() {
  return {"schedule trigger",
          "Start a run of a schedule now, whatever its times say",
          "  ez schedule trigger nightly\n",
          {{"--idempotency-key", "KEY", "the same key starts the same run"}, {"--json", "", "as JSON"}},
          {{"NAME", "the schedule"}},
          true,
          trigger};
}
Command schedule_delete_command() {
  return control("schedule delete", "Remove a schedule; its runs stay", "  ez schedule delete nightly\n",
                 erase, false);
}

}  // namespace ez::cli
