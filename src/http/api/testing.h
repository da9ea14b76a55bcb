// A whole server for tests: the engine over a real local log, history, blobs and logs in a folder that goes
// away, the API, and clients that talk to it over TCP.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/random.h"
#include "http/api/api.h"
#include "http/client.h"
#include "http/gateway/engine_bank.h"
#include "log/disk_posix.h"
#include "log/local_log.h"
#include "models/gateway/gateway.h"
#include "queue/manager/manager.h"
#include "security/lease_keys.h"

namespace ez::http::api {

template <typename T>
T must(Result<T> result) {
  EZ_CHECK(result.ok(), result.ok() ? "" : result.error().to_string().c_str());
  return std::move(result).value();
}
inline void must(const Status& status) {
  EZ_CHECK(status.ok(), status.ok() ? "" : status.error().to_string().c_str());
}

struct Answer {
  int status = 0;
  Value body;        // null when it is no JSON
  std::string text;  // as it came
  std::string code;  // of a problem
  Headers headers;

  [[nodiscard]] std::string text_of(std::string_view key) const {
    return std::string(body.string_or(key, ""));
  }
};

// Different people for tests of permissions; the token is the name.
class TestPrincipals final : public security::Authenticator {
 public:
  void add(const std::string& token, std::vector<security::Grant> grants) {
    auto principal = std::make_shared<security::Principal>();
    principal->id = "person:" + token;
    principal->roles = std::move(grants);
    principals_[token] = std::move(principal);
  }
  [[nodiscard]] Result<std::shared_ptr<const security::Principal>> authenticate(
      std::string_view token) const override {
    const auto found = principals_.find(std::string(token));
    if (found == principals_.end()) return Error(Code::Unauthenticated, "the token is not known");
    return found->second;
  }

