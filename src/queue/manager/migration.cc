// A migration: what is asked of it, and its way from begin to end.
#include "queue/manager/migration.h"

#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/thread_name.h"
#include "queue/topic.h"
#include "telemetry/log.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;
using State = MigrationView::State;

constexpr milliseconds kReachWait{5'000};
constexpr int kMostPasses = 20;

bool is_same(const Move& move, const MigrationRequest& request) {
  return move.from == request.from && move.to == request.to && move.topic == request.topic;
}

std::string named(const Move& move) {
  return move.from + " to " + move.to + (move.topic.empty() ? "" : " of " + move.topic);
}

std::vector<std::string> names_of(const std::vector<RouteRule>& rules) {
  std::vector<std::string> out;
  for (const RouteRule& rule : rules) {
    if (std::find(out.begin(), out.end(), name_of(rule)) == out.end()) out.push_back(name_of(rule));
  }
  return out;
}

}  // namespace

std::string_view to_text(MigrationView::State state) {
  constexpr std::string_view kNames[] = {"none",     "preview", "copying", "verifying",
                                         "removing", "done",    "stopped", "given_up"};
  return kNames[static_cast<std::size_t>(state)];
}

// ---- what is asked ----

Status Migration::reach(const std::string& name) {
  if (name == kEmbedded) return {};
  auto answer = check_health_and_wait(*host_.bus_named(name), kReachWait);
  return answer.ok() ? Status{} : Status(answer.error().in(name));
}

Status Migration::check(const MigrationRequest& request, bool fresh) {
  for (const std::string& name : {request.from, request.to}) {
    if (host_.bus_named(name) == nullptr) {
      return Error(Code::InvalidArgument, "there is no backend " + name,
                   "`ez queue backends` lists those of the configuration; the server's own is `embedded`.");
    }
    if (name != kEmbedded && host_.bus_named(name)->inventory() == nullptr) {
      return Error(Code::InvalidArgument, "the backend " + name + " cannot show what lies there");
    }
  }
  if (request.from == request.to) {
    return Error(Code::InvalidArgument, request.from + " is both where messages come from and where they go");
  }
  if (!request.topic.empty()) EZ_TRY(check_pattern(request.topic));
  if (file_.empty()) return Error(Code::InvalidArgument, "this server has no folder for a migration");
  EZ_TRY(reach(request.from));
  EZ_TRY(reach(request.to));
  if (!fresh) return {};
  const Move move{request.from, request.to, request.topic, 0};
  for (const RouteRule& rule : host_.changed_by(move)) {
    if (rule.config.direct && request.to == kEmbedded) {
      return Error(Code::InvalidArgument,
                   "consumers of " + name_of(rule) + " speak the broker: the embedded queue has none",
                   "Change `consumers` of the route in queues.yaml first, or name other topics.");
    }
  }
  if (host_.moves().made.size() >= kMaxMoves) {
    return Error(Code::Overloaded, "64 migrations are kept that queues.yaml does not know of",
                 "Write the routes that `ez queue backends` shows into queues.yaml, and start ez again.");
  }
  return {};
}

Result<std::vector<std::string>> Migration::topics_of(const MigrationRequest& request) {
  Inventory* const source = host_.bus_named(request.from)->inventory();
  auto all = source->known_topics();
  if (!all.ok()) return all.error().in(request.from);
  std::erase_if(*all, [&](const std::string& topic) {
    if (!request.topic.empty() && !matches(request.topic, topic)) return true;
    return request.from == kEmbedded && !host_.travels_to(topic, request.to);
  });
  return all;
}

