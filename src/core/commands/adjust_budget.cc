#include "core/budget.h"
#include "core/commands/command.h"
#include "orchestration/text.h"

namespace ez::core {
namespace {

// A child stays within what its parent may spend and take.
std::optional<Error> check_parent(const State& state, const Run& run, const pb::AdjustBudget& command) {
  const Run* parent = run.lineage ? state.find_run(run.lineage->parent) : nullptr;
  if (parent == nullptr) return std::nullopt;
  const std::string name = to_text(parent->id);
  const std::int64_t left = parent->budget_microusd - parent->cost_microusd - parent->reserved_microusd;
  if (command.add_microusd() > 0 && parent->budget_microusd != 0 && command.add_microusd() > left) {
    return Error(Code::BudgetExceeded,
                 name + ", which started it, has only " + dollars(left) + " left beside what is under way",
                 "Raise its budget first: `ez budget " + name + " --add USD`.");
  }
  if (command.extend_ms() > 0 && parent->deadline_ms != 0 &&
      run.deadline_ms + command.extend_ms() > parent->deadline_ms) {
    return Error(Code::WrongState, name + ", which started it, has to be over before",
                 "Extend that one first: `ez budget " + name + " --extend TIME`.");
  }
  return std::nullopt;
}

// Children that had to be over with their parent get the same time.
void extend(Context& context, Run& first, std::int64_t extend_ms) {
  struct Step {
    RunId run;
    std::int64_t before;
    std::int64_t after;
  };
  std::vector<Step> steps{{first.id, first.deadline_ms, first.deadline_ms + extend_ms}};
  while (!steps.empty()) {
    const Step step = steps.back();
    steps.pop_back();
    Run* run = context.state.write_run(step.run);
    if (run == nullptr || run->deadline_ms != step.before) continue;
    context.state.set_timer(run->id, kRunTimer, run->deadline_ms, step.after);
    if (const std::int64_t warn = deadline_warning_ms(*run); warn > context.now_ms) {
      run->warned &= static_cast<std::uint8_t>(~kDeadlineWarned);
      context.state.set_timer(run->id, kRunWarnTimer, run->warn_ms, warn);
    }
    if (run->counts[static_cast<int>(TaskState::kChild)] == 0) continue;
    for (std::uint32_t i = 0; i < run->tasks.size(); ++i) {
      if (run->tasks[i].state == TaskState::kChild)
        steps.push_back({run->tasks[i].get().child, step.before, step.after});
    }
  }
}

void reserve_with_parent(Context& context, const Run& run, std::int64_t add_microusd) {
  Run* parent = run.lineage ? context.state.write_run(run.lineage->parent) : nullptr;
  if (parent == nullptr || parent->budget_microusd == 0) return;
  parent->tasks.write(parent->find(run.lineage->task)).reserve_microusd += add_microusd;
  parent->reserved_microusd += add_microusd;
}

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
  if (!reply.error) reply.error = check_parent(context.state, *run, command);
  if (reply.error) return;
  if (command.add_microusd() > 0) {
    reserve_with_parent(context, *run, command.add_microusd());
    run->budget_microusd += command.add_microusd();
    run->warned &= static_cast<std::uint8_t>(~kCostWarned);
    warn_of_cost(context, *run);
    context.freed_keys.push_back(budget_key(run->id));
  }
  if (command.extend_ms() > 0) extend(context, *run, command.extend_ms());
  if (run->budget_paused && command.add_microusd() > 0) resume_run(context, *run);
  context.effects.events.push_back(
      {run->id, kNoInstance, static_cast<std::uint8_t>(run->state), 0, context.now_ms});
  settle(context, *run);
}

}  // namespace ez::core
