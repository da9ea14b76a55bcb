// cost: what a run cost and for what, or what all runs did.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

std::string count(const Value& line, std::string_view key) { return std::to_string(line.int_or(key, 0)); }

std::string name_of(const Value& line) {
  const std::string source(line.string_or("source", ""));
  if (source == "agent") return "(claimed by the agent)";
  if (source == "unsettled") return "(set aside, never settled)";
  if (source == "child") return "run " + std::string(line.string_or("model", ""));
  const std::string provider(line.string_or("provider", ""));
  std::string name = provider.empty() ? "" : provider + "/";
  name += line.string_or("model", "");
  return line.bool_or("replayed", false) ? name + " (replayed)" : name;
}

std::vector<std::string> row_of(const Value& line, bool of_run) {
  std::vector<std::string> row;
  if (of_run) {
    row.push_back(printable(line.string_or("task", "-")));
    row.push_back(printable(line.string_or("agent", "-")));
  } else {
    row.push_back(printable(line.string_or("namespace", "-")));
  }
  const std::int64_t input = line.int_or("input_tokens", 0) + line.int_or("cache_read_tokens", 0) +
                             line.int_or("cache_write_tokens", 0);
  row.push_back(printable(name_of(line)));
  row.push_back(printable(line.string_or("key", "")));
  row.push_back(count(line, "calls"));
  row.push_back(std::to_string(input));
  row.push_back(count(line, "output_tokens"));
  row.push_back(money_text(line.int_or("cost_microusd", 0)));
  return row;
}

Result<int> run_cost(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  const std::string id = arguments.text("RUN");
  EZ_ASSIGN(const Value view, api->get(id.empty() ? "/v1/costs" : run_target(id, "/costs")));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows;
  if (id.empty()) {
    rows.push_back({"NAMESPACE", "MODEL", "KEY", "CALLS", "INPUT", "OUTPUT", "COST"});
  } else {
    rows.push_back({"TASK", "AGENT", "MODEL", "KEY", "CALLS", "INPUT", "OUTPUT", "COST"});
  }
  if (const Value* items = view.find("items"); items != nullptr && items->is_list()) {
    for (const Value& line : items->as_list()) rows.push_back(row_of(line, !id.empty()));
  }
  if (rows.size() > 1) session.out << table_text(rows);
  session.out << (id.empty() ? "All runs" : id) << " cost " << money_text(view.int_or("cost_microusd", 0));
  if (const Value* budget = view.find("budget_microusd"); budget != nullptr && budget->is_int()) {
    session.out << " of " << money_text(budget->as_int());
  }
  session.out << " in " << view.int_or("calls", 0) << " calls of models.\n";
  return kExitOk;
}

}  // namespace

Command cost_command() {
  return {"cost",
          "Show what a run cost, by task, agent, model and key; without a run what all of them did",
          "  ez cost r12\n  ez cost --namespace team-a\n  ez cost r12 --json\n",
          {{"--json", "", "as JSON"}},
          {{"RUN", "the run, for example r12", false}},
          true,
          run_cost};
}

}  // namespace ez::cli