Status Migration::check_target(const MigrationRequest& request, const std::vector<std::string>& topics) {
  if (request.append || request.to == kEmbedded) return {};
  Inventory* const source = host_.bus_named(request.from)->inventory();
  Inventory* const target = host_.bus_named(request.to)->inventory();
  for (const std::string& topic : topics) {
    bool wanted = false;
    const Status asked = source->look(topic, false, [&](Lying& lying) -> Result<bool> {
      EZ_TRY(stopped());
      wanted = wanted || seen(std::move(lying), true, request).kind == Copy::Kind::kMove;
      return wanted ? Result<bool>(Error(Code::CallCancelled, "enough")) : Result<bool>(false);
    });
    if (!asked.ok() && asked.error().code() != Code::CallCancelled) return asked.error().in(request.from);
    if (!wanted) continue;
    std::uint64_t there = 0;
    const Status looked = target->look(topic, false, [&](Lying& lying) -> Result<bool> {
      EZ_TRY(stopped());
      const Copy copy = copy_of(std::move(lying), host_.journal(), system_clock().now_ms());
      if (copy.kind != Copy::Kind::kOwn) ++there;
      return false;
    });
    if (!looked.ok()) return looked.error().in(request.to);
    if (there > 0) {
      return Error(Code::WrongState,
                   request.to + " holds " + std::to_string(there) + " messages of " + topic + " already",
                   "Let them be consumed, or say --append: what is moved then goes behind them.");
    }
  }
  return {};
}

Result<MigrationView> Migration::preview(const MigrationRequest& request) {
  const MoveRecord record = host_.moves();
  const bool fresh = record.phase == MoveRecord::Phase::kNone;
  if (!fresh && !is_same(record.current, request)) {
    return Error(Code::WrongState, "the migration from " + named(record.current) + " is unfinished",
                 "Call that one again, or give it up with `ez queue migrate --give-up`.");
  }
  EZ_TRY(check(request, fresh));
  EZ_ASSIGN(const std::vector<std::string> topics, topics_of(request));
  if (fresh) EZ_TRY(check_target(request, topics));
  MigrationView out;
  out.state = State::kPreview;
  out.request = request;
  out.switched = record.phase == MoveRecord::Phase::kRemoving;
  out.routes = names_of(host_.changed_by({request.from, request.to, request.topic, 0}));
  Inventory* const source = host_.bus_named(request.from)->inventory();
  for (const std::string& topic : topics) {
    MigratedTopic one;
    one.topic = topic;
    std::unordered_map<Digest, bool, DigestHash> known;
    const Status looked = source->look(topic, false, [&](Lying& lying) -> Result<bool> {
      EZ_TRY(stopped());
      const Copy copy = seen(std::move(lying), true, request);
      switch (copy.kind) {
        case Copy::Kind::kOwn:
          ++one.own;
          break;
        case Copy::Kind::kExpired:
          ++one.expired;
          break;
        case Copy::Kind::kRefused:
          ++one.refused;
          break;
        case Copy::Kind::kMove:
          if (!known.emplace(copy.digest, true).second) break;
          ++one.messages;
          one.delayed += copy.delayed ? 1 : 0;
          one.bytes += copy.message.payload.size();
      }
      return false;
    });
    if (!looked.ok()) return looked.error().in(request.from);
    std::vector<Digest> all;
    for (const auto& [digest, ignored] : known) all.push_back(digest);
    one.source_hash = digest_of(std::move(all));
    if (one.messages + one.own + one.expired + one.refused > 0) out.topics.push_back(std::move(one));
  }
  return out;
}

Status Migration::start(const MigrationRequest& request) {
  std::lock_guard starting(starting_);
  MoveRecord record = host_.moves();
  if (running_) {
    return Error(Code::WrongState, "the migration from " + named(record.current) + " is under way",
                 "`ez queue migrate --status` shows it.");
  }
  const bool fresh = record.phase == MoveRecord::Phase::kNone;
  if (!fresh && !is_same(record.current, request)) {
    return Error(Code::WrongState, "the migration from " + named(record.current) + " is unfinished",
                 "Call that one again, or give it up with `ez queue migrate --give-up`.");
  }
  EZ_TRY(check(request, fresh));
  if (fresh) {
    EZ_ASSIGN(const std::vector<std::string> topics, topics_of(request));
    EZ_TRY(check_target(request, topics));
    record.phase = MoveRecord::Phase::kCopying;
    record.current = {request.from, request.to, request.topic, system_clock().now_ms()};
    EZ_TRY(host_.adopt(record));
  }
  if (thread_.joinable()) thread_.join();
  work_.clear();
  total_ = 0;
  {
    std::lock_guard lock(mutex_);
    view_ = {};
    view_.request = request;
    view_.began_ms = system_clock().now_ms();
    view_.state = record.phase == MoveRecord::Phase::kRemoving ? State::kRemoving : State::kCopying;
    view_.switched = record.phase == MoveRecord::Phase::kRemoving;
  }
  running_ = true;
  thread_ = std::thread([this, request, phase = record.phase] { run(request, phase); });
  return {};
}

