#include "base/clock.h"
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/text.h"
#include "orchestration/text.h"

namespace ez::cli {
namespace {

Result<int> run_budget(Session& session, const Arguments& arguments) {
  Value body(Value::Map{});
  if (arguments.has("add")) {
    const auto amount = orchestration::parse_microusd(arguments.text("add"));
    if (!amount || *amount == 0) {
      return Error(Code::InvalidArgument, "--add cannot be " + arguments.text("add"),
                   "Dollars with at most 6 decimals, for example 12.50.");
    }
    body.set("add_microusd", Value(*amount));
  }
  if (arguments.has("extend")) {
    const auto duration = orchestration::parse_duration_ms(arguments.text("extend"));
    if (!duration || *duration == 0) {
      return Error(Code::InvalidArgument, "--extend cannot be " + arguments.text("extend"),
                   "A duration, for example 30m or 2h.");
    }
    body.set("extend_ms", Value(*duration));
  }
  const bool changes = arguments.has("add") || arguments.has("extend");
  if (arguments.has("comment")) body.set("comment", Value(arguments.text("comment")));
  EZ_ASSIGN(const auto api, session.connect(arguments));
  const std::string id = arguments.text("RUN");
  EZ_ASSIGN(const Value view,
            changes ? api->post(run_target(id, "/budget"), body) : api->get(run_target(id, "?tasks=false")));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
    return kExitOk;
  }
  const Value* budget = view.find("budget_microusd");
  session.out << id << " is " << view.string_or("state", "unknown") << "; spent "
              << money_text(view.int_or("cost_microusd", 0));
  if (budget != nullptr && budget->is_int()) {
    session.out << " of " << money_text(budget->as_int()) << ", set aside for what runs "
                << money_text(view.int_or("reserved_microusd", 0));
  } else {
    session.out << ", no budget";
  }
  const std::string deadline(view.string_or("deadline_at", ""));
  session.out << "; deadline " << (deadline.empty() ? "none" : deadline) << ".\n";
  return kExitOk;
}

}  // namespace

Command budget_command() {
  return {"budget",
          "Show or raise the budget and the deadline of a run",
          "  ez budget r12\n"
          "  ez budget r12 --add 5            a run that was paused for want of money goes on\n"
          "  ez budget r12 --extend 2h\n",
          {{"--add", "USD", "so many dollars more"},
           {"--extend", "DURATION", "so much more time before the deadline"},
           {"-m,--comment", "TEXT", "why, for the record"},
           {"--json", "", "the run as JSON"}},
          {{"RUN", "the run, for example r12"}},
          true,
          run_budget};
}

}  // namespace ez::cli
