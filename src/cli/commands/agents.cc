#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::size_t kMost = 10'000;

Result<int> run_agents(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value::List agents, list_all(*api, "/v1/agents", kMost));
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{{"items", Value(agents)}})) << "\n";
    return kExitOk;
  }
  if (agents.empty()) {
    session.out << "No agents. Start one with `ez agent`.\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows{
      {"AGENT", "NAME", "TYPE", "STATE", "RUNNING", "DONE", "FAILED", "CAPABILITIES"}};
  for (const Value& agent : agents) {
    std::string capabilities;
    if (const Value* list = agent.find("capabilities"); list != nullptr && list->is_list()) {
      for (const Value& one : list->as_list()) {
        if (one.is_string()) capabilities += (capabilities.empty() ? "" : ",") + one.as_string();
      }
    }
    const Value* held = agent.find("held_by");
    rows.push_back(
        {std::string(agent.string_or("id", "")), printable(agent.string_or("name", "")),
         printable(agent.string_or("type", "")),
         std::string(agent.string_or("state", "")) + (held != nullptr && held->is_map() ? " (held)" : ""),
         std::to_string(agent.int_or("running", 0)) + "/" + std::to_string(agent.int_or("capacity", 0)),
         std::to_string(agent.int_or("completed", 0)), std::to_string(agent.int_or("failed", 0)),
         printable(capabilities)});
  }
  session.out << table_text(rows);
  return kExitOk;
}

}  // namespace

Command agents_command() {
  return {"agents",  "List the agents of a server", "  ez agents\n", {{"--json", "", "as JSON"}}, {}, true,
          run_agents};
}

}  // namespace ez::cli