Result<std::string> Migration::give_up() {
  std::lock_guard starting(starting_);
  MoveRecord record = host_.moves();
  if (running_ || record.phase == MoveRecord::Phase::kNone) {
    return Error(Code::WrongState,
                 running_ ? "the migration is under way" : "there is no unfinished migration",
                 "`ez queue migrate --status` shows it.");
  }
  const MigrationRequest request{record.current.from, record.current.to, record.current.topic, false};
  std::string problem;
  const bool copies = record.phase == MoveRecord::Phase::kCopying && request.to != kEmbedded;
  if (copies && host_.bus_named(request.to) != nullptr && host_.bus_named(request.from) != nullptr) {
    // What is at the target and at the source, is at the target because of this.
    const auto clear = [&]() -> Status {
      EZ_ASSIGN(const std::vector<std::string> topics, topics_of(request));
      for (const std::string& topic : topics) {
        std::unordered_map<Digest, bool, DigestHash> known;
        EZ_TRY(
            host_.bus_named(request.from)->inventory()->look(topic, false, [&](Lying& lying) -> Result<bool> {
              const Copy copy = seen(std::move(lying), true, request);
              if (copy.kind == Copy::Kind::kMove) known.emplace(copy.digest, true);
              return false;
            }));
        EZ_TRY(host_.bus_named(request.to)->inventory()->look(topic, true, [&](Lying& lying) -> Result<bool> {
          const Copy copy = seen(std::move(lying), false, request);
          return copy.kind == Copy::Kind::kMove && known.contains(copy.digest);
        }));
      }
      return {};
    };
    if (const Status cleared = clear(); !cleared.ok()) {
      problem = "copies may be left at " + request.to + ": " + cleared.error().to_string();
    }
  }
  record.phase = MoveRecord::Phase::kNone;
  record.current = {};
  EZ_TRY(host_.adopt(record));
  ::unlink(file_.c_str());
  std::lock_guard lock(mutex_);
  view_.request = request;
  view_.state = State::kGivenUp;
  view_.ended_ms = system_clock().now_ms();
  view_.problem = problem;
  return problem;
}

MigrationView Migration::view() const {
  const MoveRecord record = host_.moves();
  std::lock_guard lock(mutex_);
  MigrationView out = view_;
  if (!running_ && record.phase != MoveRecord::Phase::kNone && out.state != State::kStopped) {
    // Of a former life of the server.
    out = {};
    out.state = State::kStopped;
    out.request = {record.current.from, record.current.to, record.current.topic, false};
    out.began_ms = record.current.at_ms;
    out.switched = record.phase == MoveRecord::Phase::kRemoving;
    out.problem = "ez was stopped meanwhile";
  }
  return out;
}

void Migration::stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

// ---- its way ----

Status Migration::stopped() const {
  return stop_ ? Status(Error(Code::ShuttingDown, "ez is being stopped")) : Status{};
}

void Migration::set_state(State state) {
  std::lock_guard lock(mutex_);
  view_.state = state;
}

