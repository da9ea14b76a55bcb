#include <algorithm>

#include "base/clock.h"
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/run_filter.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

bool is_held(const Value& view) {
  const Value* held = view.find("held_by");
  return held != nullptr && held->is_map();
}

std::string labels_text(const Value& view) {
  const Value* labels = view.find("labels");
  std::string out;
  if (labels == nullptr || !labels->is_map()) return out;
  for (const auto& [name, value] : labels->as_map()) {
    out += (out.empty() ? "" : " ") + printable(name) + "=";
    if (value.is_string()) out += printable(value.as_string());
  }
  return out;
}

Result<int> run_ps(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const std::int64_t most, arguments.number("limit", 100, 1, 100'000));
  EZ_ASSIGN(const auto api, session.connect(arguments));
  // Who asks for a time of ending, or for what only finished runs have, means them too.
  const bool finished =
      arguments.has("finished-from") || arguments.has("finished-before") || arguments.has("error");
  EZ_ASSIGN(const Value filter, read_run_filter(arguments));
  std::string target = "/v1/runs" + run_filter_query(filter);
  if (!arguments.has("all") && !arguments.has("state") && !finished)
    target += std::string(target == "/v1/runs" ? "?" : "&") + "state=live";
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
    if (arguments.has("labels")) rows.back().push_back(labels_text(view));
    if (mixed) rows.back().insert(rows.back().begin() + 1, printable(view.string_or("namespace", "")));
  }
  if (arguments.has("labels")) rows.front().emplace_back("LABELS");
  if (mixed) rows.front().insert(rows.front().begin() + 1, "NAMESPACE");
  session.out << table_text(rows);
  return kExitOk;
}

}  // namespace

Command ps_command() {
  return {"ps",
          "List runs",
          "  ez ps\n  ez ps --all --workflow nightly --label team=storage\n"
          "  ez ps --state failed --finished-from 2026-11-22 --json\n  ez ps --all --text VERIFY\n",
          run_filter_options({{"-a,--all", "", "finished runs too"},
                              {"--limit", "N", "at most so many (100)"},
                              {"--labels", "", "show the labels"},
                              {"--json", "", "as JSON"}}),
          {},
          true,
          run_ps};
}

}  // namespace ez::cli
