// The manager: routes that change while it runs, and what a migration needs of it.
#include <algorithm>

#include "base/clock.h"
#include "queue/manager/manager_core.h"
#include "queue/wait_for.h"
#include "telemetry/log.h"

namespace ez::queue {
namespace {

constexpr const char* kMovesKey = "queues/moves";

std::optional<Move> moving_of(const MoveRecord& record) {
  if (record.phase != MoveRecord::Phase::kCopying) return std::nullopt;
  return record.current;
}

}  // namespace

std::shared_ptr<const ManagerCore::Table> ManagerCore::table() const {
  std::lock_guard lock(mutex_);
  return table_;
}

ManagerCore::Route& ManagerCore::route_of(const Table& table, std::string_view topic) {
  for (const auto& route : table) {
    if (covers(route->rule, topic)) return *route;
  }
  return *table.back();
}

void ManagerCore::load_moves() {
  for (const auto& [key, text] : log_.settings(kMovesKey)) moves_ = read_moves(text);
  moves_.made = that_matter(config_.routes, moves_.made);
  const auto gone = [this](const std::string& name) {
    return name != kEmbedded && config_.find(name) == nullptr;
  };
  std::erase_if(moves_.made, [&](const Move& move) { return gone(move.to); });
  if (moves_.phase == MoveRecord::Phase::kNone) return;
  const bool lost = gone(moves_.current.from) || gone(moves_.current.to);
  EZ_LOG(kWarning, "queue",
         lost ? "a migration is unfinished, and a backend of it is not configured any more"
              : "a migration is unfinished: `ez queue migrate` goes on with it",
         {"from", moves_.current.from}, {"to", moves_.current.to});
}

void ManagerCore::rebuild() {
  std::optional<Move> moving = moving_of(moves_);
  // Without its backends it holds nothing.
  const auto known = [this](const std::string& name) {
    return name == kEmbedded || backend_named(name) != nullptr;
  };
  if (moving && (!known(moving->from) || !known(moving->to))) moving.reset();
  auto fresh = std::make_shared<Table>();
  const std::int64_t now_ms = system_clock().now_ms();
  for (RouteRule& rule : rules_of(config_.routes, moves_.made, moving)) {
    auto route = std::make_shared<Route>();
    route->primary = backend_named(rule.config.primary);
    route->fallback = backend_named(rule.config.fallback);
    route->since_ms = now_ms;
    // As it went until now: what changes is decided by reconsider().
    for (const auto& old : *table_) {
      if (old->rule.origin != rule.origin) continue;
      const bool same = old->rule.within == rule.within;
      if (!same && !old->rule.within.empty()) continue;
      route->active = old->active;
      route->since_ms = old->since_ms;
      if (same) break;
    }
    route->rule = std::move(rule);
    fresh->push_back(std::move(route));
  }
  table_ = std::move(fresh);
  ++epoch_;
}

void ManagerCore::hold_or_let_go() {
  MoveRecord record = moves();
  for (const auto& backend : backends_) {
    const std::string& name = backend->config.name;
    // What is being removed at the source is not taken in meanwhile.
    const bool held = (record.phase == MoveRecord::Phase::kCopying &&
                       (name == record.current.from || name == record.current.to)) ||
                      (record.phase == MoveRecord::Phase::kRemoving && name == record.current.from);
    held ? backend->inlet->hold() : backend->inlet->go_on();
  }
}

// By the configuration: a move changes brokers, not who consumes.
std::vector<ReaderRule> ManagerCore::reader_rules() const {
  std::vector<ReaderRule> out;
  for (const DispatchConfig& one : config_.dispatch) {
    out.push_back({one.replies, ReaderRule::Who::kOne, std::string(kDispatchGroup)});
    for (const std::string& topic : {one.topic, one.cancels}) {
      if (topic.empty() || !route_of(*table(), topic).rule.config.direct) continue;
      out.push_back({topic, ReaderRule::Who::kNobody, {}});
    }
  }
  std::size_t last = out.size();
  for (const RouteConfig& route : config_.routes) {
    if (route.topic.empty()) continue;
    out.push_back({route.topic, route.direct ? ReaderRule::Who::kNobody : ReaderRule::Who::kAll, {}});
    if (route.direct) last = out.size();
  }
  out.resize(last);
  return out;
}

bool ManagerCore::is_reply_topic(const std::string& topic) const {
  return std::any_of(config_.dispatch.begin(), config_.dispatch.end(),
                     [&](const DispatchConfig& one) { return one.replies == topic; });
}

void ManagerCore::start_relays() {
  relays_.resize(config_.routes.size());
  for (std::size_t origin = 0; origin < config_.routes.size(); ++origin) {
    if (!config_.routes[origin].direct) continue;
    Relay::Hooks hooks;
    hooks.active = [this](const std::string& topic) -> Bus* {
      std::lock_guard lock(mutex_);
      Backend* const active = route_of(*table_, topic).active;
      return active == nullptr ? nullptr : active->bus.get();
    };
    hooks.is_mine = [this, origin](const std::string& topic) {
      return route_of(*table(), topic).rule.origin == origin;
    };
    hooks.count = [this](Bus* broker, std::uint64_t sent, std::uint64_t failed) {
      for (const auto& backend : backends_) {
        if (backend->bus.get() != broker) continue;
        backend->sent += sent;
        backend->not_sent += failed;
      }
    };
    relays_[origin] = std::make_unique<Relay>(log_, config_.routes[origin].topic, std::move(hooks));
  }
}

// ---- for a migration ----

Bus* ManagerCore::bus_named(const std::string& name) {
  if (name == kEmbedded) return &log_;
  Backend* const found = backend_named(name);
  return found == nullptr ? nullptr : found->bus.get();
}

MoveRecord ManagerCore::moves() const {
  std::lock_guard lock(mutex_);
  return moves_;
}

Status ManagerCore::adopt(MoveRecord record) {
  record.made = that_matter(config_.routes, record.made);
  const auto kept =
      wait_for<bool>([&](auto done) { log_.set(kMovesKey, write_moves(record), std::move(done)); });
  if (!kept.ok()) return kept.error();
  {
    std::lock_guard lock(mutex_);
    moves_ = std::move(record);
    rebuild();
  }
  reconsider();
  hold_or_let_go();
  // What a relay was just sending to where it is not to be sent any more.
  for (const auto& relay : relays_) {
    if (relay) relay->settle();
  }
  return {};
}

std::vector<RouteRule> ManagerCore::changed_by(const Move& move) const {
  std::vector<RouteRule> out;
  for (RouteRule& rule : rules_of(config_.routes, moves().made, std::nullopt)) {
    if (rule.config.primary != move.from) continue;
    if (!move.topic.empty()) {
      if (!rule.config.topic.empty() && !overlap(rule.config.topic, move.topic)) continue;
      if (!std::all_of(rule.within.begin(), rule.within.end(),
                       [&](const std::string& pattern) { return overlap(pattern, move.topic); })) {
        continue;
      }
      rule.within.push_back(move.topic);
    }
    out.push_back(std::move(rule));
  }
  return out;
}

bool ManagerCore::travels_to(const std::string& topic, const std::string& target) const {
  const RouteRule rule = route_of(*table(), topic).rule;
  return !rule.config.direct && (rule.config.primary == kEmbedded || rule.config.primary == target);
}

}  // namespace ez::queue
