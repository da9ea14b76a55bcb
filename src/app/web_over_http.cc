#include "app/web_over_http.h"

#include <map>
#include <mutex>

#include "http/client.h"

namespace ez::app {
namespace {

constexpr std::size_t kMaxServers = 256;  // of one worker's life; more are refused

class HttpWeb final : public agents::WebPort {
 public:
  HttpWeb(std::string user_agent, std::size_t calls) : user_agent_(std::move(user_agent)), calls_(calls) {}

  Result<agents::WebAnswer> send(const agents::WebRequest& request) override {
    constexpr std::string_view kScheme = "http://";
    if (!request.url.starts_with(kScheme))
      return Error(Code::InvalidArgument, request.url + ": only http:// addresses can be called");
    const std::size_t slash = std::min(request.url.find('/', kScheme.size()), request.url.size());
    EZ_ASSIGN(http::Client * client, client_for(request.url.substr(0, slash)));
    http::ClientRequest call;
    if (request.method == "GET") {
      call.method = http::Method::kGet;
    } else if (request.method == "POST") {
      call.method = http::Method::kPost;
    } else if (request.method == "DELETE") {
      call.method = http::Method::kDelete;
    } else {
      return Error(Code::InvalidArgument, "the method " + request.method);
    }
    call.target = slash == request.url.size() ? "/" : request.url.substr(slash);
    call.headers = request.headers;
    call.body = request.body;
    call.content_type = request.content_type;
    call.timeout = request.timeout;
    call.idle_timeout = request.idle_timeout;
    call.sink = request.sink;
    call.max_answer_bytes = request.max_answer_bytes;
    call.cancel_descriptor = request.cancel != nullptr ? request.cancel->fd() : -1;
    call.any_status = true;
    EZ_ASSIGN(http::ClientAnswer answer, client->send(call));
    agents::WebAnswer out;
    out.status = answer.status;
    out.body = std::move(answer.body);
    for (std::size_t i = 0; i < answer.headers.size(); ++i) {
      const auto [name, value] = answer.headers.at(i);
      out.headers.emplace_back(std::string(name), std::string(value));
    }
    return out;
  }

 private:
  Result<http::Client*> client_for(const std::string& server) {
    const std::lock_guard lock(mutex_);
    const auto found = clients_.find(server);
    if (found != clients_.end()) return found->second.get();
    if (clients_.size() >= kMaxServers)
      return Error(Code::InvalidArgument, "more than " + std::to_string(kMaxServers) + " servers");
    http::ClientOptions options;
    options.server = server;
    options.user_agent = user_agent_;
    options.max_connections = calls_;
    EZ_ASSIGN(auto client, http::Client::create(std::move(options)));
    return clients_.emplace(server, std::move(client)).first->second.get();
  }

  const std::string user_agent_;
  const std::size_t calls_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<http::Client>> clients_;
};

}  // namespace

std::unique_ptr<agents::WebPort> web_over_http(std::string user_agent, std::size_t calls) {
  return std::make_unique<HttpWeb>(std::move(user_agent), calls);
}

}  // namespace ez::app
