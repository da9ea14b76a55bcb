#include "app/serve.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>

#include "app/child_agent.h"
#include "app/model_gateway.h"
#include "app/queues.h"
#include "app/stores.h"
#include "base/json.h"
#include "base/random.h"
#include "cli/server_file.h"
#include "cli/signals.h"
#include "dispatch/dispatch.h"
#include "engine/engine.h"
#include "http/api/api.h"
#include "http/problem.h"
#include "http/server.h"
#include "security/token_file.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace ez::app {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstHousekeeping{1'000};  // also when a step left something to do
constexpr milliseconds kHousekeeping{60'000};
constexpr milliseconds kAgentPatience{20'000};  // stopping, its work is reported as interrupted
constexpr milliseconds kServerGrace{5'000};

struct Listen {
  std::string address;
  std::uint16_t port = 0;
};

// "127.0.0.1:7878", "[::1]:7878", ":7878" (all addresses of IPv4), "7878".
Result<Listen> parse_listen(const std::string& text) {
  const auto bad = [&] {
    return Error(Code::InvalidArgument, "--listen: '" + text + "' is not of the form ADDRESS:PORT");
  };
  const std::size_t colon = text.rfind(':');
  std::string address = colon == std::string::npos ? "127.0.0.1" : text.substr(0, colon);
  const std::string port = colon == std::string::npos ? text : text.substr(colon + 1);
  if (colon == 0) address = "0.0.0.0";
  if (address.size() > 2 && address.front() == '[' && address.back() == ']')
    address = address.substr(1, address.size() - 2);
  if (address == "localhost") address = "127.0.0.1";
  if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != std::string::npos)
    return bad();
  const int number = std::stoi(port);
  if (number > 65535 || address.empty()) return bad();
  return Listen{std::move(address), static_cast<std::uint16_t>(number)};
}

std::string url_of(const std::string& address, std::uint16_t port) {
  std::string host = address;
  if (address == "0.0.0.0") host = "127.0.0.1";
  if (address == "::") host = "::1";
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  return "http://" + host + ":" + std::to_string(port);
}

telemetry::LogOptions log_options(const cli::ServeOptions& options) {
  telemetry::LogOptions log;
  log.file = options.log_file;
  const bool terminal = log.file.empty() && ::isatty(STDERR_FILENO) == 1;
  log.format = terminal ? telemetry::LogFormat::kColor : telemetry::LogFormat::kJson;
  (void)telemetry::parse_level(options.log_level, log.level);
  return log;
}

void report(int fd, const std::string& line) {
  if (fd < 0) return;
  const std::string text = line + "\n";
  (void)!::write(fd, text.data(), text.size());
  ::close(fd);
}

std::vector<std::string> agent_command(const cli::ServeOptions& options, const std::string& url) {
  const std::int64_t cores = std::max<std::int64_t>(1, std::thread::hardware_concurrency());
  std::vector<std::string> argv{options.program, "agent",
                                "--server",      url,
                                "--token-file",  options.data + "/token",
                                "--name",
                                "local",  // always the same: after a crash its old leases end at once
                                "--capacity",    std::to_string(options.agents < 0 ? cores : options.agents),
                                "--workspaces",  options.data + "/workspaces",
                                "--log-level",   options.log_level};
  const auto add_list = [&argv](const std::string& option, const std::vector<std::string>& values) {
    std::string list;
    for (const std::string& value : values) list += (list.empty() ? "" : ",") + value;
    if (!values.empty()) argv.insert(argv.end(), {option, list});
  };
  add_list("--capabilities", options.capabilities);
  add_list("--type", options.agent_types);
  add_list("--show", options.shown);
  std::error_code failed;
  if (const std::string file = options.data + "/agents.yaml"; std::filesystem::exists(file, failed))
    argv.insert(argv.end(), {"--agents-file", file});
  return argv;
}

// Everything that runs, in the order in which it has to end.
class Running {
 public:
  Status start(const cli::ServeOptions& options, cli::StopSignals& signals) {
    EZ_ASSIGN(const Listen listen, parse_listen(options.listen));
    EZ_ASSIGN(stores_, open_stores(options.data, system_clock()));
    EZ_ASSIGN(const std::string token, security::load_or_create_token(options.data + "/token"));
    metrics_ = std::make_unique<telemetry::Registry>();
    engine_ =
        std::make_unique<engine::Engine>(engine::KernelOptions{}, std::move(stores_.log), *stores_.history,
                                         stores_.blobs.get(), system_clock(), jitter_);
    engine_->on_failure([&signals](const Error&) { signals.wake(); });
    stores_.queue->on_failure([&signals](const Error&) { signals.wake(); });
    EZ_ASSIGN(models_, ModelGateway::start(options, *engine_, *metrics_));
    EZ_ASSIGN(queue::ManagerConfig queues, load_queues(options));
    queues.folder = options.data;
    EZ_ASSIGN(queue_manager_, start_queue_manager(queues, *stores_.queue));
    events_ = start_events(queues, *queue_manager_);
    engine_->publish_events(events_.get());
    EZ_TRY(engine_->start());
    if (events_) events_->live();
    triggers_ = std::make_unique<engine::Triggers>(*engine_, *queue_manager_);
    EZ_TRY(triggers_->start());
    dispatch_ = std::make_unique<dispatch::Dispatch>(
        queues.dispatch,
        dispatch::Ports{*engine_, *queue_manager_, *stores_.blobs, *stores_.logs, *metrics_});
    EZ_TRY(dispatch_->start());
    http::api::Services services{*engine_,  *stores_.history, *stores_.blobs,  *stores_.logs,
                                 *metrics_, system_clock(),   options.version, options.data};
    services.gateway = &models_->gateway();
    services.lease_keys = models_->keys();
    services.gateway_url = options.gateway_url;
    services.queue = queue_manager_.get();
    services.queue_manager = queue_manager_.get();
    services.triggers = triggers_.get();
    api_ = std::make_unique<http::api::Api>(std::move(services));
    http::Router router;
    api_->add_routes(router);
    http::ServerOptions settings;
    settings.address = listen.address;
    settings.port = listen.port;
    settings.io_threads = options.io_threads;
    settings.upload_dir = options.data + "/uploads";
    settings.on_access = api_->on_access();
    http::GateOptions gate{options.hosts, options.origins};
    gate.hosts.push_back(listen.address);
    const auto authenticator = std::make_shared<security::LeaseAuthenticator>(
        models_->keys(), std::make_shared<security::TokenAuthenticator>(token));
    EZ_ASSIGN(server_,
              http::Server::start(std::move(settings), std::move(router), http::Gate(authenticator, gate)));
    api_->observe(server_.get());
    url_ = url_of(listen.address, server_->port());
    data_ = options.data;
    retain_days_ = options.retain_days;
    retain_runs_ = options.retain_runs;
    EZ_TRY(
        cli::write_server_file(data_, {url_, ::getpid(), cli::process_start(::getpid()), options.version}));
    if (options.agents != 0) agent_ = std::make_unique<ChildAgent>(agent_command(options, url_));
    housekeeping_ = std::make_unique<Housekeeping>(data_, *stores_.history, *stores_.blobs, *stores_.logs,
                                                   system_clock());
    learn_rules();
    return {};
  }

  // Agents first: while the server still listens they can give back what they hold.
  void stop() {
    if (agent_) agent_->stop(kAgentPatience);
    if (!url_.empty()) cli::remove_server_file(data_, ::getpid());
    if (api_) api_->observe(nullptr);
    if (server_) server_->stop(kServerGrace);
    if (models_) models_->stop();
    if (triggers_) triggers_->stop();
    if (dispatch_) dispatch_->stop();
    if (engine_) engine_->stop();
    if (queue_manager_) queue_manager_->on_switch({});
    if (events_) events_->stop();
  }

  ~Running() {
    stop();
    server_.reset();
    api_.reset();
    models_.reset();
    triggers_.reset();
    dispatch_.reset();
    engine_.reset();
    events_.reset();
    queue_manager_.reset();
  }

  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] std::optional<Error> failure() const {
    if (auto failed = engine_->failure()) return failed;
    return stores_.queue->failure();
  }
  // True: there is more to do soon.
  bool keep_house() {
    learn_rules();
    return housekeeping_->step();
  }

 private:
  // The newest version of a workflow says how long its finished runs stay. They take effect a step later.
  void learn_rules() {
    engine_->read([this](const core::State& state) {
      std::vector<storage::RetentionRule> rules;
      if (retain_days_ > 0 || retain_runs_ > 0) rules.push_back({"", "", retain_days_, retain_runs_});
      for (const auto& [name, versions] : state.workflows) {
        const auto& retention = versions.back()->definition->retention;
        if (retention) rules.push_back({name.first, name.second, retention->days, retention->runs});
      }
      housekeeping_->retain(std::move(rules));
    });
  }

  std::int64_t retain_days_ = 0;
  std::int64_t retain_runs_ = 0;
  std::string data_, url_;
  Stores stores_;
  // Each command takes some for its jitter: that needs no call of the system, and need not be a secret.
  SeededRandom jitter_{system_random().next()};
  std::unique_ptr<telemetry::Registry> metrics_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<ModelGateway> models_;
  std::unique_ptr<queue::Manager> queue_manager_;
  std::unique_ptr<engine::EventPublisher> events_;
  std::unique_ptr<engine::Triggers> triggers_;
  std::unique_ptr<dispatch::Dispatch> dispatch_;
  std::unique_ptr<http::api::Api> api_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<ChildAgent> agent_;
  std::unique_ptr<Housekeeping> housekeeping_;
};

Status serve_until_stopped(const cli::ServeOptions& options, cli::StopSignals& signals) {
  Running running;
  if (Status started = running.start(options, signals); !started.ok()) {
    report(options.report_fd, "failed " + http::problem_json(started.error(), ""));
    return started;
  }
  EZ_LOG(kInfo, "up", "ready", {"url", running.url()}, {"data", options.data}, {"version", options.version});
  if (options.report_fd >= 0) {
    report(options.report_fd, "ready " + running.url());
  } else {
    const std::string line = "ez: ready at " + running.url() + " (data " + options.data + ")\n";
    (void)!::write(STDOUT_FILENO, line.data(), line.size());
  }
  auto next = std::chrono::steady_clock::now() + kFirstHousekeeping;
  while (true) {
    const auto left = std::chrono::duration_cast<milliseconds>(next - std::chrono::steady_clock::now());
    const int signal = signals.wait_for(std::max(left, milliseconds(0)));
    if (auto failure = running.failure()) return *failure;
    if (signal != 0) {
      EZ_LOG(kInfo, "up", "stopping", {"signal", signal});
      break;
    }
    if (std::chrono::steady_clock::now() < next) continue;
    const bool more = running.keep_house();
    next = std::chrono::steady_clock::now() + (more ? kFirstHousekeeping : kHousekeeping);
  }
  running.stop();
  if (auto failure = running.failure()) return *failure;
  return {};
}

}  // namespace

Status serve(const cli::ServeOptions& options) {
  cli::StopSignals signals;
  auto opened = telemetry::Logger::open(log_options(options), system_clock());
  if (!opened.ok()) {
    report(options.report_fd, "failed " + http::problem_json(opened.error(), ""));
    return opened.error();
  }
  const auto logger = std::move(opened).value();
  telemetry::set_process_logger(logger.get());
  Status status = serve_until_stopped(options, signals);
  if (status.ok()) {
    EZ_LOG(kInfo, "up", "stopped");
  } else {
    EZ_LOG(kError, "up", "ended by an error", {"error", status.error().to_string()});
  }
  logger->flush();
  telemetry::set_process_logger(nullptr);
  return status;
}

}  // namespace ez::app
