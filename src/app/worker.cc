#include "app/worker.h"

#include <unistd.h>

#include <filesystem>

#include "agents/exec_runner.h"
#include "agents/orphans.h"
#include "agents/process_cgroup.h"
#include "agents/sandbox.h"
#include "agents/worker.h"
#include "agents/workspace.h"
#include "app/api_over_http.h"
#include "app/control_plane_over_http.h"
#include "cli/signals.h"
#include "telemetry/log.h"

namespace ez::app {
namespace {

constexpr std::chrono::seconds kLook{10};

telemetry::LogOptions log_options(const cli::AgentOptions& options) {
  telemetry::LogOptions log;
  log.format = ::isatty(STDERR_FILENO) == 1 ? telemetry::LogFormat::kColor : telemetry::LogFormat::kJson;
  (void)telemetry::parse_level(options.log_level, log.level);
  return log;
}

// What an earlier worker left behind when it was killed. What cannot be cleared yet (a git of that worker may
// still hold a lock) stays where it is, unmerged work included, and is tried again.
void clear_left_behind(agents::WorkspaceManager& workspaces) {
  const auto recovered = workspaces.recover();
  if (!recovered.ok()) {
    EZ_LOG(kWarning, "agent", "a workspace of an earlier worker could not be cleared",
           {"error", recovered.error().to_string()});
  } else if (*recovered > 0) {
    EZ_LOG(kInfo, "agent", "workspaces of an earlier worker were cleared", {"count", *recovered});
  }
}

}  // namespace

Status work(const cli::AgentOptions& options) {
  cli::StopSignals signals;
  EZ_ASSIGN(const auto logger, telemetry::Logger::open(log_options(options), system_clock()));
  telemetry::set_process_logger(logger.get());
  struct Reset {
    ~Reset() { telemetry::set_process_logger(nullptr); }
  } reset;

  EZ_ASSIGN(http::ClientOptions client, client_options(options.endpoint));
  client.user_agent = "ez-agent/" + options.version;
  EZ_ASSIGN(const auto plane, control_plane_over_http(std::move(client), options.capacity));

  std::error_code failed;
  std::filesystem::create_directories(options.workspaces, failed);
  if (failed) return Error(Code::IoFailed, "create " + options.workspaces + ": " + failed.message());
  agents::WorkspaceManager::Options places;
  places.root = options.workspaces;
  agents::WorkspaceManager workspaces(std::move(places));
  agents::remove_stale_cgroups();
  if (const std::size_t killed = agents::kill_orphaned_sandboxes(); killed > 0)
    EZ_LOG(kInfo, "agent", "sandboxes of a killed worker were ended", {"count", killed});
  clear_left_behind(workspaces);

  const agents::Sandbox sandbox;
  if (const Status probe = sandbox.probe(); !probe.ok()) {
    EZ_LOG(kError, "agent", "no sandbox here: every task will fail with this error",
           {"error", probe.error().to_string()});
  }
  agents::ExecRunner runner(sandbox, workspaces, *plane);

  agents::Worker::Options settings;
  settings.registration.name = options.name;
  settings.registration.type = options.type;
  settings.registration.capabilities = options.capabilities;
  settings.registration.capacity = options.capacity;
  settings.report = [](std::string_view line) { EZ_LOG(kWarning, "agent", "worker", {"what", line}); };
  agents::Worker worker(
      std::move(settings), *plane,
      [&runner](const agents::WorkItem& item, agents::LogPort& log, const agents::CancelToken& cancel) {
        return runner.run(item, log, cancel);
      });
  EZ_LOG(kInfo, "agent", "worker started", {"name", options.name}, {"server", options.endpoint.url},
         {"capacity", options.capacity});
  worker.start();
  int signal = 0;
  while (signal == 0) {
    signal = signals.wait_for(kLook);
    if (signal == 0) clear_left_behind(workspaces);
  }
  EZ_LOG(kInfo, "agent", "stopping", {"signal", signal}, {"running", worker.running()});
  worker.stop();
  logger->flush();
  return {};
}

}  // namespace ez::app
