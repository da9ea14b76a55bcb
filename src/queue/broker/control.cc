#include "queue/broker/control.h"

#include <algorithm>

#include "base/clock.h"
#include "base/thread_name.h"
#include "telemetry/log.h"

namespace ez::queue::broker {
namespace {

constexpr std::chrono::milliseconds kTick{200};  // how late the topics of other handles are noticed
// Jobs that follow each other without end must not keep the signs of life from being given.
constexpr std::int64_t kOverdueUs = 10'000'000;
constexpr std::int64_t kMaxPauseMs = 500;

std::int64_t now_us() { return system_clock().monotonic_us(); }

// Says something of the request, not of the connection: the session is as good as before.
bool harmless(Code code) {
  return code == Code::TopicNotFound || code == Code::InvalidArgument || code == Code::QueueFull;
}

// Whether messages of the topic go into that queue.
bool reads(const Registry& registry, const std::string& topic, QueueNumber queue) {
  const std::vector<QueueNumber> queues = registry.queues_of(topic);
  return std::ranges::find(queues, queue) != queues.end();
}

}  // namespace

Control::Control(Driver& driver, std::function<void()> changed)
    : driver_(driver), changed_(std::move(changed)) {}

void Control::start() {
  thread_ = std::thread([this] { loop(); });
}

void Control::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  ready_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Control::~Control() {
  stop();
  for (Job& job : jobs_) job.done(Error(Code::ShuttingDown, "the queue is being closed"));
}

void Control::submit(Work work, std::chrono::milliseconds limit, std::function<void(Status)> done) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back({std::move(work), std::move(done), now_us() + limit.count() * 1000});
  }
  ready_.notify_all();
}

Status Control::run(Work work, std::chrono::milliseconds limit) {
  std::mutex mutex;
  std::condition_variable answered;
  std::optional<Status> answer;
  submit(std::move(work), limit, [&](Status status) {
    std::lock_guard lock(mutex);
    answer = std::move(status);
    answered.notify_all();
  });
  std::unique_lock lock(mutex);
  answered.wait(lock, [&] { return answer.has_value(); });
  return *answer;
}

Status Control::attempt(const Work& work) {
  if (!session_) {
    auto opened = driver_.open_control();
    if (!opened.ok()) return opened.error();
    session_ = std::move(*opened);
    // A new session reads the whole log again. Until it has, what was known before holds.
    auto events = session_->read_registry();
    if (!events.ok()) {
      session_.reset();
      return events.error();
    }
    Registry fresh;
    for (const std::string& event : *events) fresh.apply(event);
    {
      std::lock_guard lock(registry_mutex_);
      registry_ = std::move(fresh);
    }
    changed_();
  }
  Status status = work(*session_);
  if (!status.ok() && !harmless(status.error().code())) session_.reset();
  return status;
}

void Control::loop() {
  name_thread("queue-control");
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (jobs_.empty()) ready_.wait_for(lock, kTick, [&] { return stop_ || !jobs_.empty(); });
    if (stop_) break;
    if (jobs_.empty() || now_us() >= overdue_us_) {
      lock.unlock();
      tick();
      overdue_us_ = now_us() + kOverdueUs;
      lock.lock();
      continue;
    }
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    while (true) {
      lock.unlock();
      Status status = attempt(job.work);
      const std::int64_t left_us = job.deadline_us - now_us();
      const bool again = !status.ok() && status.error().retry() && !harmless(status.error().code());
      if (!again || left_us <= 0) {
        pause_ms_ = 0;
        job.done(std::move(status));
        lock.lock();
        break;
      }
      lock.lock();
      pause_ms_ = std::clamp<std::int64_t>(pause_ms_ * 2, 20, kMaxPauseMs);
      const std::int64_t pause_us = std::min(left_us, pause_ms_ * 1000);
      ready_.wait_for(lock, std::chrono::microseconds(pause_us), [&] { return stop_; });
      if (stop_) {
        lock.unlock();
        job.done(Error(Code::ShuttingDown, "the queue is being closed"));
        lock.lock();
        break;
      }
    }
  }
  lock.unlock();
  session_.reset();
}

void Control::tick() {
  if (now_us() < next_try_us_) return;
  std::vector<GroupName> mine;
  {
    std::lock_guard lock(mutex_);
    mine.assign(broadcasts_.begin(), broadcasts_.end());
  }
  const Status status = attempt([&](ControlSession& session) -> Status {
    EZ_TRY(sync(session));
    if (!hearing_.due(now_us())) return {};
    hearing_.begin(now_us());
    std::vector<GroupName> known = with_registry([](const Registry& registry) { return registry.groups(); });
    std::erase_if(known, [](const GroupName& group) { return !is_broadcast(group); });
    if (mine.empty() && known.empty()) return {};
    EZ_ASSIGN(std::vector<GroupName> gone, session.keep_alive(mine, known));
    if (!hearing_.heard(now_us(), system_clock().now_ms())) gone.clear();
    for (const GroupName& group : gone) {
      auto dropped = drop_group(session, group);
      if (!dropped.ok()) return dropped.error();
    }
    return {};
  });
  if (status.ok()) {
    pause_ms_ = 0;
    return;
  }
  hearing_.lost();
  pause_ms_ = std::clamp<std::int64_t>(pause_ms_ * 2, 100, kMaxPauseMs);
  next_try_us_ = now_us() + pause_ms_ * 1000;
  EZ_LOG(kDebug, "queue", "the broker cannot be reached", {"error", status.error().to_string()});
}

