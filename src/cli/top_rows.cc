#include "cli/top_rows.h"

#include <algorithm>

#include "base/utf8.h"
#include "cli/run_picture.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::size_t kColumnGap = 2;
constexpr std::size_t kLeastWide = 8;  // of the column that gives way

std::string digits(const Value& of, std::string_view key) { return std::to_string(of.int_or(key, 0)); }

bool is_map_at(const Value& view, std::string_view key) {
  const Value* found = view.find(key);
  return found != nullptr && found->is_map();
}

std::int64_t count_at(const Value& view, std::string_view group, std::string_view key) {
  const Value* found = view.find(group);
  return found == nullptr ? 0 : found->int_or(key, 0);
}

std::string run_cost_text(const Value& run) {
  std::string text = money_text(run.int_or("cost_microusd", 0));
  if (run.int_or("budget_microusd", 0) > 0) text += "/" + money_text(run.int_or("budget_microusd", 0));
  return text;
}

TopTable runs_table(const TopData& data, std::int64_t now_ms) {
  TopTable table;
  table.head = {"RUN", "WORKFLOW", "STATE", "DONE", "RUN'G", "FAIL", "ASKS", "TIME", "COST"};
  table.wide = 1;
  table.numbers = {3, 4, 5, 6, 7, 8};
  table.nothing = "No runs; `ez run FILE` starts one.";
  for (const Value& run : data.runs) {
    const std::int64_t total = count_at(run, "counts", "total");
    const std::int64_t created = parse_time(run.string_or("created_at", ""));
    const std::int64_t busy = count_at(run, "counts", "running") + count_at(run, "counts", "merging");
    std::string state(run.string_or("state", ""));
    table.rows.push_back(
        {std::string(run.string_or("id", "")),
         state,
         {std::string(run.string_or("id", "")), printable(run.string_or("workflow", "")),
          state + (is_map_at(run, "held_by") ? " (held)" : ""),
          std::to_string(total - count_at(run, "counts", "open")) + "/" + std::to_string(total),
          std::to_string(busy), std::to_string(count_at(run, "counts", "failed")),
          digits(run, "waiting_for_person"), duration_text(run.int_or("duration_ms", now_ms - created)),
          run_cost_text(run)}});
  }
  return table;
}

TopTable agents_table(const TopData& data) {
  TopTable table;
  table.head = {"AGENT", "NAME", "TYPE", "STATE", "BUSY", "DONE", "FAILED", "CAPABILITIES"};
  table.wide = 7;
  table.numbers = {4, 5, 6};
  table.nothing = "No agents. Start one with `ez agent`.";
  for (const Value& agent : data.agents) {
    std::string capabilities;
    if (const Value* list = agent.find("capabilities"); list != nullptr && list->is_list()) {
      for (const Value& one : list->as_list()) {
        if (one.is_string()) capabilities += (capabilities.empty() ? "" : ",") + one.as_string();
      }
    }
    const std::string id(agent.string_or("id", ""));
    table.rows.push_back(
        {id,
         agent.int_or("running", 0) > 0 ? "running" : "",
         {id, printable(agent.string_or("name", "")), printable(agent.string_or("type", "")),
          std::string(agent.string_or("state", "")) + (is_map_at(agent, "held_by") ? " (held)" : ""),
          digits(agent, "running") + "/" + digits(agent, "capacity"), digits(agent, "completed"),
          digits(agent, "failed"), printable(capabilities)}});
  }
  return table;
}

// What waits inside (tasks of a namespace) and outside (messages of a topic).
TopTable queues_table(const TopData& data) {
  TopTable table;
  table.head = {"QUEUE", "KIND", "WAIT", "BUSY", "DELAYED", "DEAD", "STATE"};
  table.wide = 0;
  table.numbers = {2, 3, 4, 5};
  table.nothing = "Nothing waits: no namespaces and no topics yet.";
  for (const Value& space : data.namespaces) {
    const std::string name = printable(space.string_or("name", ""));
    const std::string most = space.int_or("max_running", 0) > 0 ? "/" + digits(space, "max_running") : "";
    table.rows.push_back({"namespace " + name,
                          space.bool_or("paused", false) ? "paused" : "",
                          {name, "tasks", digits(space, "ready"), digits(space, "running") + most, "-", "-",
                           space.bool_or("paused", false) ? "paused" : ""}});
  }
  for (const Value& topic : data.topics) {
    const std::string name = printable(topic.string_or("topic", ""));
    table.rows.push_back(
        {"topic " + name,
         topic.bool_or("paused", false) ? "paused" : "",
         {name, "messages", digits(topic, "ready"), digits(topic, "in_flight"), digits(topic, "delayed"),
          digits(topic, "dead"), topic.bool_or("paused", false) ? "paused" : ""}});
  }
  return table;
}

