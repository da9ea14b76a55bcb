// ez query: what a workflow shows of its run under a name.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

Result<int> list(Session& session, Api& api, const std::string& run, bool json) {
  EZ_ASSIGN(const Value view, api.get(run_target(run, "/queries")));
  if (json) {
    session.out << to_json(view) << "\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows{{"QUERY", "EXPRESSION"}};
  if (const Value* items = view.find("items"); items != nullptr && items->is_list()) {
    for (const Value& item : items->as_list()) {
      rows.push_back(
          {printable(item.string_or("name", "")), clipped(printable(item.string_or("expression", "")), 100)});
    }
  }
  if (rows.size() == 1) {
    session.out << "The workflow of " << run << " has no queries.\n";
  } else {
    session.out << table_text(rows);
  }
  return kExitOk;
}

Result<int> run_query(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  const std::string id = arguments.text("RUN");
  if (!arguments.has("NAME")) return list(session, *api, id, arguments.has("json"));
  EZ_ASSIGN(const Value view, api->get(run_target(id, "/queries/" + encode(arguments.text("NAME")))));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
    return kExitOk;
  }
  const Value* value = view.find("value");
  const bool text = value != nullptr && value->is_string();
  session.out << (text ? printable(value->as_string()) : value == nullptr ? "null" : to_json(*value)) << "\n";
  return kExitOk;
}

}  // namespace

Command query_command() {
  return {"query",
          "Ask for a value that a workflow shows of its run, or list them",
          "  ez query r12\n  ez query r12 progress\n",
          {{"--json", "", "the answer as JSON, with the state of the run"}},
          {{"RUN", "the run, for example r12"}, {"NAME", "a name under `queries` in the workflow", false}},
          true,
          run_query};
}

}  // namespace ez::cli
