#include "app/queues.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "orchestration/source_tree.h"
#include "queue/open.h"
#include "telemetry/log.h"

namespace ez::app {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxQueuesBytes = 1024 * 1024;

Result<Value> read_queues_file(const cli::ServeOptions& options) {
  fs::path path = options.queues_file;
  if (path.empty()) {
    path = fs::path(options.data) / "queues.yaml";
    std::error_code ignored;
    if (!fs::exists(path, ignored)) return Value();
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error(Code::IoFailed, "read " + path.string());
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (text.size() > kMaxQueuesBytes) {
    return Error(Code::InvalidArgument, path.string() + " has more than 1 MiB");
  }
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return Value();
  orchestration::SourceError error;
  const auto tree = orchestration::SourceTree::parse(text, error);
  if (tree == nullptr) {
    return Error(Code::InvalidArgument, "queues.yaml: line " + std::to_string(error.at.line) + ", column " +
                                            std::to_string(error.at.column) + ": " + error.message);
  }
  return tree->to_value(tree->root());
}

}  // namespace

Result<queue::ManagerConfig> load_queues(const cli::ServeOptions& options) {
  if (!options.queue_url.empty()) {
    // Only looked at here: it is opened by the manager.
    auto opened = queue::open_bus(options.queue_url);
    if (!opened.ok()) return opened.error().in("--queue");
    return queue::one_primary(options.queue_url);
  }
  EZ_ASSIGN(const Value file, read_queues_file(options));
  std::vector<std::string> taken;
  auto config = queue::read_manager_config(file, [&](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    taken.push_back(name);
    return std::string(value);
  });
  for (const std::string& name : taken) ::unsetenv(name.c_str());
  return config;
}

Result<std::unique_ptr<queue::Manager>> start_queue_manager(const queue::ManagerConfig& config,
                                                            queue::EmbeddedBus& log) {
  std::string names;
  for (const queue::BackendConfig& backend : config.backends) {
    names += (names.empty() ? "" : ", ") + backend.name + " " + queue::without_password(backend.url);
  }
  EZ_ASSIGN(auto manager, queue::Manager::start(log, config));
  if (!names.empty()) EZ_LOG(kInfo, "up", "messages go through brokers", {"backends", names});
  return manager;
}

std::unique_ptr<engine::EventPublisher> start_events(const queue::ManagerConfig& config,
                                                     queue::Manager& bus) {
  if (config.events.topic.empty()) {
    engine::EventPublisher::forget(bus);
    return nullptr;
  }
  auto events = std::make_unique<engine::EventPublisher>(
      bus, engine::EventOptions{config.events.topic, config.events.source, config.events.tasks});
  events->start();
  const auto tell = [publisher = events.get()](const queue::QueueSwitch& one) {
    publisher->publish({"switch-" + std::to_string(one.epoch), "ez.queue.switched", one.route, one.at_ms,
                        Value(Value::Map{{"route", Value(one.route)},
                                         {"from", Value(one.from)},
                                         {"to", Value(one.to)},
                                         {"why", Value(one.why)},
                                         {"epoch", Value(static_cast<std::int64_t>(one.epoch))}})});
  };
  bus.on_switch(tell);
  // Those of this process that were before; told twice, the queue knows the id.
  const std::vector<queue::QueueSwitch> all = bus.switches();
  const std::size_t mine = std::min<std::size_t>(all.size(), bus.switches_total());
  for (std::size_t i = all.size() - mine; i < all.size(); ++i) tell(all[i]);
  EZ_LOG(kInfo, "up", "events are published", {"topic", config.events.topic});
  return events;
}

}  // namespace ez::app
