// namespace list, namespace set: who gets how much of the agents.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::size_t kMost = 10'000;

std::string limit_text(const Value& view) {
  const std::int64_t most = view.int_or("max_running", 0);
  return most == 0 ? "-" : std::to_string(most);
}

Result<int> list(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value::List namespaces, list_all(*api, "/v1/namespaces", kMost));
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{{"items", Value(namespaces)}})) << "\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows{
      {"NAMESPACE", "WEIGHT", "LIMIT", "RUNS", "READY", "RUNNING", "STATE"}};
  for (const Value& view : namespaces) {
    rows.push_back({printable(view.string_or("name", "")), std::to_string(view.int_or("weight", 1)),
                    limit_text(view), std::to_string(view.int_or("runs", 0)),
                    std::to_string(view.int_or("ready", 0)), std::to_string(view.int_or("running", 0)),
                    view.bool_or("paused", false) ? "paused" : ""});
  }
  session.out << (namespaces.empty() ? std::string("No namespaces yet: a workflow or a setting makes one.\n")
                                     : table_text(rows));
  return kExitOk;
}

Result<int> set(Session& session, const Arguments& arguments) {
  Value body(Value::Map{});
  if (arguments.has("weight")) {
    EZ_ASSIGN(const std::int64_t weight, arguments.number("weight", 1, 1, 1'000));
    body.set("weight", Value(weight));
  }
  if (arguments.has("max-running")) {
    EZ_ASSIGN(const std::int64_t most, arguments.number("max-running", 0, 0, 1'000'000));
    body.set("max_running", Value(most));
  }
  if (body.as_map().empty()) {
    return Error(Code::InvalidArgument, "neither --weight nor --max-running is given",
                 "Write for example `ez namespace set team-a --weight 3`.");
  }
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value view, api->post("/v1/namespaces/" + encode(arguments.text("NAME")), body));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
  } else {
    session.out << view.string_or("name", "") << ": weight " << view.int_or("weight", 1) << ", limit "
                << limit_text(view) << "\n";
  }
  return kExitOk;
}

}  // namespace

Command namespace_list_command() {
  return {"namespace list",
          "List namespaces with their shares and what they have to do",
          "  ez namespace list\n",
          {{"--json", "", "as JSON"}},
          {},
          true,
          list};
}

Command namespace_set_command() {
  return {"namespace set",
          "Set a namespace's share of the agents, or its limit",
          "  ez namespace set team-a --weight 3\n  ez namespace set nightly --max-running 10\n",
          {{"--weight", "N", "its share against the others' weights, 1 to 1000 (1 unless set)"},
           {"--max-running", "N", "tasks that run at the same time; 0: no limit"},
           {"--json", "", "as JSON"}},
          {{"NAME", "the namespace; it need not exist yet"}},
          true,
          set};
}

}  // namespace ez::cli