 private:
  std::map<std::string, std::shared_ptr<const security::Principal>> principals_;
};

class World {
 public:
  // With `models` it has a gateway to them.
  explicit World(std::uint64_t reserve_bytes = 0, std::function<models::ModelsConfig()> models = nullptr)
      : reserve_bytes_(reserve_bytes), models_(std::move(models)) {
    std::string pattern = (std::filesystem::temp_directory_path() / "ez-api-XXXXXX").string();
    EZ_CHECK(::mkdtemp(pattern.data()) != nullptr, "no temporary folder");
    folder_ = pattern;
    std::filesystem::create_directory(folder_ / "uploads");
    principals_ = std::make_shared<TestPrincipals>();
    principals_->add("admin", {{security::Role::kAdmin, "*"}});
    principals_->add("maintainer", {{security::Role::kMaintainer, "*"}});
    principals_->add("viewer", {{security::Role::kViewer, "*"}});
    principals_->add("the-token", {{security::Role::kAdmin, "*"}});  // of http/testing.h
    principals_->add("elsewhere", {{security::Role::kAdmin, "other"}});
    authenticator_ = std::make_shared<security::LeaseAuthenticator>(lease_keys_, principals_);
    start();
  }
  ~World() {
    stop();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  void start() {
    history_ = must(storage::History::open(folder_.string()));
    blobs_ = must(storage::BlobStore::open(folder_.string(), {}, system_clock()));
    logs_ = must(storage::AttemptLogs::open(folder_.string(), {}));
    log::LocalLogOptions options;
    options.segment_bytes = 1 << 20;
    options.zero_fill = false;
    auto log = must(log::open_local_log(log::posix_disk(), (folder_ / "log").string(), options));
    engine_ = std::make_unique<engine::Engine>(engine::KernelOptions{}, std::move(log), *history_,
                                               blobs_.get(), system_clock(), system_random());
    metrics_ = std::make_unique<telemetry::Registry>();
    if (models_) start_gateway();
    must(engine_->start());
    queue_ = must(queue::EmbeddedBus::open(
        must(log::open_local_log(log::posix_disk(), (folder_ / "queue").string(), options))));
    queue_manager_ = must(queue::Manager::start(*queue_, must(queue::read_manager_config(Value(), {}))));
    triggers_ = std::make_unique<engine::Triggers>(*engine_, *queue_manager_);
    must(triggers_->start());
    Services services{*engine_,       *history_,  *blobs_, *logs_,        *metrics_,
                      system_clock(), "0.0-test", folder_, reserve_bytes_};
    services.gateway = gateway_.get();
    services.lease_keys = lease_keys_;
    services.queue = queue_manager_.get();
    services.queue_manager = queue_manager_.get();
    services.triggers = triggers_.get();
    api_ = std::make_unique<Api>(std::move(services));
    Router router;
    api_->add_routes(router);
    ServerOptions server;
    server.port = port_;
    server.upload_dir = folder_ / "uploads";
    server.on_access = api_->on_access();
    server_ = must(Server::start(std::move(server), std::move(router), Gate(authenticator_, {})));
    api_->observe(server_.get());
  }
  void stop() {
    if (!server_) return;
    api_->observe(nullptr);
    server_->stop(std::chrono::milliseconds(200));
    if (gateway_) gateway_->stop();
    triggers_->stop();
    engine_->stop();
    api_.reset();
    server_.reset();
    gateway_.reset();
    triggers_.reset();
    engine_.reset();
    queue_manager_.reset();
    queue_.reset();
    bank_.reset();
    logs_.reset();
    blobs_.reset();
    history_.reset();
    metrics_.reset();
  }
  void restart() {
    stop();
    start();
  }

  [[nodiscard]] std::unique_ptr<Client> client(const std::string& token = "admin") const {
    ClientOptions options;
    options.server = "http://127.0.0.1:" + std::to_string(server_->port());
    options.token = token;
    return must(Client::create(std::move(options)));
  }

  Answer call(Method method, const std::string& target, const std::string& body = "",
              std::vector<std::pair<std::string, std::string>> headers = {},
              const std::string& token = "admin") const {
    ClientRequest request;
    request.method = method;
    request.target = target;
    request.body = body;
    request.headers = std::move(headers);
    request.timeout = std::chrono::minutes(2);  // a loaded machine is slow, not broken
    // The client turns problems into Errors; tests want to see them as they are.
    const std::unique_ptr<Client> caller = client(token);
    const auto sent = caller->send(request);
    Answer answer;
    if (!sent.ok()) {
      answer.status = info(sent.error().code()).http_status;
      answer.code = sent.error().name();
      answer.text = sent.error().message();
      return answer;
    }
    answer.status = sent->status;
    answer.headers = sent->headers;
    answer.text = sent->body;
    if (auto parsed = parse_json(sent->body); parsed.ok()) answer.body = std::move(parsed).value();
    return answer;
  }
  Answer get(const std::string& target, const std::string& token = "admin") const {
    return call(Method::kGet, target, "", {}, token);
  }
  Answer post(const std::string& target, const Value& body, const std::string& token = "admin") const {
    return call(Method::kPost, target, to_json(body), {}, token);
  }

  // Registers a workflow file and starts a run of it; the run's id.
  std::string start_run(const std::string& name, const std::string& source) const {
    const Answer registered = post("/v1/workflows", Value(Value::Map{{"source", Value(source)}}));
    EXPECT_TRUE(registered.status == 201 || registered.status == 200) << registered.text;
    return start_again(name);
  }
  std::string start_again(const std::string& name) const {
    const Answer started = post("/v1/runs", Value(Value::Map{{"workflow", Value(name)}}));
    EXPECT_EQ(started.status, 201) << started.text;
    return started.text_of("run");
  }

  // The engine publishes its counters before it looks at the next call: afterwards they show what was
  // answered before.
  void settle() const { EXPECT_EQ(get("/v1/agents").status, 200); }

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] engine::Engine& engine() { return *engine_; }
  [[nodiscard]] storage::History& history() { return *history_; }
  [[nodiscard]] storage::AttemptLogs& logs() { return *logs_; }
  [[nodiscard]] telemetry::Registry& metrics() { return *metrics_; }
  [[nodiscard]] std::uint16_t port() const { return server_->port(); }
  [[nodiscard]] const Router& router() const { return server_->router(); }

