#include "cli/session.h"

#include <cstdlib>
#include <filesystem>

#include "cli/server_file.h"

namespace ez::cli {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Adds the namespace to every request.
class NamespacedApi final : public Api {
 public:
  NamespacedApi(std::unique_ptr<Api> api, const std::string& name_space)
      : api_(std::move(api)), suffix_("namespace=" + encode(name_space)) {}

  Result<Value> get(const std::string& target) override { return api_->get(named(target)); }
  Result<Value> post(const std::string& target, const Value& body) override {
    return api_->post(named(target), body);
  }
  Result<Value> remove(const std::string& target) override { return api_->remove(named(target)); }
  Status put_file(const std::string& target, const std::string& path) override {
    return api_->put_file(named(target), path);
  }
  Status download(const std::string& target, const Sink& sink) override {
    return api_->download(named(target), sink);
  }
  Status stream(const std::string& target, const std::string& last_id,
                const std::function<bool(const ApiEvent&)>& on_event) override {
    return api_->stream(named(target), last_id, on_event);
  }
  void cancel() override { api_->cancel(); }

 private:
  [[nodiscard]] std::string named(const std::string& target) const {
    if (target.find("namespace=") != std::string::npos) return target;
    return target + (target.find('?') == std::string::npos ? "?" : "&") + suffix_;
  }
  const std::unique_ptr<Api> api_;
  const std::string suffix_;
};

}  // namespace

Result<std::string> Session::data_dir(const Arguments& arguments) {
  std::string data = arguments.text("data", environment("EZ_DATA"));
  if (data.empty()) {
    const std::string state = environment("XDG_STATE_HOME");
    const std::string home = environment("HOME");
    if (!state.empty()) {
      data = state + "/ez";
    } else if (!home.empty()) {
      data = home + "/.local/state/ez";
    } else {
      return Error(Code::InvalidArgument,
                   "there is no data directory: neither --data nor EZ_DATA nor HOME is set");
    }
  }
  std::error_code failed;
  const auto absolute = std::filesystem::absolute(data, failed).lexically_normal();
  if (failed) return Error(Code::InvalidArgument, "the data directory " + data + ": " + failed.message());
  std::string text = absolute.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

std::string Session::name_space(const Arguments& arguments, std::string_view of_file) {
  if (arguments.has("namespace")) return arguments.text("namespace");
  if (!of_file.empty() && of_file != "default") return std::string(of_file);
  return environment("EZ_NAMESPACE");
}

Result<Endpoint> Session::endpoint(const Arguments& arguments) {
  EZ_ASSIGN(const std::string data, data_dir(arguments));
  Endpoint endpoint;
  endpoint.url = arguments.text("server", environment("EZ_SERVER"));
  if (endpoint.url.empty()) {
    EZ_ASSIGN(const auto found, find_server(data));
    if (!found) {
      return Error(Code::ServerUnreachable, "no server runs on the data directory " + data,
                   "Start one with `ez up`, or name one with --server or EZ_SERVER.");
    }
    endpoint.url = found->url;
  }
  endpoint.name_space = name_space(arguments);
  if (arguments.has("token-file")) {
    endpoint.token_file = arguments.text("token-file");
  } else {
    endpoint.token = environment("EZ_TOKEN");
    if (endpoint.token.empty()) endpoint.token_file = data + "/token";
  }
  return endpoint;
}

Result<std::unique_ptr<Api>> Session::connect(const Arguments& arguments) const {
  EZ_ASSIGN(const Endpoint found, endpoint(arguments));
  return connect(found);
}

Result<std::unique_ptr<Api>> Session::connect(const Endpoint& endpoint) const {
  EZ_ASSIGN(auto api, ports.connect(endpoint));
  if (endpoint.name_space.empty()) return api;
  return std::unique_ptr<Api>(std::make_unique<NamespacedApi>(std::move(api), endpoint.name_space));
}

Result<Value::List> list_all(Api& api, const std::string& target, std::size_t most) {
  Value::List items;
  std::string cursor;
  do {
    std::string page = target + (target.find('?') == std::string::npos ? "?" : "&") + "limit=500";
    if (!cursor.empty()) page += "&cursor=" + encode(cursor);
    EZ_ASSIGN(const Value answer, api.get(page));
    const Value* list = answer.find("items");
    if (list == nullptr || !list->is_list())
      return Error(Code::Internal, "the answer to " + target + " is not a list");
    for (const Value& item : list->as_list()) {
      if (items.size() == most) return items;
      items.push_back(item);
    }
    cursor = answer.string_or("next_cursor", "");
  } while (!cursor.empty());
  return items;
}

std::string encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' ||
                       byte == '~';
    if (plain) {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

std::string run_target(std::string_view run, std::string_view rest) {
  return "/v1/runs/" + encode(run) + std::string(rest);
}

std::string task_target(std::string_view run, std::string_view task, std::string_view rest) {
  return run_target(run) + "/tasks/" + encode(task) + std::string(rest);
}

}  // namespace ez::cli
