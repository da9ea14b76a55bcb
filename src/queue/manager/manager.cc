// The manager: brokers, routes, health, switches.
#include "queue/manager/manager.h"

#include <algorithm>

#include "base/clock.h"
#include "base/json.h"
#include "base/random.h"
#include "base/thread_name.h"
#include "queue/manager/manager_core.h"
#include "queue/open.h"
#include "queue/topic.h"
#include "queue/wait_for.h"
#include "telemetry/log.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kSwitchesKept = 100;
constexpr const char* kJournalKey = "queues/journal";
constexpr const char* kSwitchesKey = "queues/switches";

ManagerConfig with_rest(ManagerConfig config) {
  if (config.routes.empty()) config.routes.emplace_back();
  return config;
}

std::string encode_switches(const std::deque<QueueSwitch>& switches) {
  Value::List all;
  for (const QueueSwitch& one : switches) {
    all.push_back(Value(Value::Map{{"epoch", Value(static_cast<std::int64_t>(one.epoch))},
                                   {"at_ms", Value(one.at_ms)},
                                   {"route", Value(one.route)},
                                   {"from", Value(one.from)},
                                   {"to", Value(one.to)},
                                   {"why", Value(one.why)}}));
  }
  return to_json(Value(std::move(all)));
}

}  // namespace

Result<std::unique_ptr<Manager>> Manager::start(EmbeddedBus& log, ManagerConfig config, OpenBus open) {
  if (!open) open = [](const BackendConfig& backend) { return open_bus(backend.url); };
  auto core = std::make_unique<ManagerCore>(log, std::move(config));
  EZ_TRY(core->begin(open));
  return std::unique_ptr<Manager>(std::move(core));
}

ManagerCore::ManagerCore(EmbeddedBus& log, ManagerConfig config)
    : log_(log), config_(with_rest(std::move(config))) {}

// Relays and inlets use brokers and the log, so they end first; what a broker still has to say about copies
// comes back while it is being closed.
ManagerCore::~ManagerCore() {
  if (migration_) migration_->stop();
  {
    std::unique_lock lock(mutex_);
    stop_ = true;
    wake_.notify_all();
    wake_.wait(lock, [&] { return publishing_ == 0; });  // the log answers everything
  }
  if (thread_.joinable()) thread_.join();
  relays_.clear();
  for (const auto& backend : backends_) backend->inlet.reset();
  for (const auto& backend : backends_) backend->bus.reset();
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return sending_ == 0; });
}

Status ManagerCore::begin(const OpenBus& open) {
  BreakerOptions options;
  options.fail_after = config_.fail_after;
  options.return_after = config_.return_after;
  for (const BackendConfig& config : config_.backends) {
    auto backend = std::make_unique<Backend>(config, options);
    EZ_ASSIGN(backend->bus, open(config));
    backends_.push_back(std::move(backend));
  }
  std::vector<std::string> names;
  for (const auto& backend : backends_) names.push_back(backend->config.name);
  farewells_ = std::make_unique<Farewells>(log_, std::move(names));
  load_switches();
  load_moves();
  {
    std::lock_guard lock(mutex_);
    rebuild();
  }
  migration_ = std::make_unique<Migration>(
      *this, config_.folder.empty() ? "" : config_.folder + "/queue-migration.manifest");
  if (backends_.empty()) return {};
  journal_ = load_journal();
  if (journal_.empty()) return Error(Code::IoFailed, "the queue's log does not take the name of its journal");
  for (const auto& backend : backends_) {
    backend->bus->set_reader_rules(reader_rules());
    Inlet::Hooks hooks;
    hooks.is_direct = [this](const std::string& topic) {
      return route_of(*table(), topic).rule.config.direct;
    };
    hooks.is_active = [this, which = backend.get()] {
      std::lock_guard lock(mutex_);
      return std::any_of(table_->begin(), table_->end(),
                         [&](const auto& route) { return route->active == which; });
    };
    hooks.served = [this](const std::string& pattern, const std::string& group, bool on) {
      served(pattern, group, on);
    };
    backend->inlet =
        std::make_unique<Inlet>(backend->config.name, *backend->bus, log_, journal_, std::move(hooks));
  }
  hold_or_let_go();
  start_relays();
  thread_ = std::thread([this] { watch(); });
  return {};
}

std::string ManagerCore::load_journal() {
  for (const auto& [key, value] : log_.settings(kJournalKey)) return value;
  std::string name;
  for (std::uint64_t bits = system_random().next(), i = 0; i < 12; ++i, bits >>= 4) {
    name.push_back("0123456789abcdef"[bits & 15]);
  }
  const auto set = wait_for<bool>([&](auto done) { log_.set(kJournalKey, name, std::move(done)); });
  return set.ok() ? name : "";
}

