#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/conflict_text.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::size_t kMostApprovals = 10'000;

Result<int> run_approvals(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value::List waiting, list_all(*api, "/v1/approvals", kMostApprovals));
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{{"items", Value(waiting)}})) << "\n";
    return kExitOk;
  }
  if (waiting.empty()) session.out << "Nothing waits for a person.\n";
  for (const Value& item : waiting) {
    const std::string run(item.string_or("run", ""));
    const std::string task = printable(item.string_or("task", ""));
    const std::string kind(item.string_or("kind", ""));
    session.out << run << " " << task << "  " << kind;
    if (const std::string role = printable(item.string_or("role", "")); !role.empty())
      session.out << " (role " << role << ")";
    session.out << ": " << printable(item.string_or("message", "")) << "\n" << conflict_text(item, "  ");
    if (kind == "failure") {
      session.out << "  ez retry " << run << " " << task;
    } else {
      session.out << "  ez approve " << run << " " << task;
      if (kind == "conflict") session.out << "   or   ez retry " << run << " " << task;
    }
    session.out << "   or   ez reject " << run << " " << task << "\n";
  }
  return kExitOk;
}

}  // namespace

Command approvals_command() {
  return {"approvals",
          "List what waits for a person: approvals, conflicts, failures",
          "  ez approvals\n  ez approvals --json\n",
          {{"--json", "", "as JSON"}},
          {},
          true,
          run_approvals};
}

}  // namespace ez::cli
