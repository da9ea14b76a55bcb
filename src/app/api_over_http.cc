#include "app/api_over_http.h"

#include "base/json.h"
#include "http/sse_client.h"
#include "security/token_file.h"

namespace ez::app {
namespace {

constexpr std::chrono::milliseconds kCallTimeout{60'000};
constexpr std::chrono::milliseconds kTransferSilence{60'000};
constexpr std::chrono::milliseconds kUploadTimeout{900'000};
constexpr JsonLimits kAnswerLimits{64 * 1024 * 1024, 64, 10'000'000};

class HttpApi final : public cli::Api {
 public:
  explicit HttpApi(std::unique_ptr<http::Client> client) : client_(std::move(client)) {}

  Result<Value> get(const std::string& target) override {
    http::ClientRequest request;
    request.target = target;
    return call(std::move(request));
  }

  Result<Value> post(const std::string& target, const Value& body) override {
    http::ClientRequest request;
    request.method = http::Method::kPost;
    request.target = target;
    request.body = to_json(body);
    return call(std::move(request));
  }

  Result<Value> remove(const std::string& target) override {
    http::ClientRequest request;
    request.method = http::Method::kDelete;
    request.target = target;
    return call(std::move(request));
  }

  Status put_file(const std::string& target, const std::string& path) override {
    http::ClientRequest request;
    request.method = http::Method::kPut;
    request.target = target;
    request.body_file = path;
    request.content_type = "application/octet-stream";
    request.timeout = kUploadTimeout;
    EZ_TRY(client_->send(request));
    return {};
  }

  Status download(const std::string& target, const Sink& sink) override {
    http::ClientRequest request;
    request.target = target;
    request.idle_timeout = kTransferSilence;
    request.sink = sink;
    EZ_TRY(client_->send(request));
    return {};
  }

  Status stream(const std::string& target, const std::string& last_id,
                const std::function<bool(const cli::ApiEvent&)>& on_event) override {
    http::FollowOptions options;
    options.last_event_id = last_id;
    return http::follow_events(*client_, target, options, [&on_event](const http::ReceivedEvent& event) {
      return on_event({event.id, event.event, event.data});
    });
  }

  void cancel() override { client_->cancel(); }

 private:
  Result<Value> call(http::ClientRequest request) {
    request.timeout = kCallTimeout;
    EZ_ASSIGN(const http::ClientAnswer answer, client_->send(request));
    if (answer.body.empty()) return Value();
    auto value = parse_json(answer.body, kAnswerLimits);
    if (!value.ok()) return Error(Code::Internal, "the answer to " + request.target + " is not JSON");
    return value;
  }

  const std::unique_ptr<http::Client> client_;
};

}  // namespace

Result<http::ClientOptions> client_options(const cli::Endpoint& endpoint) {
  http::ClientOptions options;
  options.server = endpoint.url;
  options.token = endpoint.token;
  if (options.token.empty() && !endpoint.token_file.empty()) {
    EZ_ASSIGN(options.token, security::read_token(endpoint.token_file));
  }
  return options;
}

Result<std::unique_ptr<cli::Api>> api_over_http(const cli::Endpoint& endpoint) {
  EZ_ASSIGN(http::ClientOptions options, client_options(endpoint));
  options.max_connections = 20'100;  // made when needed; `ez bench flow` has as many agents
  EZ_ASSIGN(auto client, http::Client::create(std::move(options)));
  return std::unique_ptr<cli::Api>(std::make_unique<HttpApi>(std::move(client)));
}

}  // namespace ez::app