 private:
  void start_gateway() {
    bank_ = std::make_unique<EngineBank>(*engine_);
    models::GatewayOptions options;
    options.config = models_();
    gateway_ = must(models::Gateway::start(std::move(options), *bank_, system_clock(), system_random(),
                                           *metrics_, nullptr));
    engine_->on_lease_over([this](Fence fence) { gateway_->ledger().close(fence); });
  }

  const std::uint64_t reserve_bytes_;
  const std::function<models::ModelsConfig()> models_;
  const std::shared_ptr<const security::LeaseKeys> lease_keys_ =
      std::make_shared<const security::LeaseKeys>(std::string(43, 's'));
  std::shared_ptr<const security::Authenticator> authenticator_;
  std::unique_ptr<EngineBank> bank_;
  std::unique_ptr<models::Gateway> gateway_;
  std::filesystem::path folder_;
  std::uint16_t port_ = 0;
  std::shared_ptr<TestPrincipals> principals_;
  std::unique_ptr<storage::History> history_;
  std::unique_ptr<storage::BlobStore> blobs_;
  std::unique_ptr<storage::AttemptLogs> logs_;
  std::unique_ptr<queue::EmbeddedBus> queue_;
  std::unique_ptr<queue::Manager> queue_manager_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<engine::Triggers> triggers_;
  std::unique_ptr<telemetry::Registry> metrics_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<Server> server_;
};

// An agent that works through the API.
class TestAgent {
 public:
  explicit TestAgent(World& world, const std::string& name = "tester", int capacity = 8,
                     const std::string& type = "exec")
      : world_(world) {
    const Answer answer = world.post(
        "/v1/agents",
        Value(Value::Map{{"name", Value(name)}, {"type", Value(type)}, {"capacity", Value(capacity)}}));
    EXPECT_EQ(answer.status, 201) << answer.text;
    id = answer.text_of("agent");
  }

  // Reports and asks; waits for work up to `wait_ms`.
  Answer work(Value::List results, int want, int wait_ms = 30'000) {
    return world_.post("/v1/work", Value(Value::Map{{"agent", Value(id)},
                                                    {"want", Value(want)},
                                                    {"wait_ms", Value(wait_ms)},
                                                    {"results", Value(std::move(results))}}));
  }
  // Asks until there is at least one task.
  Value take() {
    while (true) {
      const Answer answer = work({}, 1);
      EZ_CHECK(answer.status == 200, answer.text.c_str());
      const Value::List& tasks = answer.body.find("tasks")->as_list();
      if (!tasks.empty()) return tasks.front();
    }
  }
  static Value result(const Value& item, const std::string& outcome, Value output = Value()) {
    Value out;
    for (const char* key : {"run", "task", "attempt", "fence", "kind"}) out.set(key, *item.find(key));
    out.set("outcome", Value(outcome));
    if (!output.is_null()) out.set("output", std::move(output));
    if (outcome == "failed") {
      out.set("error",
              Value(Value::Map{{"code", Value("COMMAND_FAILED")}, {"message", Value("exit status 1")}}));
      out.set("exit_code", Value(1));
    }
    return out;
  }
  // Reports it alone; "accepted", "duplicate" or "stale".
  std::string report(const Value& item, const std::string& outcome, Value output = Value()) {
    const Answer answer = work({result(item, outcome, std::move(output))}, 0);
    EXPECT_EQ(answer.status, 200) << answer.text;
    if (answer.status != 200) return "";
    return std::string(answer.body.find("accepted")->as_list().at(0).string_or("status", ""));
  }

  std::string id;

 private:
  World& world_;
};

}  // namespace ez::http::api