void ManagerCore::load_switches() {
  for (const auto& [key, text] : log_.settings(kSwitchesKey)) {
    const auto parsed = parse_json(text);
    if (!parsed.ok() || !parsed->is_list()) return;
    for (const Value& one : parsed->as_list()) {
      QueueSwitch made;
      made.epoch = static_cast<std::uint64_t>(one.int_or("epoch", 0));
      made.at_ms = one.int_or("at_ms", 0);
      made.route = one.string_or("route", "");
      made.from = one.string_or("from", "");
      made.to = one.string_or("to", "");
      made.why = one.string_or("why", "");
      epoch_ = std::max(epoch_, made.epoch);
      switches_.push_back(std::move(made));
    }
  }
}

ManagerCore::Backend* ManagerCore::backend_named(std::string_view name) const {
  for (const auto& backend : backends_) {
    if (backend->config.name == name) return backend.get();
  }
  return nullptr;
}

std::string ManagerCore::name_of(const Backend* backend) {
  return backend == nullptr ? std::string(kEmbedded) : backend->config.name;
}

std::vector<ManagerCore::Backend*> ManagerCore::up() const {
  std::lock_guard lock(mutex_);
  std::vector<Backend*> out;
  for (const auto& backend : backends_) {
    if (backend->breaker.up()) out.push_back(backend.get());
  }
  return out;
}

// ---- health ----

void ManagerCore::watch() {
  name_thread("ez-queue-watch");
  while (true) {
    {
      std::unique_lock lock(mutex_);
      const std::int64_t step_ms = std::clamp<std::int64_t>(config_.check_every_ms / 4, 10, 100);
      wake_.wait_for(lock, milliseconds(step_ms), [&] { return stop_; });
      if (stop_) return;
    }
    bool changed = false;
    for (const auto& backend : backends_) changed = check(*backend) || changed;
    if (changed) reconsider();
    for (Backend* backend : up()) farewells_->attempt(backend->config.name, *backend->bus);
  }
}

bool ManagerCore::check(Backend& backend) {
  const std::int64_t now_us = system_clock().monotonic_us();
  const std::int64_t timeout_us = config_.check_timeout_ms * 1000;
  if (!backend.probe) {
    if (now_us < backend.next_check_us) return false;
    auto probe = std::make_shared<Probe>();
    probe->began_us = now_us;
    probe->blamed_us = now_us;
    backend.probe = probe;
    backend.next_check_us = now_us + config_.check_every_ms * 1000;
    backend.bus->check_health(milliseconds(config_.check_timeout_ms), [probe](Result<std::int64_t> answer) {
      std::lock_guard lock(probe->mutex);
      probe->answer.emplace(std::move(answer));
    });
  }
  std::optional<Result<std::int64_t>> answer;
  {
    std::lock_guard lock(backend.probe->mutex);
    answer = std::move(backend.probe->answer);
  }
  if (answer) backend.probe.reset();
  std::lock_guard lock(mutex_);
  bool changed = false;
  if (answer && answer->ok()) {
    backend.round_trip_us = **answer;
    changed = backend.breaker.succeeded(now_us / 1000);
  } else if (answer) {
    changed = backend.breaker.failed(now_us / 1000, answer->error());
  } else if (now_us - backend.probe->blamed_us >= timeout_us) {
    // It hangs in the broker's hands; each timeout counts as a failure of its own.
    backend.probe->blamed_us = now_us;
    changed = backend.breaker.failed(
        now_us / 1000,
        Error(Code::QueueUnreachable, "no answer for " + std::to_string(config_.check_timeout_ms) + " ms"));
  }
  if (changed) backend.changed_wall = system_clock().now_ms();
  return changed;
}

void ManagerCore::reconsider() {
  std::lock_guard switching(switching_);
  std::vector<QueueSwitch> made;
  {
    std::lock_guard lock(mutex_);
    for (const auto& route : *table_) {
      Backend* target = nullptr;
      for (Backend* one : {route->primary, route->fallback}) {
        if (!route->rule.held && target == nullptr && one != nullptr && one->breaker.up()) target = one;
      }
      if (target == route->active) continue;
      QueueSwitch one;
      one.epoch = ++epoch_;
      one.at_ms = system_clock().now_ms();
      one.route = ez::queue::name_of(route->rule);
      one.from = name_of(route->active);
      one.to = name_of(target);
      const bool fell = route->active != nullptr && !route->active->breaker.up();
      if (route->rule.held) {
        one.why = "messages are being moved to " + moves_.current.to;
      } else if (fell && route->active->breaker.why()) {
        one.why = one.from + ": " + route->active->breaker.why()->to_string();
      } else {
        one.why = one.to + " answers";
      }
      one.why.resize(std::min<std::size_t>(one.why.size(), 300));
      route->active = target;
      route->since_ms = one.at_ms;
      switches_.push_back(one);
      if (switches_.size() > kSwitchesKept) switches_.pop_front();
      ++switches_total_;
      made.push_back(std::move(one));
    }
  }
  if (made.empty()) return;
  // From here on nothing is sent to the old one (see publish()); what was on its way is in the log.
  log_.all_arrived();
  for (const auto& relay : relays_) {
    if (relay) relay->poke();
  }
  record(made);
  std::lock_guard lock(tell_mutex_);
  if (!on_switch_) return;
  for (const QueueSwitch& one : made) on_switch_(one);
}

