// ez why: why a task waits, who has it, or why it ended as it did.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

Result<int> run_why(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value view, api->get(task_target(arguments.text("RUN"), arguments.text("TASK"), "/why")));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
    return kExitOk;
  }
  session.out << view.string_or("run", "") << "/" << printable(view.string_or("task", "")) << " is "
              << view.string_or("state", "") << ".\n";
  if (const Value* reasons = view.find("reasons"); reasons != nullptr && reasons->is_list()) {
    for (const Value& reason : reasons->as_list())
      session.out << "- " << printable(reason.string_or("text", "")) << "\n";
  }
  return kExitOk;
}

}  // namespace

Command why_command() {
  return {"why",
          "Say why a task waits, who has it, or why it ended as it did",
          "  ez why r12 build\n  ez why r12 convert.3 --json\n",
          {{"--json", "", "the reasons as data"}},
          {{"RUN", "the run, for example r12"}, {"TASK", "the task, for example build or convert.3"}},
          true,
          run_why};
}

}  // namespace ez::cli
