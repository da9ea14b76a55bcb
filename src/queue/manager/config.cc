#include "queue/manager/config.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "queue/open.h"
#include "queue/topic.h"

namespace ez::queue {
namespace {

Error wrong_config(const std::string& where, const std::string& what) {
  return Error(Code::InvalidArgument, "queues.yaml: " + (where.empty() ? what : where + ": " + what));
}

// One map, strictly: unknown members are mistakes.
class ConfigMap {
 public:
  ConfigMap(const Value& value, std::string where, std::set<std::string> members)
      : value_(value), where_(std::move(where)), members_(std::move(members)) {}

  [[nodiscard]] Status check() const {
    if (value_.is_null()) return {};
    if (!value_.is_map()) return wrong_config(where_, "must be a map");
    for (const auto& [name, member] : value_.as_map()) {
      if (!members_.contains(name)) return wrong_config(path(name), "there is no such setting");
    }
    return {};
  }
  [[nodiscard]] const Value* find(std::string_view name) const {
    const Value* found = value_.is_map() ? value_.find(name) : nullptr;
    return found != nullptr && found->is_null() ? nullptr : found;
  }
  [[nodiscard]] std::string path(std::string_view name) const {
    return where_.empty() ? std::string(name) : where_ + "." + std::string(name);
  }
  [[nodiscard]] Status text(std::string_view name, std::string& out) const {
    const Value* found = find(name);
    if (found == nullptr) return {};
    if (!found->is_string() || found->as_string().empty()) return wrong_config(path(name), "must be a text");
    out = found->as_string();
    return {};
  }
  [[nodiscard]] Status number(std::string_view name, std::int64_t least, std::int64_t most, int& out) const {
    const Value* found = find(name);
    if (found == nullptr) return {};
    if (!found->is_int() || found->as_int() < least || found->as_int() > most) {
      return wrong_config(path(name),
                          "must be a number from " + std::to_string(least) + " to " + std::to_string(most));
    }
    out = static_cast<int>(found->as_int());
    return {};
  }
  // 250ms, 2s, 10m, 1h
  [[nodiscard]] Status duration(std::string_view name, std::int64_t least, std::int64_t most,
                                std::int64_t& out) const {
    const Value* found = find(name);
    if (found == nullptr) return {};
    std::int64_t ms = -1;
    if (found->is_string()) {
      const std::string& text = found->as_string();
      const auto read = std::from_chars(text.data(), text.data() + text.size(), ms);
      const std::string_view unit(read.ptr, static_cast<std::size_t>(text.data() + text.size() - read.ptr));
      std::int64_t factor = unit == "ms" ? 1 : unit == "s" ? 1000 : unit == "m" ? 60'000 : 3'600'000;
      if (unit != "ms" && unit != "s" && unit != "m" && unit != "h") factor = -1;
      ms = read.ec == std::errc() && ms <= most ? ms * factor : -1;
    }
    if (ms < least || ms > most) {
      return wrong_config(path(name), "must be a duration like 250ms or 2s, from " + std::to_string(least) +
                                          " to " + std::to_string(most) + " ms");
    }
    out = ms;
    return {};
  }