void ManagerCore::record(const std::vector<QueueSwitch>& made) {
  for (const QueueSwitch& one : made) {
    EZ_LOG(kWarning, "queue", "messages go another way", {"route", one.route}, {"from", one.from},
           {"to", one.to}, {"why", one.why}, {"epoch", one.epoch});
  }
  std::string text;
  {
    std::lock_guard lock(mutex_);
    text = encode_switches(switches_);
  }
  log_.set(kSwitchesKey, std::move(text), [](const Result<bool>& done) {
    if (!done.ok())
      EZ_LOG(kWarning, "queue", "a switch is not recorded", {"error", done.error().to_string()});
  });
}

void ManagerCore::served(const std::string& pattern, const std::string& group, bool on) {
  std::lock_guard lock(gates_mutex_);
  int& brokers = gates_[{pattern, group}];
  brokers += on ? 1 : -1;
  if (on && brokers == 1) log_.gate(pattern, group, true);
  if (brokers > 0) return;
  gates_.erase({pattern, group});
  log_.gate(pattern, group, false);
}

// ---- views ----

std::vector<BackendStatus> ManagerCore::backends() {
  std::vector<BackendStatus> out;
  for (const auto& backend : backends_) {
    BackendStatus one;
    one.name = backend->config.name;
    one.kind = backend->bus->capabilities().backend;
    one.url = without_password(backend->config.url);
    one.trouble = backend->inlet->trouble();
    one.sent = backend->sent;
    one.not_sent = backend->not_sent;
    const InletCounters& in = backend->inlet->counters();
    one.own = in.own;
    one.strange = in.strange;
    one.repeated = in.repeated;
    one.refused = in.refused;
    std::lock_guard lock(mutex_);
    one.up = backend->breaker.up();
    one.since_ms = backend->changed_wall;
    one.round_trip_us = backend->round_trip_us;
    if (backend->breaker.why()) one.why = backend->breaker.why()->to_string();
    out.push_back(std::move(one));
  }
  return out;
}

std::vector<RouteStatus> ManagerCore::routes() {
  std::vector<RouteStatus> out;
  const auto all = table();
  for (const auto& route : *all) {
    const RouteRule& rule = route->rule;
    RouteStatus one;
    one.topic = ez::queue::name_of(rule);
    one.primary = rule.config.primary;
    one.fallback = rule.config.fallback;
    one.direct = rule.config.direct;
    one.held = rule.held;
    one.moved = !rule.held && rule.config != config_.routes[rule.origin];
    const Relay* relay = rule.origin < relays_.size() ? relays_[rule.origin].get() : nullptr;
    if (relay != nullptr) one.waiting = log_.unsettled(relay->pattern(), std::string(Relay::kGroup));
    std::lock_guard lock(mutex_);
    one.active = name_of(route->active);
    one.since_ms = route->since_ms;
    out.push_back(std::move(one));
  }
  return out;
}

std::vector<QueueSwitch> ManagerCore::switches() {
  std::lock_guard lock(mutex_);
  return {switches_.begin(), switches_.end()};
}

std::uint64_t ManagerCore::switches_total() {
  std::lock_guard lock(mutex_);
  return switches_total_;
}

std::string ManagerCore::active(const std::string& topic) {
  std::lock_guard lock(mutex_);
  return name_of(route_of(*table_, topic).active);
}

void ManagerCore::on_switch(std::function<void(const QueueSwitch&)> callback) {
  std::lock_guard lock(tell_mutex_);
  on_switch_ = std::move(callback);
}

std::vector<AtBroker> ManagerCore::at_brokers(const std::string& pattern, milliseconds wait) {
  std::vector<AtBroker> out;
  for (Backend* backend : up()) {
    struct Box {
      std::mutex mutex;
      std::condition_variable filled;
      std::optional<Result<std::vector<TopicCounts>>> counts;
    };
    auto box = std::make_shared<Box>();
    backend->bus->counts(pattern, [box](Result<std::vector<TopicCounts>> counts) {
      std::lock_guard lock(box->mutex);
      box->counts.emplace(std::move(counts));
      box->filled.notify_all();
    });
    std::unique_lock lock(box->mutex);
    box->filled.wait_for(lock, wait, [&] { return box->counts.has_value(); });
    if (!box->counts || !box->counts->ok()) continue;
    for (const TopicCounts& one : **box->counts) {
      out.push_back({one.topic, backend->config.name, one.ready, one.delayed});
    }
  }
  return out;
}

}  // namespace ez::queue
