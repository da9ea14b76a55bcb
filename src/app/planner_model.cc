#include "app/planner_model.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <mutex>

#include "agents/llm/message.h"
#include "app/models_source.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/random.h"
#include "models/gateway/gateway.h"
#include "telemetry/log.h"

namespace ez::app {
namespace {

constexpr Fence kPlannerLease{1};  // the only one of this bank

// The money of one plan, in memory: it ends with the process.
class PlannerBank final : public models::Bank {
 public:
  explicit PlannerBank(std::int64_t limit_microusd) : limit_(limit_microusd) {}

  void find(Fence fence, std::function<void(Result<models::LeaseInfo>)> found) override {
    models::LeaseInfo info;
    info.fence = fence;
    info.run = RunId{1};
    info.task = "plan";
    info.agent = info.agent_type = "planner";
    info.name_space = "default";
    info.limit_microusd = limit_;
    found(fence == kPlannerLease ? Result<models::LeaseInfo>(std::move(info))
                                 : Result<models::LeaseInfo>(Error(Code::LeaseStale, "no such lease")));
  }
  void draw(Fence, std::int64_t need, std::int64_t want, bool,
            std::function<void(Result<std::int64_t>)> drawn) override {
    std::unique_lock lock(mutex_);
    const std::int64_t amount = std::min(std::max(need, want), limit_ - spent_ - open_);
    if (amount >= need) open_ += amount;
    lock.unlock();
    if (amount >= need) return drawn(amount);
    drawn(Error(Code::BudgetExceeded, "planning may not cost more than it was allowed",
                "Allow more with --max-cost USD, or let a cheaper model plan: --model."));
  }
  void record(models::UsageBatch batch, std::function<void(const Status&)> done) override {
    {
      std::lock_guard lock(mutex_);
      for (const models::UsageRow& row : batch.rows) {
        spent_ += row.sum.microusd;
        open_ -= row.sum.microusd;
      }
      for (const models::AllowanceReturn& given : batch.returns) open_ -= given.microusd;
    }
    done({});
  }
  [[nodiscard]] std::int64_t spent_microusd() const {
    std::lock_guard lock(mutex_);
    return spent_;
  }

 private:
  const std::int64_t limit_;
  mutable std::mutex mutex_;
  std::int64_t spent_ = 0;
  std::int64_t open_ = 0;
};

// Waits for the whole answer.
class WholeAnswer final : public models::CallClient {
 public:
  void answer(int given, models::Headers, std::string text) override { end(given, std::move(text)); }
  void begin_stream(models::Headers) override {}
  [[nodiscard]] bool send(std::string_view) override { return true; }
  void end_stream() override { end(0, "the answer is a stream, which was not asked for"); }

  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return over_; });
  }
  int status = 0;
  std::string body;

 private:
  void end(int given, std::string text) {
    std::lock_guard lock(mutex_);
    status = given;
    body = std::move(text);
    over_ = true;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
};

// Errors of ours stand at the beginning of the message, in whatever dialect.
Error error_of_answer(int status, const std::string& body) {
  if (const auto parsed = parse_json(body); parsed.ok()) {
    if (const Value* error = parsed->find("error"); error != nullptr && error->is_map()) {
      const std::string message(error->string_or("message", ""));
      if (const CodeInfo* own = find_code(message.substr(0, message.find(':'))); own != nullptr)
        return Error(own->code, message.substr(std::min(message.size(), message.find(':') + 2)));
    }
  }
  return agents::model_error(status, body);
}

class GatewayPlanner final : public planning::PlannerModel {
 public:
  explicit GatewayPlanner(std::int64_t limit_microusd) : bank_(limit_microusd) {}
  ~GatewayPlanner() override {
    if (gateway_) gateway_->stop();
  }

  Status start(models::GatewayOptions options) {
    strict_ = options.config.cassette_mode == models::CassetteMode::kStrict;
    EZ_ASSIGN(gateway_, models::Gateway::start(std::move(options), bank_, system_clock(), system_random(),
                                               metrics_, &telemetry::process_logger().redactor()));
    return {};
  }

  bool serves(const std::string& model) const override {
    return strict_ || gateway_->config().resolve(model).ok();  // a recording needs no key
  }

  Result<Value> ask(const Value& request) override {
    models::CallRequest call;
    call.endpoint = models::Endpoint::kMessages;
    call.body = to_json(request);
    call.headers = {{"anthropic-version", "2023-06-01"}};
    call.id = "plan-" + std::to_string(++calls_);
    Status opened;
    gateway_->ledger().open(kPlannerLease, [&](Result<models::AccountPtr> account) {  // of this bank: at once
      if (account.ok()) {
        call.account = std::move(account).value();
      } else {
        opened = account.error();
      }
    });
    EZ_TRY(opened);
    const auto client = std::make_shared<WholeAnswer>();
    const auto handle = gateway_->start(std::move(call), client);
    client->wait();
    if (client->status != 200) return error_of_answer(client->status, client->body);
    auto answer = parse_json(client->body);
    if (!answer.ok()) return Error(Code::ModelReplyInvalid, "the model's answer is no JSON");
    return answer;
  }

  std::int64_t spent_microusd() const override {
    (void)gateway_->ledger().flush(true);
    return bank_.spent_microusd();
  }

  const models::PriceTable& prices() const override { return *gateway_->config().prices; }

 private:
  PlannerBank bank_;
  telemetry::Registry metrics_;
  std::unique_ptr<models::Gateway> gateway_;
  bool strict_ = false;
  int calls_ = 0;
};

}  // namespace

Result<std::unique_ptr<planning::PlannerModel>> planner_model(const cli::PlannerOptions& options) {
  EZ_ASSIGN(const ModelsSource source, read_models_source(options.models_file, options.data));
  models::LoadOptions load;
  load.folder = source.folder;
  load.cassette_file = options.cassette_file;
  load.cassette_mode = options.cassette_mode;
  const auto environment = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  models::GatewayOptions settings;
  EZ_ASSIGN(settings.config, models::load_models(source.text, load, environment));
  settings.http.user_agent = "ez/" + options.version;
  auto planner = std::make_unique<GatewayPlanner>(options.limit_microusd);
  EZ_TRY(planner->start(std::move(settings)));
  return std::unique_ptr<planning::PlannerModel>(std::move(planner));
}

}  // namespace ez::app
