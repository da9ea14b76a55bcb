#include "core/apply.h"

#include <algorithm>

#include "core/commands/command.h"
#include "core/schedule.h"

namespace ez::core {

void apply(State& state, const pb::Command& command, LogIndex index, Effects& effects) {
  // Time inside the state never goes back, whatever the leaders' clocks do.
  state.now_ms = std::max(state.now_ms, command.now_ms());
  state.applied = index;
  Context context{state, effects, state.now_ms, command.jitter_seed(), index, {}, {}, {}, {}, {}};
  switch (command.body_case()) {
    case pb::Command::kRegisterWorkflow:
      apply_register_workflow(context, command.register_workflow());
      break;
    case pb::Command::kStartRun:
      apply_start_run(context, command.start_run());
      break;
    case pb::Command::kControlRun:
      apply_control_run(context, command.control_run());
      break;
    case pb::Command::kControlTask:
      apply_control_task(context, command.control_task());
      break;
    case pb::Command::kRegisterAgent:
      apply_register_agent(context, command.register_agent());
      break;
    case pb::Command::kRemoveAgent:
      apply_remove_agent(context, command.remove_agent());
      break;
    case pb::Command::kAssign:
      apply_assign(context, command.assign());
      break;
    case pb::Command::kReportResult:
      apply_report_result(context, command.report_result());
      break;
    case pb::Command::kExpireLeases:
      apply_expire_leases(context, command.expire_leases());
      break;
    case pb::Command::kTick:
      apply_tick(context, command.tick());
      break;
    case pb::Command::kAdjustBudget:
      apply_adjust_budget(context, command.adjust_budget());
      break;
    case pb::Command::kRestartTask:
      apply_restart_task(context, command.restart_task());
      break;
    case pb::Command::kSetNamespace:
      apply_set_namespace(context, command.set_namespace());
      break;
    case pb::Command::kSetPause:
      apply_set_pause(context, command.set_pause());
      break;
    case pb::Command::kSendSignal:
      apply_send_signal(context, command.send_signal());
      break;
    case pb::Command::kSetSchedule:
      apply_set_schedule(context, command.set_schedule());
      break;
    case pb::Command::kControlSchedule:
      apply_control_schedule(context, command.control_schedule());
      break;
    case pb::Command::kBackfillSchedule:
      apply_backfill_schedule(context, command.backfill_schedule());
      break;
    case pb::Command::kPlanSchedules:
      apply_plan_schedules(context, command.plan_schedules());
      break;
    case pb::Command::kMigrateRun:
      apply_migrate_run(context, command.migrate_run());
      break;
    case pb::Command::kDrawAllowance:
      apply_draw_allowance(context, command.draw_allowance());
      break;
    case pb::Command::kMeterUsage:
      apply_meter_usage(context, command.meter_usage());
      break;
    case pb::Command::kImportRun:
      apply_import_run(context, command.import_run());
      break;
    case pb::Command::BODY_NOT_SET:
      effects.reply.error = Error(Code::RequestInvalid, "a command without a body");
      break;
  }
  do {
    settle_families(context);
  } while (go_on_schedules(context));
}

}  // namespace ez::core
