#include "cli/commands/commands.h"

#include "cli/command_line.h"

namespace ez::cli {

const std::vector<Command>& all_commands() {
  static const std::vector<Command> commands{run_command(),
                                             follow_command(),
                                             ps_command(),
                                             show_command(),
                                             why_command(),
                                             logs_command(),
                                             graph_command(),
                                             approve_command(),
                                             reject_command(),
                                             cancel_command(),
                                             pause_command(),
                                             resume_command(),
                                             retry_command(),
                                             budget_command(),
                                             cost_command(),
                                             signal_command(),
                                             query_command(),
                                             batch_command(),
                                             artifacts_command(),
                                             workflow_validate_command(),
                                             workflow_register_command(),
                                             workflow_list_command(),
                                             test_command(),
                                             export_command(),
                                             import_command(),
                                             namespace_list_command(),
                                             namespace_set_command(),
                                             migrate_command(),
                                             schedule_set_command(),
                                             schedule_list_command(),
                                             schedule_show_command(),
                                             schedule_pause_command(),
                                             schedule_resume_command(),
                                             schedule_trigger_command(),
                                             schedule_backfill_command(),
                                             schedule_delete_command(),
                                             up_command(),
                                             down_command(),
                                             agent_command(),
                                             agents_command(),
                                             doctor_command(),
                                             bench_api_command(),
                                             bench_flow_command(),
                                             bench_gateway_command(),
                                             completion_command(),
                                             version_command()};
  return commands;
}

}  // namespace ez::cli
