// One function per command, one file per function. Each checks before it changes anything; a refusal goes
// into context.effects.reply.error.
#pragma once

#include "core/command.pb.h"
#include "core/progress.h"

namespace ez::core {

void apply_register_workflow(Context& context, const pb::RegisterWorkflow& command);
void apply_start_run(Context& context, const pb::StartRun& command);
void apply_control_run(Context& context, const pb::ControlRun& command);
void apply_control_task(Context& context, const pb::ControlTask& command);
void apply_register_agent(Context& context, const pb::RegisterAgent& command);
void apply_remove_agent(Context& context, const pb::RemoveAgent& command);
void apply_assign(Context& context, const pb::Assign& command);
void apply_report_result(Context& context, const pb::ReportResult& command);
void apply_expire_leases(Context& context, const pb::ExpireLeases& command);
void apply_tick(Context& context, const pb::Tick& command);
void apply_restart_task(Context& context, const pb::RestartTask& command);
void apply_adjust_budget(Context& context, const pb::AdjustBudget& command);
void apply_set_namespace(Context& context, const pb::SetNamespace& command);
void apply_set_pause(Context& context, const pb::SetPause& command);
void apply_send_signal(Context& context, const pb::SendSignal& command);
void apply_set_schedule(Context& context, const pb::SetSchedule& command);
void apply_control_schedule(Context& context, const pb::ControlSchedule& command);
void apply_backfill_schedule(Context& context, const pb::BackfillSchedule& command);
void apply_import_run(Context& context, const pb::ImportRun& command);
void apply_migrate_run(Context& context, const pb::MigrateRun& command);
void apply_plan_schedules(Context& context, const pb::PlanSchedules& command);
void apply_draw_allowance(Context& context, const pb::DrawAllowance& command);
void apply_meter_usage(Context& context, const pb::MeterUsage& command);

// The lease is over without a result: its task tries again (or ends), unless the lease was cancelled before.
// `undelivered`: the agent never had the work, so it cannot have cost anything.
void lose_lease(Context& context, Fence fence, const std::string& reason, bool undelivered = false);

// When the warning of the run's deadline is due.
[[nodiscard]] std::int64_t deadline_warning_ms(const Run& run);

// Lets a task that waits for a person try again with a fresh set of attempts.
void retry_task(Context& context, Run& run, std::uint32_t index);

}  // namespace ez::core