TopTable cost_table(const TopData& data) {
  TopTable table;
  table.head = {"MODEL", "KEY", "CALLS", "FAILED", "INPUT", "OUTPUT", "COST"};
  table.wide = 0;
  table.numbers = {2, 3, 4, 5, 6};
  table.nothing = "No call of a model yet.";
  const Value* items = data.costs.find("items");
  if (items == nullptr || !items->is_list()) return table;
  std::vector<const Value*> lines;
  for (const Value& line : items->as_list()) lines.push_back(&line);
  std::stable_sort(lines.begin(), lines.end(), [](const Value* a, const Value* b) {
    return a->int_or("cost_microusd", 0) > b->int_or("cost_microusd", 0);
  });
  if (lines.size() > kTopRows) lines.resize(kTopRows);
  for (const Value* line : lines) {
    const std::string source(line->string_or("source", ""));
    std::string model(line->string_or("provider", ""));
    if (!model.empty()) model += "/";
    model += line->string_or("model", "");
    if (source == "agent") model = "(claimed by agents)";
    if (source == "unsettled") model = "(set aside, never settled)";
    if (line->bool_or("replayed", false)) model += " (replayed)";
    const std::int64_t input = line->int_or("input_tokens", 0) + line->int_or("cache_read_tokens", 0) +
                               line->int_or("cache_write_tokens", 0);
    model = printable(model);
    const std::string key = printable(line->string_or("key", ""));
    table.rows.push_back(
        {model + " " + key + " " + std::string(line->string_or("namespace", "")),
         "",
         {model, key, digits(*line, "calls"), digits(*line, "failed_calls"), std::to_string(input),
          digits(*line, "output_tokens"), money_text(line->int_or("cost_microusd", 0))}});
  }
  return table;
}

bool contains(const std::vector<std::size_t>& list, std::size_t value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

TopTable top_table(const TopData& data, TopTab tab, std::int64_t now_ms) {
  switch (tab) {
    case TopTab::kRuns:
      return runs_table(data, now_ms);
    case TopTab::kAgents:
      return agents_table(data);
    case TopTab::kQueues:
      return queues_table(data);
    case TopTab::kCost:
      break;
  }
  return cost_table(data);
}

std::vector<std::string> table_lines(const TopTable& table, std::size_t width) {
  std::vector<std::size_t> widths;
  for (const std::string& cell : table.head) widths.push_back(count_code_points(cell));
  for (const TopTable::Row& row : table.rows) {
    for (std::size_t i = 0; i < row.cells.size(); ++i)
      widths[i] = std::max(widths[i], count_code_points(row.cells[i]));
  }
  std::size_t used = kColumnGap * (widths.size() - 1);
  for (const std::size_t one : widths) used += one;
  std::size_t& wide = widths[table.wide];
  if (used > width) wide -= std::min(used - width, wide - std::min(wide, kLeastWide));
  std::vector<std::string> lines;
  const auto add = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string cell = clipped(cells[i], widths[i]);
      const std::size_t blank = widths[i] - std::min(widths[i], count_code_points(cell));
      if (i > 0) line.append(kColumnGap, ' ');
      line += contains(table.numbers, i) ? std::string(blank, ' ') + cell : cell + std::string(blank, ' ');
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    lines.push_back(clipped(line, width));
  };
  add(table.head);
  for (const TopTable::Row& row : table.rows) add(row.cells);
  return lines;
}

std::vector<std::string> top_figures(const TopData& data, std::int64_t now_ms) {
  std::int64_t capacity = 0, busy = 0, asks = 0;
  std::size_t paused = 0;
  for (const Value& agent : data.agents) {
    capacity += agent.int_or("capacity", 0);
    busy += agent.int_or("running", 0);
  }
  for (const Value& run : data.runs) {
    asks += run.int_or("waiting_for_person", 0);
    paused += run.string_or("state", "") == "paused" ? 1 : 0;
  }
  const Value& status = data.status;
  std::string first = "ez top  " + printable(data.server);
  if (!status.is_null()) {
    first += "  ez " + printable(status.string_or("version", "")) + "  up " +
             duration_text(status.int_or("uptime_ms", 0));
    if (!status.bool_or("ready", true)) first += "  NOT READY: " + printable(status.string_or("problem", ""));
  }
  first += "  " + clock_text(now_ms) + " UTC";
  std::string second = "runs " + std::to_string(count_at(status, "runs", "live")) + " live";
  if (paused > 0) second += ", " + std::to_string(paused) + " paused";
  second += "  cost " + money_text(data.costs.int_or("cost_microusd", 0)) + "  tasks " +
            std::to_string(count_at(status, "tasks", "leased")) + " running, " +
            std::to_string(count_at(status, "tasks", "ready")) + " ready";
  if (asks > 0) second += ", " + std::to_string(asks) + " ask";
  second += "  agents " + std::to_string(busy) + "/" + std::to_string(capacity) + " busy";
  return {first, second};
}

}  // namespace ez::cli
