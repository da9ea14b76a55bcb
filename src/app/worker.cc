#include "app/worker.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "agents/cli/cli_runner.h"
#include "agents/exec_runner.h"
#include "agents/llm/llm_runner.h"
#include "agents/orphans.h"
#include "agents/process_cgroup.h"
#include "agents/sandbox.h"
#include "agents/worker.h"
#include "agents/workspace.h"
#include "app/api_over_http.h"
#include "app/control_plane_over_http.h"
#include "app/web_over_http.h"
#include "cli/agent_types_file.h"
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

// A worker of a command-line agent without its program is of little use, but the others of it are.
void warn_of_programs(const cli::AgentOptions& options, const orchestration::AgentTypes& types,
                      const agents::Sandbox& sandbox) {
  for (const std::string& name : options.types) {
    const orchestration::AgentType* type = types.find(name);
    if (type == nullptr || type->runner != "cli") continue;
    if (const auto program = agents::find_cli_program(*type, sandbox); !program.ok()) {
      EZ_LOG(kError, "agent", "every task of this type will fail with this error", {"type", name},
             {"error", program.error().to_string()});
    }
  }
}

// Side by side: each may take its time to give back what it holds.
void stop_all(const std::vector<std::unique_ptr<agents::Worker>>& workers) {
  std::vector<std::thread> threads;
  for (const auto& worker : workers) threads.emplace_back([&worker] { worker->stop(); });
  for (std::thread& thread : threads) thread.join();
}

// A worker of one agent type among several in this process; the first keeps the process's name.
agents::Worker::Options settings_of(const cli::AgentOptions& options, const std::string& type,
                                    const orchestration::AgentTypes& types) {
  agents::Worker::Options settings;
  settings.registration.name = type == options.types[0] ? options.name : options.name + "-" + type;
  settings.registration.type = type;
  settings.registration.capabilities = options.capabilities;
  if (const orchestration::AgentType* known = types.find(type)) {
    std::vector<std::string>& all = settings.registration.capabilities;
    all.insert(all.end(), known->capabilities.begin(), known->capabilities.end());
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
  }
  settings.registration.capacity = options.capacity;
  settings.report = [](std::string_view line) { EZ_LOG(kWarning, "agent", "worker", {"what", line}); };
  return settings;
}

}  // namespace

Status work(const cli::AgentOptions& options) {
  cli::StopSignals signals;
  EZ_ASSIGN(const auto logger, telemetry::Logger::open(log_options(options), system_clock()));
  telemetry::set_process_logger(logger.get());
  struct Reset {
    ~Reset() { telemetry::set_process_logger(nullptr); }
  } reset;

  EZ_ASSIGN(const orchestration::AgentTypes types, cli::load_agent_types(options.agents_file));
  for (const std::string& type : options.types) {
    if (type != "exec" && types.find(type) == nullptr)
      return Error(Code::AgentTypeUnknown, "no agent type is named " + type);
  }
  EZ_ASSIGN(http::ClientOptions client, client_options(options.endpoint));
  client.user_agent = "ez-agent/" + options.version;
  std::vector<std::unique_ptr<agents::ControlPlane>>
      planes;  // one each: a worker that stops interrupts its own
  for (std::size_t i = 0; i < options.types.size(); ++i) {
    EZ_ASSIGN(auto plane, control_plane_over_http(client, options.capacity));
    planes.push_back(std::move(plane));
  }

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

  const agents::Sandbox sandbox(agents::Sandbox::Options{"", options.shown});
  if (const Status probe = sandbox.probe(); !probe.ok()) {
    EZ_LOG(kError, "agent", "no sandbox here: every task will fail with this error",
           {"error", probe.error().to_string()});
  }
  warn_of_programs(options, types, sandbox);
  const auto web = web_over_http("ez-agent/" + options.version,
                                 static_cast<std::size_t>(options.capacity) * options.types.size() * 2 + 8);
  std::vector<std::unique_ptr<agents::Worker>> workers;
  for (std::size_t i = 0; i < options.types.size(); ++i) {
    const agents::AttemptPorts ports{sandbox, workspaces, *planes[i]};
    agents::Worker::Runner run = [&, ports](const agents::WorkItem& item, agents::LogPort& log,
                                            const agents::CancelToken& cancel) {
      agents::LlmRunner models(ports, *web, types);
      agents::CliRunner programs(ports, *web, types);
      const auto is_program = [&types](const agents::WorkItem& of) {
        const orchestration::AgentType* type = types.find(of.agent_type);
        return type != nullptr && type->runner == "cli";
      };
      if (item.agent_type != "exec" && item.kind == agents::WorkKind::kExecute)
        return is_program(item) ? programs.run(item, log, cancel) : models.run(item, log, cancel);
      const auto body = [&](const agents::WorkItem& of_try) {
        return is_program(of_try) ? programs.body_of(of_try) : models.body_of(of_try);
      };
      return agents::ExecRunner(ports.sandbox, ports.workspaces, ports.artifacts, body)
          .run(item, log, cancel);
    };
    workers.push_back(std::make_unique<agents::Worker>(settings_of(options, options.types[i], types),
                                                       *planes[i], std::move(run)));
    EZ_LOG(kInfo, "agent", "worker started", {"name", options.name}, {"type", options.types[i]},
           {"server", options.endpoint.url}, {"capacity", options.capacity});
    workers.back()->start();
  }
  int signal = 0;
  while (signal == 0) {
    signal = signals.wait_for(kLook);
    if (signal == 0) clear_left_behind(workspaces);
  }
  std::size_t running = 0;
  for (const auto& worker : workers) running += worker->running();
  EZ_LOG(kInfo, "agent", "stopping", {"signal", signal}, {"running", running});
  stop_all(workers);
  logger->flush();
  return {};
}

}  // namespace ez::app