void Migration::run(const MigrationRequest& request, MoveRecord::Phase phase) {
  name_thread("ez-queue-move");
  EZ_LOG(kInfo, "queue", "messages are being moved", {"from", request.from}, {"to", request.to},
         {"topic", request.topic.empty() ? "#" : request.topic});
  Status status;
  if (phase == MoveRecord::Phase::kCopying) {
    status = copy_all(request);
    if (status.ok()) {
      set_state(State::kVerifying);
      for (auto& [topic, work] : work_) {
        if (status.ok()) status = verify(request, work);
      }
    }
    if (status.ok()) status = hand_over(request);
  }
  if (status.ok()) {
    set_state(State::kRemoving);
    status = remove_all(request);
  }
  if (status.ok()) status = finish(request);
  {
    std::lock_guard lock(mutex_);
    view_.state = status.ok() ? State::kDone : State::kStopped;
    view_.ended_ms = system_clock().now_ms();
    view_.problem = status.ok() ? "" : status.error().to_string();
  }
  work_.clear();
  if (status.ok()) {
    EZ_LOG(kInfo, "queue", "messages were moved", {"from", request.from}, {"to", request.to},
           {"messages", total_});
  } else {
    EZ_LOG(kWarning, "queue", "moving messages has stopped; the same call goes on", {"from", request.from},
           {"to", request.to}, {"error", status.error().to_string()});
  }
  running_ = false;
}

Status Migration::copy_all(const MigrationRequest& request) {
  // Again until nothing new is found: what somebody publishes at the source meanwhile goes along.
  for (int pass = 0; pass < kMostPasses; ++pass) {
    EZ_ASSIGN(const std::vector<std::string> topics, topics_of(request));
    std::uint64_t fresh = 0;
    for (const std::string& topic : topics) {
      EZ_ASSIGN(const std::uint64_t some, copy_topic(request, topic));
      fresh += some;
    }
    // The log does not wait: what it gets meanwhile is not on its way to a broker anyway.
    if (fresh == 0 || request.from == kEmbedded) return {};
  }
  return Error(Code::WrongState, "somebody goes on publishing at " + request.from,
               "Stop who publishes there, and call again.");
}

// The switch: first what may be removed afterwards, then the record that says so.
Status Migration::hand_over(const MigrationRequest& request) {
  Manifest manifest;
  for (const auto& [topic, work] : work_) {
    for (const auto& [digest, sent] : work.sent) manifest.digests.push_back(digest);
  }
  std::sort(manifest.digests.begin(), manifest.digests.end());
  EZ_TRY(manifest.write(file_));
  EZ_TRY(stopped());
  MoveRecord record = host_.moves();
  const Move move{request.from, request.to, request.topic, system_clock().now_ms()};
  std::vector<std::string> routes = names_of(host_.changed_by(move));
  record.made.push_back(move);
  record.phase = MoveRecord::Phase::kRemoving;
  EZ_TRY(host_.adopt(record));
  std::lock_guard lock(mutex_);
  view_.switched = true;
  view_.routes = std::move(routes);
  return {};
}

Status Migration::remove_all(const MigrationRequest& request) {
  if (request.from == kEmbedded) return {};
  EZ_ASSIGN(const Manifest manifest, Manifest::read(file_));
  EZ_ASSIGN(const std::vector<std::string> topics, topics_of(request));
  Inventory* const source = host_.bus_named(request.from)->inventory();
  for (const std::string& topic : topics) {
    TopicWork& work = work_[topic];
    MigratedTopic& figures = work.figures;
    figures.topic = topic;
    const Status looked = source->look(topic, true, [&](Lying& lying) -> Result<bool> {
      EZ_TRY(stopped());
      const Copy copy = seen(std::move(lying), true, request);
      const bool may = copy.kind == Copy::Kind::kOwn || copy.kind == Copy::Kind::kExpired ||
                       (copy.kind == Copy::Kind::kMove && manifest.contains(copy.digest));
      ++(may ? figures.removed : figures.left);
      return may;
    });
    publish_figures(work);
    if (!looked.ok()) return looked.error().in(request.from);
  }
  return {};
}

Status Migration::finish(const MigrationRequest&) {
  MoveRecord record = host_.moves();
  record.phase = MoveRecord::Phase::kNone;
  record.current = {};
  EZ_TRY(host_.adopt(record));
  ::unlink(file_.c_str());
  return {};
}

}  // namespace ez::queue
