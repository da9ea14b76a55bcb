// queue backends.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/commands/queue.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

std::string shown(const Value& view, std::string_view key) { return printable(view.string_or(key, "")); }
std::string count_text(const Value& view, std::string_view key) {
  return std::to_string(view.int_or(key, 0));
}

Result<int> queue_backends(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const std::int64_t limit, arguments.number("switches", 10, 0, 100));
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value view, api->get("/v1/queue-backends"));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows{
      {"BACKEND", "KIND", "STATE", "ROUND TRIP", "SENT", "RETURNED", "FROM OTHERS", "ADDRESS", "PROBLEM"}};
  for (const Value& one : view.find("backends")->as_list()) {
    rows.push_back({shown(one, "name"), shown(one, "kind"), one.bool_or("up", false) ? "up" : "down",
                    count_text(one, "round_trip_us") + " us", count_text(one, "sent"),
                    count_text(one, "returned"), count_text(one, "from_others"), shown(one, "url"),
                    shown(one, "problem")});
  }
  if (rows.size() == 1) {
    session.out << "No brokers: messages stay in the log (ez up --queue URL, docs/guide/queue-manager.md).\n";
  } else {
    session.out << table_text(rows) << "\n";
  }
  rows = {{"ROUTE", "PRIMARY", "FALLBACK", "CONSUMERS", "ACTIVE", "SINCE", "WAITING", ""}};
  for (const Value& one : view.find("routes")->as_list()) {
    rows.push_back({shown(one, "topic"), shown(one, "primary"), shown(one, "fallback"),
                    shown(one, "consumers"), shown(one, "active"), shown(one, "since"),
                    count_text(one, "waiting"),
                    one.bool_or("held", false)    ? "held by ez queue migrate"
                    : one.bool_or("moved", false) ? "moved by ez queue migrate"
                                                  : ""});
  }
  session.out << table_text(rows);
  const Value::List& switches = view.find("switches")->as_list();
  const std::size_t from =
      switches.size() - std::min<std::size_t>(switches.size(), static_cast<std::size_t>(limit));
  if (from < switches.size()) session.out << "\n";
  for (std::size_t i = from; i < switches.size(); ++i) {
    const Value& one = switches[i];
    session.out << shown(one, "at") << "  " << shown(one, "route") << ": " << shown(one, "from") << " -> "
                << shown(one, "to") << "  (" << shown(one, "why") << ")\n";
  }
  return kExitOk;
}

}  // namespace

Command queue_backends_command() {
  return {"queue backends",
          "Show the brokers that messages travel through, and which way they go now",
          "  ez queue backends\n  ez queue backends --switches 50\n",
          {{"--switches", "N", "show the newest so many switches (10)"}, {"--json", "", "as JSON"}},
          {},
          true,
          queue_backends};
}

}  // namespace ez::cli
