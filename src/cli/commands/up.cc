#include <filesystem>

#include "cli/agent_types_file.h"
#include "cli/commands/commands.h"
#include "cli/embedded_server.h"
#include "orchestration/definition.h"

namespace ez::cli {
namespace {

constexpr std::int64_t kMaxAgents = 1024;

std::string absolute(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).string();
}

Result<int> run_up(Session& session, const Arguments& arguments) {
  ServeOptions options;
  EZ_ASSIGN(options.data, Session::data_dir(arguments));
  EZ_ASSIGN(options.program, own_program());
  EZ_ASSIGN(options.agents, arguments.number("agents", -1, 0, kMaxAgents));
  EZ_ASSIGN(const std::int64_t threads, arguments.number("io-threads", 1, 1, 64));
  EZ_ASSIGN(options.retain_days, arguments.number("retain-days", 0, 1, orchestration::kMaxRetainDays));
  EZ_ASSIGN(options.retain_runs, arguments.number("retain-runs", 0, 1, orchestration::kMaxRetainRuns));
  EZ_ASSIGN(const std::int64_t report_fd, arguments.number("report-fd", -1, 3, 1'000'000));
  options.listen = arguments.text("listen", options.listen);
  options.queues_file = absolute(arguments.text("queues"));
  options.queue_url = arguments.text("queue");
  if (!options.queues_file.empty() && !options.queue_url.empty()) {
    return Error(Code::InvalidArgument, "--queue and --queues both say which broker there is; give one");
  }
  options.models_file = absolute(arguments.text("models"));
  options.cassette_file = absolute(arguments.text("cassette"));
  options.cassette_mode = arguments.text("cassette-mode");
  options.gateway_url = arguments.text("gateway-url");
  options.hosts = arguments.list("host");
  options.origins = arguments.list("origin");
  options.capabilities = arguments.list("capabilities");
  if (arguments.has("agent-types")) options.agent_types = arguments.list("agent-types");
  options.shown = arguments.list("show");
  EZ_TRY(check_shown(options.shown));
  options.io_threads = static_cast<int>(threads);
  options.report_fd = static_cast<int>(report_fd);
  options.log_file = arguments.text("log-file");
  options.log_level = arguments.text("log-level", options.log_level);
  options.version = session.ports.version;
  EZ_TRY(session.ports.serve(options));
  return kExitOk;
}

}  // namespace

Command up_command() {
  return {
      "up",
      "Start a server on this machine, with a worker of its own",
      "  ez up\n"
      "  ez up --listen 0.0.0.0:7878 --host build.example --agents 0\n"
      "  ez up --data /var/lib/ez --agents 8 --capabilities cpp,rust\n"
      "  ez up --agent-types exec,claude,gpt --agents 2\n"
      "  ez up --queue 'redis://ez@127.0.0.1:6379?password_file=/etc/ez/redis.password'\n"
      "  ez up --retain-days 90 --retain-runs 100000\n",
      {{"--data", "DIR", "data directory (EZ_DATA; else ~/.local/state/ez)"},
       {"--listen", "ADDRESS:PORT", "where to listen; port 0 takes a free one (127.0.0.1:7878)"},
       {"--agents", "N", "how many tasks the worker of this server runs at once; 0: no worker (one a core)"},
       {"--capabilities", "A,B", "what that worker can do", true},
       {"--agent-types", "A,B", "agent types that it serves, --agents of each (exec)", true},
       {"--show", "A,B", "more folders that its tasks see, read-only (tool chains)", true},
       {"--host", "NAME", "a further name that clients use for this server", true},
       {"--origin", "URL", "a further site whose pages may call", true},
       {"--io-threads", "N", "threads that serve connections (1)"},
       {"--retain-days", "N", "finished runs leave history so many days after their end (no limit)"},
       {"--retain-runs", "N", "only the newest so many finished runs stay (no limit)"},
       {"--queue", "URL", "a broker that messages go through: redis://…, amqp://…, kafka://… (none)"},
       {"--queues", "FILE", "brokers and routes (DIR/queues.yaml when it is there)"},
       {"--models", "FILE", "providers and models (DIR/models.yaml when it is there)"},
       {"--cassette", "FILE", "record calls of models there, or answer them from it"},
       {"--cassette-mode", "MODE", "record, replay or strict (replay)"},
       {"--gateway-url", "URL", "where agents call models (where they reach this server)"},
       {"--log-file", "FILE", "write the log there instead of standard error"},
       {"--log-level", "LEVEL", "debug, info, warning, error or off (info)"},
       {"--report-fd", "FD", "write one line there when it is ready or has failed"}},
      {},
      false,
      run_up};
}

}  // namespace ez::cli
