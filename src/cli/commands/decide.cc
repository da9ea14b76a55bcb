// approve and reject: a person's decision about a task.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

Result<int> decide(Session& session, const Arguments& arguments, const char* verb, const char* done) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  Value body(Value::Map{});
  if (arguments.has("comment")) body.set("comment", Value(arguments.text("comment")));
  const std::string task = arguments.text("TASK");
  EZ_ASSIGN(const Value view,
            api->post(task_target(arguments.text("RUN"), task, std::string("/") + verb), body));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
  } else {
    session.out << task << " of " << arguments.text("RUN") << " " << done << "; it is now "
                << view.string_or("state", "unknown") << ".\n";
  }
  return kExitOk;
}

Result<int> approve(Session& session, const Arguments& arguments) {
  return decide(session, arguments, "approve", "approved");
}
Result<int> reject(Session& session, const Arguments& arguments) {
  return decide(session, arguments, "reject", "rejected");
}

std::vector<OptionSpec> options() {
  return {{"-m,--comment", "TEXT", "why, for the record"}, {"--json", "", "the task as JSON"}};
}
std::vector<OperandSpec> operands() {
  return {{"RUN", "the run, for example r12"}, {"TASK", "the task that waits"}};
}

}  // namespace

Command approve_command() {
  return {"approve",
          "Approve a task that waits for a person",
          "  ez approve r12 release --comment 'looks good'\n",
          options(),
          operands(),
          true,
          approve};
}

Command reject_command() {
  return {"reject",
          "Reject a task that waits for a person; it fails",
          "  ez reject r12 release -m 'not on a Friday'\n",
          options(),
          operands(),
          true,
          reject};
}

}  // namespace ez::cli
