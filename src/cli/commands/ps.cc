#include <algorithm>

#include "base/clock.h"
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

bool is_held(const Value& view) {
  const Value* held = view.find("held_by");
  return held != nullptr && held->is_map();
}

Result<int> run(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const std::int64_t most, arguments.number("limit", 100, 1, 100'000));
  EZ_ASSIGN(const auto api, session.connect(arguments));
  std::string target = "/v1/runs";
  std::string separator = "?";
  if (!arguments.has("all") && !arguments.has("state")) {
    target += "?state=live";
    separator = "&";
  }
  if (arguments.has("state")) {
    target += separator + "state=" + encode(arguments.text("state"));
    separator = "&";
  }
  if (arguments.has("workflow")) target += separator + "workflow=" + encode(arguments.text("workflow"));
  EZ_ASSIGN(const Value::List runs, list_all(*api, target, static_cast<std::size_t>(most)));
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{{"items", Value(runs)}})) << "\n";
    return kExitOk;
  }
  if (runs.empty()) {
    session.out << (arguments.has("all") ? "No runs.\n"
                                         : "No live runs; `ez ps --all` lists finished ones too.\n");
    return kExitOk;
  }
  // Who works in one namespace need not read its name on each line.
  const bool mixed = std::any_of(runs.begin(), runs.end(), [](const Value& view) {
    return view.string_or("namespace", "default") != "default";
  });
  std::vector<std::vector<std::string>> rows{
      {"RUN", "WORKFLOW", "STATE", "DONE", "FAILED", "WAITS", "TIME", "COST"}};
  for (const Value& view : runs) {
    const Value* counts = view.find("counts");
    const Value none;
    const Value& of = counts == nullptr ? none : *counts;
    const std::int64_t total = of.int_or("total", 0);
    const std::int64_t created = parse_time(view.string_or("created_at", ""));
    const std::int64_t duration = view.int_or("duration_ms", system_clock().now_ms() - created);
    rows.push_back({std::string(view.string_or("id", "")), printable(view.string_or("workflow", "")),
                    std::string(view.string_or("state", "")) + (is_held(view) ? " (held)" : ""),
                    std::to_string(total - of.int_or("open", 0)) + "/" + std::to_string(total),
                    std::to_string(of.int_or("failed", 0)),
                    std::to_string(view.int_or("waiting_for_person", 0)), duration_text(duration),
                    money_text(view.int_or("cost_microusd", 0))});
    if (mixed) rows.back().insert(rows.back().begin() + 1, printable(view.string_or("namespace", "")));
  }
  if (mixed) rows.front().insert(rows.front().begin() + 1, "NAMESPACE");
  session.out << table_text(rows);
  return kExitOk;
}

}  // namespace

Command ps_command() {
  return {"ps",
          "List runs",
          "  ez ps\n  ez ps --all --workflow nightly\n  ez ps --state failed --json\n",
          {{"-a,--all", "", "finished runs too"},
           {"--state", "STATE",
            "only runs in that state: live, finished, running, paused, queued, succeeded, failed, cancelled"},
           {"--workflow", "NAME", "only runs of that workflow"},
           {"--limit", "N", "at most so many (100)"},
           {"--json", "", "as JSON"}},
          {},
          true,
          run};
}

}  // namespace ez::cli
