#include "core/budget.h"
#include "core/commands/command.h"
#include "orchestration/text.h"

namespace ez::core {
namespace {

std::optional<Error> check(const Run& run, const pb::AdjustBudget& command) {
  if (command.add_microusd() < 0 || command.extend_ms() < 0 ||
      (command.add_microusd() == 0 && command.extend_ms() == 0)) {
    return Error(Code::InvalidArgument, "a budget can only be raised",
                 "Give an amount or a time of more than zero.");
  }
  if (command.add_microusd() > 0 && run.budget_microusd == 0) {
    return Error(Code::WrongState, to_text(run.id) + " has no budget", "It may cost what it will already.");
  }
  if (command.extend_ms() > 0 && run.deadline_ms == 0) {
    return Error(Code::WrongState, to_text(run.id) + " has no deadline",
                 "It may take as long as it will already.");
  }
  if (command.add_microusd() > orchestration::kMaxMoneyMicrousd - run.budget_microusd) {
    return Error(Code::InvalidArgument, "a budget is at most " + dollars(orchestration::kMaxMoneyMicrousd));
  }
  if (command.extend_ms() > orchestration::kMaxDurationMs - (run.deadline_ms - run.created_ms)) {
    return Error(Code::InvalidArgument, "a deadline is at most ten years after the start");
  }
  return std::nullopt;
}

}  // namespace

std::int64_t deadline_warning_ms(const Run& run) {
  const std::int64_t whole = run.deadline_ms - run.created_ms;
  return run.created_ms + whole / 1000 * run.definition().warn_permille +
         whole % 1000 * run.definition().warn_permille / 1000;
}

void apply_adjust_budget(Context& context, const pb::AdjustBudget& command) {
  Reply& reply = context.effects.reply;
  Run* run = context.state.write_run(RunId{command.run()});
  if (run == nullptr) {
    reply.error = Error(Code::RunNotFound, "no live run " + to_text(RunId{command.run()}));
    return;
  }
  reply.run = run->id;
  reply.error = check(*run, command);
  if (reply.error) return;
  if (command.add_microusd() > 0) {
    run->budget_microusd += command.add_microusd();
    run->warned &= static_cast<std::uint8_t>(~kCostWarned);
    warn_of_cost(context, *run);
    context.freed_keys.push_back(budget_key(run->id));
  }
  if (command.extend_ms() > 0) {
    context.state.set_timer(run->id, kRunTimer, run->deadline_ms, run->deadline_ms + command.extend_ms());
    if (const std::int64_t warn = deadline_warning_ms(*run); warn > context.now_ms) {
      run->warned &= static_cast<std::uint8_t>(~kDeadlineWarned);
      context.state.set_timer(run->id, kRunWarnTimer, run->warn_ms, warn);
    }
  }
  if (run->budget_paused && command.add_microusd() > 0) resume_run(context, *run);
  context.effects.events.push_back(
      {run->id, kNoInstance, static_cast<std::uint8_t>(run->state), 0, context.now_ms});
  settle(context, *run);
}

}  // namespace ez::core