Status Control::sync(ControlSession& session) {
  EZ_ASSIGN(const std::vector<std::string> events, session.read_registry());
  if (events.empty()) return {};
  {
    std::lock_guard lock(registry_mutex_);
    for (const std::string& event : events) registry_.apply(event);
  }
  changed_();
  return {};
}

Status Control::make_topics(ControlSession& session, const std::vector<std::string>& topics) {
  for (const std::string& topic : topics) {
    if (!with_registry([&](const Registry& registry) { return registry.has_topic(topic); })) {
      EZ_TRY(session.append_registry(topic_event(topic)));
      EZ_TRY(sync(session));
    }
    const auto queues = with_registry([&](const Registry& registry) {
      std::vector<TopicQueue> out;
      for (const QueueNumber number : registry.queues_of(topic)) {
        out.push_back(registry.queue(topic, number));
      }
      return out;
    });
    for (const TopicQueue& queue : queues) EZ_TRY(session.make_queue(queue, queue.reader));
  }
  return {};
}

Status Control::make_group(ControlSession& session, const GroupName& group) {
  EZ_TRY(sync(session));
  if (!with_registry([&](const Registry& registry) { return registry.has_group(group); })) {
    EZ_TRY(session.append_registry(group_event(group)));
    EZ_TRY(sync(session));
  }
  const auto queues = with_registry([&](const Registry& registry) { return registry.queues_of(group); });
  for (const TopicQueue& queue : queues) EZ_TRY(session.make_queue(queue, group));
  return {};
}

Status Control::keep_rules(ControlSession& session, const std::string& rules,
                           const std::optional<GroupName>& group) {
  EZ_TRY(sync(session));
  std::vector<std::string> events;
  with_registry([&](const Registry& registry) {
    if (registry.rules() != rules) events.push_back(rules_event(rules));
    if (group && !registry.follows(*group)) events.push_back(follow_event(*group));
  });
  if (!events.empty()) {
    const Registry before = with_registry([](const Registry& registry) { return registry; });
    Registry after = before;
    for (const std::string& event : events) after.apply(event);
    for (const std::string& topic : before.topics()) {
      const std::vector<QueueNumber> had = before.queues_of(topic);
      const std::vector<QueueNumber> has = after.queues_of(topic);
      if (had != has) regrouped_.insert(topic);
      // First what nobody will read any more: it would fill. Queue 0 stays, with what it holds.
      for (const QueueNumber number : had) {
        if (number == 0 || std::ranges::find(has, number) != has.end()) continue;
        const TopicQueue queue = before.queue(topic, number);
        if (!queue.reader) continue;
        EZ_TRY(session.drop_queue(queue, *queue.reader));
        unread_.push_back(queue);
      }
    }
    for (const std::string& event : events) EZ_TRY(session.append_registry(event));
    EZ_TRY(sync(session));
  }
  // Also what an attempt left whose session broke after the events were there.
  EZ_TRY(drop_queues(session, unread_));
  EZ_TRY(make_topics(session, std::vector<std::string>(regrouped_.begin(), regrouped_.end())));
  unread_.clear();
  regrouped_.clear();
  return {};
}

Result<bool> Control::drop_group(ControlSession& session, const GroupName& group) {
  EZ_TRY(sync(session));
  if (with_registry([&](const Registry& registry) { return registry.has_group(group); })) {
    const auto queues = with_registry([&](const Registry& registry) { return registry.queues_of(group); });
    for (const TopicQueue& queue : queues) EZ_TRY(session.drop_queue(queue, group));
    std::vector<TopicQueue>& rest = dropping_[group];
    rest.insert(rest.end(), queues.begin(), queues.end());
    EZ_TRY(session.append_registry(drop_event(group)));
    EZ_TRY(sync(session));
  }
  // Also what an attempt left whose session broke after the event was there.
  const auto rest = dropping_.find(group);
  if (rest == dropping_.end()) return false;
  EZ_TRY(drop_queues(session, rest->second));
  // A topic that nobody reads any more keeps its messages again, in queue 0.
  for (const TopicQueue& queue : rest->second) {
    std::optional<TopicQueue> kept;
    with_registry([&](const Registry& registry) {
      if (reads(registry, queue.topic, 0)) kept = registry.queue(queue.topic, 0);
    });
    if (!kept) continue;
    session.forget_made(*kept);
    EZ_TRY(session.make_queue(*kept, kept->reader));
  }
  dropping_.erase(rest);
  return true;
}

Status Control::drop_queues(ControlSession& session, const std::vector<TopicQueue>& queues) {
  for (const TopicQueue& queue : queues) {
    // Queue 0 may be another group's by now, or nobody's.
    const bool used =
        with_registry([&](const Registry& registry) { return reads(registry, queue.topic, queue.queue); });
    if (!used && queue.reader) EZ_TRY(session.drop_queue(queue, *queue.reader));
  }
  return {};
}

void Control::own_broadcast(const GroupName& group) {
  std::lock_guard lock(mutex_);
  broadcasts_.insert(group);
}

void Control::disown_broadcast(const GroupName& group) {
  std::lock_guard lock(mutex_);
  broadcasts_.erase(group);
}

}  // namespace ez::queue::broker
