// Every command, one file each.
#pragma once

#include "cli/session.h"

namespace ez::cli {

[[nodiscard]] Command up_command();
[[nodiscard]] Command down_command();
[[nodiscard]] Command new_command();
[[nodiscard]] Command run_command();
[[nodiscard]] Command follow_command();
[[nodiscard]] Command top_command();
[[nodiscard]] Command ps_command();
[[nodiscard]] Command show_command();
[[nodiscard]] Command why_command();
[[nodiscard]] Command logs_command();
[[nodiscard]] Command graph_command();
[[nodiscard]] Command approvals_command();
[[nodiscard]] Command approve_command();
[[nodiscard]] Command reject_command();
[[nodiscard]] Command cancel_command();
[[nodiscard]] Command pause_command();
[[nodiscard]] Command resume_command();
[[nodiscard]] Command retry_command();
[[nodiscard]] Command budget_command();
[[nodiscard]] Command cost_command();
[[nodiscard]] Command batch_command();
[[nodiscard]] Command signal_command();
[[nodiscard]] Command query_command();
[[nodiscard]] Command workflow_validate_command();
[[nodiscard]] Command workflow_register_command();
[[nodiscard]] Command workflow_list_command();
[[nodiscard]] Command validate_command();
[[nodiscard]] Command test_command();
[[nodiscard]] Command rollback_command();
[[nodiscard]] Command export_command();
[[nodiscard]] Command import_command();
[[nodiscard]] Command artifacts_command();
[[nodiscard]] Command namespace_list_command();
[[nodiscard]] Command namespace_set_command();
[[nodiscard]] Command migrate_command();
[[nodiscard]] Command schedule_set_command();
[[nodiscard]] Command schedule_list_command();
[[nodiscard]] Command schedule_show_command();
[[nodiscard]] Command schedule_pause_command();
[[nodiscard]] Command schedule_resume_command();
[[nodiscard]] Command schedule_trigger_command();
[[nodiscard]] Command schedule_backfill_command();
[[nodiscard]] Command schedule_delete_command();
[[nodiscard]] Command queue_list_command();
[[nodiscard]] Command queue_publish_command();
[[nodiscard]] Command queue_peek_command();
[[nodiscard]] Command queue_take_command();
[[nodiscard]] Command queue_tail_command();
[[nodiscard]] Command queue_pause_command();
[[nodiscard]] Command queue_resume_command();
[[nodiscard]] Command queue_purge_command();
[[nodiscard]] Command queue_backends_command();
[[nodiscard]] Command queue_migrate_command();
[[nodiscard]] Command queue_bench_command();
[[nodiscard]] Command trigger_list_command();
[[nodiscard]] Command trigger_show_command();
[[nodiscard]] Command trigger_set_command();
[[nodiscard]] Command trigger_pause_command();
[[nodiscard]] Command trigger_resume_command();
[[nodiscard]] Command trigger_remove_command();
[[nodiscard]] Command dlq_list_command();
[[nodiscard]] Command dlq_show_command();
[[nodiscard]] Command dlq_redrive_command();
[[nodiscard]] Command dlq_discard_command();
[[nodiscard]] Command agent_command();
[[nodiscard]] Command agents_command();
[[nodiscard]] Command doctor_command();
[[nodiscard]] Command bench_api_command();
[[nodiscard]] Command bench_flow_command();
[[nodiscard]] Command bench_gateway_command();
[[nodiscard]] Command bench_workspace_command();
[[nodiscard]] Command version_command();
[[nodiscard]] Command completion_command();

}  // namespace ez::cli
