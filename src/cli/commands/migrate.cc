// migrate: moves live runs to another version of their workflow.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::size_t kMost = 100'000;

std::string ids(const Value& view, std::string_view key) {
  const Value* list = view.find(key);
  if (list == nullptr || !list->is_list() || list->as_list().empty()) return "";
  std::string out = ", " + std::string(key);
  for (std::size_t i = 0; i < list->as_list().size(); ++i) {
    if (i == 10) return out + " and " + std::to_string(list->as_list().size() - i) + " more";
    out += " " + printable(list->as_list()[i].as_string());
  }
  return out;
}

std::string text_of(const Value& view) {
  return std::string(view.string_or("run", "")) + ": version " + std::to_string(view.int_or("from", 0)) +
         " to " + std::to_string(view.int_or("to", 0)) + ids(view, "added") + ids(view, "removed") +
         ids(view, "changed") + "\n";
}

// --from and --to as the API takes them.
Result<Value> body_of(const Arguments& arguments) {
  Value body(Value::Map{});
  if (arguments.has("to")) {
    EZ_ASSIGN(const std::int64_t to, arguments.number("to", 0, 1, UINT32_MAX));
    body.set("version", Value(to));
  }
  if (arguments.has("from")) {
    EZ_ASSIGN(const std::int64_t from, arguments.number("from", 0, 1, UINT32_MAX));
    body.set("from", Value(from));
  }
  if (arguments.has("preview")) body.set("preview", Value(true));
  return body;
}

Result<int> one(Session& session, const Arguments& arguments, const Value& body) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value view, api->post(run_target(arguments.text("RUN"), "/migrate"), body));
  session.out << (arguments.has("json") ? to_json(view) + "\n" : text_of(view));
  if (!arguments.has("json") && arguments.has("preview")) session.out << "Nothing was changed.\n";
  return kExitOk;
}

// Each run is a call of its own; one that cannot move does not keep the others.
Result<int> all(Session& session, const Arguments& arguments, const Value& body) {
  if (!arguments.has("from")) return Error(Code::InvalidArgument, "--workflow needs --from");
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value::List runs,
            list_all(*api, "/v1/runs?state=live&workflow=" + encode(arguments.text("workflow")), kMost));
  const bool json = arguments.has("json");
  Value::List moved, refused;
  for (const Value& run : runs) {
    if (run.int_or("version", 0) != body.int_or("from", 0)) continue;
    const std::string id(run.string_or("id", ""));
    const auto view = api->post(run_target(id, "/migrate"), body);
    if (view.ok()) {
      if (!json) session.out << text_of(*view);
      moved.push_back(*view);
      continue;
    }
    if (info(view.error().code()).exit_status != 3) return view.error();  // the server, not this run
    if (!json)
      session.out << id << ": " << view.error().name() << ": " << printable(view.error().message()) << "\n";
    refused.push_back(Value(Value::Map{{"run", Value(id)},
                                       {"code", Value(view.error().name())},
                                       {"message", Value(view.error().message())}}));
  }
  const bool any_refused = !refused.empty();
  if (json) {
    session.out << to_json(Value(Value::Map{{"moved", Value(std::move(moved))},
                                            {"refused", Value(std::move(refused))},
                                            {"preview", Value(arguments.has("preview"))}}))
                << "\n";
  } else {
    session.out << moved.size() << (arguments.has("preview") ? " can move, " : " moved, ") << refused.size()
                << " cannot\n";
  }
  return any_refused ? kExitNegative : kExitOk;
}

Result<int> run_migrate(Session& session, const Arguments& arguments) {
  if (arguments.has("RUN") == arguments.has("workflow"))
    return Error(Code::InvalidArgument, "give either RUN or --workflow W --from V");
  EZ_ASSIGN(const Value body, body_of(arguments));
  return arguments.has("RUN") ? one(session, arguments, body) : all(session, arguments, body);
}

}  // namespace

Command migrate_command() {
  return {"migrate",
          "Move live runs to another version of their workflow",
          "  ez migrate r12 --preview\n  ez migrate r12 --to 3\n"
          "  ez migrate --workflow nightly --from 2 --to 3\n",
          {{"--workflow", "W", "all live runs of this workflow that have the version --from"},
           {"--from", "V", "only runs that have this version"},
           {"--to", "V", "the version to move to; the newest unless given"},
           {"--preview", "", "only show what would be done"},
           {"--json", "", "as JSON"}},
          {{"RUN", "the run, for example r12", false}},
          true,
          run_migrate};
}

}  // namespace ez::cli