 private:
  const Value& value_;
  const std::string where_;
  const std::set<std::string> members_;
};

bool is_backend_name(std::string_view name) {
  return !name.empty() && name.size() <= 32 && name != kEmbedded &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

Result<BackendConfig> read_backend(const std::string& name, const Value& value,
                                   const QueueEnvironment& environment) {
  const ConfigMap map(value, "backends." + name, {"url", "url_env"});
  EZ_TRY(map.check());
  if (!is_backend_name(name)) {
    return wrong_config(
        "backends." + name.substr(0, 64),
        "a backend has 1 to 32 small letters, digits and dashes; `embedded` is the server's own");
  }
  BackendConfig out{name, ""};
  std::string variable;
  EZ_TRY(map.text("url", out.url));
  EZ_TRY(map.text("url_env", variable));
  if (out.url.empty() == variable.empty()) {
    return wrong_config("backends." + name, "needs either url or url_env");
  }
  if (!variable.empty()) {
    const auto found = environment(variable);
    if (!found || found->empty()) {
      return wrong_config(map.path("url_env"), "the variable " + variable + " is not set");
    }
    out.url = *found;
  }
  // Does not connect: a wrong address is a mistake of the file, a broker that is away is not.
  if (auto opened = open_bus(out.url); !opened.ok()) {
    return wrong_config("backends." + name, opened.error().message());
  }
  return out;
}

Status check_route(const ManagerConfig& config, const RouteConfig& route, const std::string& where) {
  const std::string at = where.empty() ? "" : where + ".";
  for (const auto& [member, name] : {std::pair{"primary", &route.primary}, {"fallback", &route.fallback}}) {
    if (*name != kEmbedded && config.find(*name) == nullptr) {
      return wrong_config(at + member, "there is no backend " + *name);
    }
  }
  if (route.primary == kEmbedded && route.fallback != kEmbedded) {
    return wrong_config(at + "fallback",
                        "the embedded queue needs none: it is in the log without which nothing runs here");
  }
  if (route.primary != kEmbedded && route.primary == route.fallback) {
    return wrong_config(at + "fallback", "is the primary itself");
  }
  if (route.direct && route.primary == kEmbedded) {
    return wrong_config(at + "consumers", "of the embedded queue speak the API: broker needs a broker");
  }
  return {};
}

Result<RouteConfig> read_route(const ManagerConfig& config, const Value& value, const std::string& where) {
  const ConfigMap map(value, where, {"topic", "primary", "fallback", "consumers"});
  EZ_TRY(map.check());
  RouteConfig route;
  EZ_TRY(map.text("topic", route.topic));
  if (route.topic.empty()) return wrong_config(map.path("topic"), "is missing");
  if (Status good = check_pattern(route.topic); !good.ok()) {
    return wrong_config(map.path("topic"), good.error().message());
  }
  EZ_TRY(map.text("primary", route.primary));
  EZ_TRY(map.text("fallback", route.fallback));
  std::string consumers = "ez";
  EZ_TRY(map.text("consumers", consumers));
  if (consumers != "ez" && consumers != "broker") {
    return wrong_config(map.path("consumers"), "is ez or broker");
  }
  route.direct = consumers == "broker";
  EZ_TRY(check_route(config, route, where));
  return route;
}

Status read_events(const Value& value, EventsConfig& out) {
  const ConfigMap map(value, "events", {"topic", "source", "tasks"});
  EZ_TRY(map.check());
  EZ_TRY(map.text("topic", out.topic));
  EZ_TRY(map.text("source", out.source));
  if (out.topic.empty()) return wrong_config("events.topic", "is missing");
  if (Status good = check_topic(out.topic); !good.ok() || out.topic.find('/') != std::string::npos) {
    return wrong_config("events.topic", "must be a topic without a namespace: each run's own is taken");
  }
  // A URI-reference has no blanks, quotes or other letters than ASCII.
  if (out.source.size() > 200 || !std::all_of(out.source.begin(), out.source.end(), [](char c) {
        return c > ' ' && c < 127 && std::string_view("\"<>\\^`{|}").find(c) == std::string_view::npos;
      })) {
    return wrong_config("events.source", "must be a URI or a path of at most 200 characters");
  }
  if (const Value* tasks = map.find("tasks")) {
    if (!tasks->is_bool()) return wrong_config("events.tasks", "must be true or false");
    out.tasks = tasks->as_bool();
  }
  return {};
}

// As orchestration::is_name(): what a workflow can ask for.
bool is_agent_type(std::string_view name) {
  const auto inside = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return !name.empty() && name.size() <= 63 && name != "merge" && name[0] != '-' && name[0] != '_' &&
         std::all_of(name.begin(), name.end(), inside);
}

const RouteConfig* route_in(const ManagerConfig& config, std::string_view topic) {
  for (const RouteConfig& route : config.routes) {
    if (!route.topic.empty() && matches(route.topic, topic)) return &route;
  }
  return nullptr;
}

Result<DispatchConfig> read_dispatch(const ManagerConfig& config, const Value& value,
                                     const std::string& where) {
  const ConfigMap map(value, where, {"agent_type", "topic", "replies", "cancels", "capacity", "silence"});
  EZ_TRY(map.check());
  if (!value.is_map()) return wrong_config(where, "must be a map");
  DispatchConfig out;
  EZ_TRY(map.text("agent_type", out.agent_type));
  if (!is_agent_type(out.agent_type)) {
    return wrong_config(map.path("agent_type"),
                        out.agent_type.empty()
                            ? "is missing"
                            : "has 1 to 63 small letters, digits, - and _, and is not merge");
  }
  // They are given the merges of all tasks too, and those need git and the repository.
  if (out.agent_type == "exec") {
    return wrong_config(map.path("agent_type"),
                        "is exec, whose agents also merge: give these tasks another one");
  }
  for (const auto& [name, topic] :
       {std::pair{"topic", &out.topic}, {"replies", &out.replies}, {"cancels", &out.cancels}}) {
    EZ_TRY(map.text(name, *topic));
    if (topic->empty() && topic == &out.cancels) continue;
    if (topic->empty()) return wrong_config(map.path(name), "is missing");
    if (Status good = check_topic(*topic); !good.ok())
      return wrong_config(map.path(name), good.error().message());
  }
  if (out.replies == out.topic) return wrong_config(map.path("replies"), "is the topic of the tasks");
  if (out.cancels == out.topic) return wrong_config(map.path("cancels"), "is the topic of the tasks");
  if (out.cancels == out.replies) return wrong_config(map.path("cancels"), "is the topic of the replies");
  if (const RouteConfig* route = route_in(config, out.replies); route != nullptr && route->direct) {
    return wrong_config(map.path("replies"), "its route " + route->topic +
                                                 " is `consumers: broker`, so replies would not come in");
  }
  int capacity = static_cast<int>(out.capacity);
  EZ_TRY(map.number("capacity", 1, 1024, capacity));
  out.capacity = static_cast<std::uint32_t>(capacity);
  EZ_TRY(map.duration("silence", 1'000, 30LL * 24 * 3600 * 1000, out.silence_ms));
  return out;
}

// What one entry publishes another one may not take for replies.
Status check_beside(const ManagerConfig& config, const DispatchConfig& one, const std::string& where) {
  for (std::size_t i = 0; i < config.dispatch.size(); ++i) {
    const DispatchConfig& other = config.dispatch[i];
    const std::string there = "dispatch[" + std::to_string(i) + "]";
    if (other.agent_type == one.agent_type) {
      return wrong_config(where + ".agent_type", "is that of " + there + " too");
    }
    if (other.replies == one.replies) return wrong_config(where + ".replies", "is that of " + there + " too");
    for (const std::string* out : {&one.topic, &one.cancels}) {
      if (*out != other.replies) continue;
      return wrong_config(where + (out == &one.topic ? ".topic" : ".cancels"),
                          "is the topic of the replies of " + there);
    }
    for (const std::string* out : {&other.topic, &other.cancels}) {
      if (*out == one.replies) return wrong_config(where + ".replies", "is a topic that " + there + " fills");
    }
  }
  return {};
}

}  // namespace

const BackendConfig* ManagerConfig::find(std::string_view name) const {
  for (const BackendConfig& backend : backends) {
    if (backend.name == name) return &backend;
  }
  return nullptr;
}

Result<ManagerConfig> read_manager_config(const Value& file, const QueueEnvironment& environment) {
  const ConfigMap root(file, "",
                       {"backends", "primary", "fallback", "routes", "events", "dispatch", "health"});
  EZ_TRY(root.check());
  ManagerConfig config;
  if (const Value* backends = root.find("backends")) {
    if (!backends->is_map()) return wrong_config("backends", "must be a map of names");
    for (const auto& [name, backend] : backends->as_map()) {
      if (config.backends.size() == kMaxBackends) return wrong_config("backends", "at most 8 are possible");
      EZ_ASSIGN(BackendConfig one, read_backend(name, backend, environment));
      config.backends.push_back(std::move(one));
    }
  }
  if (const Value* routes = root.find("routes")) {
    if (!routes->is_list()) return wrong_config("routes", "must be a list");
    for (const Value& route : routes->as_list()) {
      if (config.routes.size() == kMaxRoutes) return wrong_config("routes", "at most 64 are possible");
      EZ_ASSIGN(RouteConfig one,
                read_route(config, route, "routes[" + std::to_string(config.routes.size()) + "]"));
      config.routes.push_back(std::move(one));
    }
  }
  RouteConfig rest;
  EZ_TRY(root.text("primary", rest.primary));
  EZ_TRY(root.text("fallback", rest.fallback));
  EZ_TRY(check_route(config, rest, ""));
  config.routes.push_back(std::move(rest));
  if (const Value* events = root.find("events")) EZ_TRY(read_events(*events, config.events));
  if (const Value* dispatch = root.find("dispatch")) {
    if (!dispatch->is_list()) return wrong_config("dispatch", "must be a list");
    for (const Value& entry : dispatch->as_list()) {
      if (config.dispatch.size() == kMaxDispatch) return wrong_config("dispatch", "at most 64 are possible");
      const std::string where = "dispatch[" + std::to_string(config.dispatch.size()) + "]";
      EZ_ASSIGN(DispatchConfig one, read_dispatch(config, entry, where));
      EZ_TRY(check_beside(config, one, where));
      config.dispatch.push_back(std::move(one));
    }
  }
  if (const Value* health = root.find("health")) {
    const ConfigMap map(*health, "health", {"every", "timeout", "fail_after", "return_after"});
    EZ_TRY(map.check());
    EZ_TRY(map.duration("every", 50, 60'000, config.check_every_ms));
    EZ_TRY(map.duration("timeout", 100, 60'000, config.check_timeout_ms));
    EZ_TRY(map.number("fail_after", 1, 100, config.fail_after));
    EZ_TRY(map.number("return_after", 1, 100, config.return_after));
  }
  return config;
}

ManagerConfig one_primary(std::string url) {
  ManagerConfig config;
  std::string name = url.substr(0, url.find_first_of(":+"));
  if (name == "rediss") name = "redis";
  if (name == "amqp" || name == "amqps") name = "rabbitmq";
  if (name == "kafkas") name = "kafka";
  if (!is_backend_name(name)) name = "broker";
  RouteConfig rest;
  rest.primary = name;
  config.backends.push_back({std::move(name), std::move(url)});
  config.routes.push_back(std::move(rest));
  return config;
}

}  // namespace ez::queue
