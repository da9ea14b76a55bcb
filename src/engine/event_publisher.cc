#include "engine/event_publisher.h"

#include <algorithm>

#include "base/clock.h"
#include "base/json.h"
#include "base/thread_name.h"
#include "queue/wait_for.h"
#include "telemetry/log.h"

namespace ez::engine {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kEventBatch = 500;
constexpr milliseconds kEventPause{200};  // after a failure
constexpr milliseconds kDeadLetterTick{1'000};
constexpr milliseconds kFlushWait{10'000};
constexpr std::size_t kDeadLettersAtOnce = 100;
constexpr const char* kEventCursorKey = "events/cursor";

Value milliseconds_value(std::int64_t ms) { return ms == 0 ? Value() : Value(format_time(ms)); }

Value run_data(const core::Run& run, const core::RunEvent& event) {
  Value data(Value::Map{{"run", Value(to_text(run.id))},
                        {"namespace", Value(run.workflow->namespace_name)},
                        {"workflow", Value(run.definition().name)},
                        {"version", Value(static_cast<std::int64_t>(run.workflow->version))}});
  if (event.task != core::kNoInstance) return data;
  data.set("state", Value(std::string(core::to_text(static_cast<core::RunState>(event.state)))));
  data.set("started_by", Value(run.principal));
  data.set("created_at", milliseconds_value(run.created_ms));
  if (core::is_terminal(static_cast<core::RunState>(event.state))) {
    data.set("finished_at", milliseconds_value(run.finished_ms));
    data.set("cost_microusd", Value(run.cost_microusd));
    if (!run.error.code.empty()) data.set("error_code", Value(run.error.code));
  }
  Value::Map labels;
  for (const auto& [name, value] : run.get_labels()) labels.emplace_back(name, Value(value));
  if (!labels.empty()) data.set("labels", Value(std::move(labels)));
  return data;
}

CloudEvent event_of(const core::Run& run, const core::RunEvent& event, std::uint64_t id) {
  CloudEvent out;
  out.id = std::to_string(id);
  out.at_ms = event.at_ms;
  out.subject = to_text(run.id);
  out.data = run_data(run, event);
  if (event.task == core::kNoInstance) {
    const bool notice = event.notice != core::RunNotice::kNone;
    out.type = "ez.run." + std::string(notice ? core::to_text(event.notice)
                                              : core::to_text(static_cast<core::RunState>(event.state)));
    return out;
  }
  const auto state = static_cast<core::TaskState>(event.state);
  out.type = "ez.task." + std::string(core::to_text(state));
  out.data.set("state", Value(std::string(core::to_text(state))));
  out.data.set("attempt", Value(static_cast<std::int64_t>(event.attempt)));
  if (event.task < run.tasks.size()) {
    const core::Task& task = run.tasks[event.task];
    const std::string key = run.key_of(task);
    out.subject += "/" + key;
    out.data.set("task", Value(key));
    if (state == core::TaskState::kFailed && !task.get().error.code.empty()) {
      out.data.set("error_code", Value(task.get().error.code));
    }
  }
  return out;
}

std::string topic_in(std::string_view name_space, const std::string& topic) {
  return name_space == "default" ? topic : std::string(name_space) + "/" + topic;
}

}  // namespace

std::string to_json(const CloudEvent& event, const std::string& source) {
  return ez::to_json(Value(Value::Map{{"specversion", Value("1.0")},
                                      {"id", Value(event.id)},
                                      {"source", Value(source)},
                                      {"type", Value(event.type)},
                                      {"subject", Value(event.subject)},
                                      {"time", Value(format_time(event.at_ms))},
                                      {"datacontenttype", Value("application/json")},
                                      {"data", event.data}}));
}

EventPublisher::EventPublisher(queue::EmbeddedBus& bus, EventOptions options)
    : bus_(bus), options_(std::move(options)) {}

EventPublisher::~EventPublisher() { stop(); }

void EventPublisher::forget(queue::EmbeddedBus& bus) {
  if (bus.settings(kEventCursorKey).empty()) return;
  bus.set(kEventCursorKey, "", [](const Result<bool>&) {});
}

void EventPublisher::start() {
  fresh_ = true;
  for (const auto& [key, text] : bus_.settings(kEventCursorKey)) {
    const auto parsed = parse_json(text);
    if (!parsed.ok()) continue;
    cursor_ = kept_cursor_ = static_cast<std::uint64_t>(parsed->int_or("event", 0));
    dead_ = kept_dead_ = static_cast<std::uint64_t>(parsed->int_or("dead_letter", 0));
    fresh_ = false;
  }
  if (fresh_) {
    // What died before is history.
    queue::DeadLetterFilter all;
    all.limit = SIZE_MAX;
    for (const std::uint64_t number : bus_.dead_numbers(all)) dead_ = std::max(dead_, number);
  }
  thread_ = std::thread([this] { loop(); });
}

void EventPublisher::live() {
  std::lock_guard lock(mutex_);
  fresh_ = false;
}

void EventPublisher::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void EventPublisher::finished(const Cow<core::Run>& run) { ended_.push_back(run); }

void EventPublisher::changed(const core::State& state, std::span<const core::RunEvent> events,
                             std::uint64_t first_id) {
  const std::vector<Cow<core::Run>> ended = std::exchange(ended_, {});
  {
    std::lock_guard lock(mutex_);
    const std::uint64_t last = first_id + events.size() - 1;
    if (fresh_) cursor_ = last;
    if (last <= cursor_) return;  // replayed
  }
  std::vector<Item> items;
  for (std::size_t i = 0; i < events.size(); ++i) {
    const core::RunEvent& event = events[i];
    if (event.task != core::kNoInstance && !options_.tasks) continue;
    const core::Run* run = state.find_run(event.run);
    for (const Cow<core::Run>& one : ended) {
      if (run == nullptr && one->id == event.run) run = &*one;
    }
    if (run == nullptr) continue;  // removed by the record that changed it
    items.push_back({first_id + i, message_of(event_of(*run, event, first_id + i),
                                              run->workflow->namespace_name, to_text(run->id))});
  }
  {
    std::lock_guard lock(mutex_);
    for (Item& item : items) {
      if (item.id <= cursor_) continue;
      queue_.push_back(std::move(item));
      ++handed_over_;
    }
  }
  changed_.notify_all();
}

queue::Message EventPublisher::message_of(const CloudEvent& event, std::string_view name_space,
                                          std::string key) const {
  queue::Message message;
  message.id = "event-" + event.id;
  message.topic = topic_in(name_space, options_.topic);
  message.key = std::move(key);
  message.payload = to_json(event, options_.source);
  message.headers = {{"content-type", "application/cloudevents+json; charset=utf-8"}};
  return message;
}

void EventPublisher::publish(CloudEvent event) {
  {
    std::lock_guard lock(mutex_);
    if (stop_ || queue_.size() >= kMaxQueued) return;
    queue_.push_back({0, message_of(event, "default", "")});
    ++handed_over_;
  }
  changed_.notify_all();
}

bool EventPublisher::full() const {
  std::lock_guard lock(mutex_);
  return queue_.size() >= kMaxQueued;
}

EventPublisher::Figures EventPublisher::figures() const {
  std::lock_guard lock(mutex_);
  return {queue_.size(), written_};
}

Status EventPublisher::flush() {
  std::unique_lock lock(mutex_);
  const std::uint64_t target = handed_over_;
  flushing_ = true;
  changed_.notify_all();
  changed_.wait_for(lock, kFlushWait, [&] { return stop_ || (written_ >= target && !flushing_); });
  if (written_ >= target && !flushing_) return {};
  if (stop_) return Error(Code::ShuttingDown, "events are not published any more");
  return Error(Code::Overloaded, "events wait for the queue");
}

// ---- its thread ----

void EventPublisher::loop() {
  name_thread("ez-events");
  std::int64_t next_look_us = 0;
  while (true) {
    std::vector<Item> batch;
    bool flushing = false;
    bool stopping = false;
    std::uint64_t cursor = 0;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kDeadLetterTick, [&] { return stop_ || flushing_ || !queue_.empty(); });
      stopping = stop_;
      flushing = flushing_;
      cursor = cursor_;
      for (std::size_t i = 0; i < std::min(queue_.size(), kEventBatch); ++i) batch.push_back(queue_[i]);
    }
    if (!batch.empty()) {
      const std::size_t durable = send(batch);
      {
        std::unique_lock lock(mutex_);
        for (std::size_t i = 0; i < durable; ++i) {
          cursor_ = std::max(cursor_, queue_.front().id);
          queue_.pop_front();
        }
        written_ += durable;
        if (durable < batch.size() && !stopping) changed_.wait_for(lock, kEventPause, [&] { return stop_; });
        cursor = cursor_;
        flushing = flushing && queue_.empty();
      }
      changed_.notify_all();
      if (durable < batch.size() && stopping) return;
    }
    const std::int64_t now_us = system_clock().monotonic_us();
    if (flushing || now_us >= next_look_us) {
      look_for_dead_letters();
      keep_cursor(cursor, dead_);
      next_look_us = now_us + std::chrono::microseconds(kDeadLetterTick).count();
    }
    std::lock_guard lock(mutex_);
    if (flushing && queue_.empty()) {
      flushing_ = false;
      changed_.notify_all();
    }
    if (stopping && queue_.empty()) break;
  }
  std::uint64_t cursor = 0;
  {
    std::lock_guard lock(mutex_);
    cursor = cursor_;
  }
  keep_cursor(cursor, dead_);
}

std::size_t EventPublisher::send(const std::vector<Item>& batch) {
  std::vector<queue::Message> messages;
  for (const Item& item : batch) messages.push_back(item.message);
  const auto receipts = publish_and_wait(bus_, std::move(messages));
  std::size_t durable = 0;
  for (const auto& receipt : receipts) {
    if (!receipt.ok()) {
      const Code code = receipt.error().code();
      if (code != Code::InvalidArgument && code != Code::PayloadTooLarge) {
        EZ_LOG(kWarning, "events", "events wait", {"error", receipt.error().to_string()});
        break;
      }
      EZ_LOG(kError, "events", "an event cannot be published", {"error", receipt.error().to_string()});
    }
    ++durable;
  }
  return durable;
}

void EventPublisher::keep_cursor(std::uint64_t cursor, std::uint64_t dead) {
  if (cursor == kept_cursor_ && dead == kept_dead_) return;
  const std::string text =
      ez::to_json(Value(Value::Map{{"event", Value(static_cast<std::int64_t>(cursor))},
                                   {"dead_letter", Value(static_cast<std::int64_t>(dead))}}));
  // When it fails, it is kept a second later.
  if (!queue::wait_for<bool>([&](auto done) { bus_.set(kEventCursorKey, text, std::move(done)); }).ok())
    return;
  kept_cursor_ = cursor;
  kept_dead_ = dead;
}

void EventPublisher::look_for_dead_letters() {
  queue::DeadLetterFilter filter;
  filter.after = dead_;
  filter.limit = kDeadLettersAtOnce;
  if (bus_.dead_numbers(filter).empty()) return;
  const auto found = bus_.dead_letters(filter);
  if (!found.ok()) return;
  std::vector<Item> batch;
  std::uint64_t newest = dead_;
  for (const queue::DeadLetterView& letter : *found) {
    newest = std::max(newest, letter.number);
    const std::string& topic = letter.original.message.topic;
    const auto slash = topic.find('/');
    const std::string name_space = slash == std::string::npos ? "default" : topic.substr(0, slash);
    const std::string bare = slash == std::string::npos ? topic : topic.substr(slash + 1);
    if (bare == options_.topic) continue;  // an event that nobody could take makes no further events
    CloudEvent event;
    event.id = "dead-letter-" + std::to_string(letter.number);
    event.type = "ez.queue.dead_letter";
    event.subject = bare;
    event.at_ms = letter.died_ms;
    event.data = Value(Value::Map{{"number", Value(static_cast<std::int64_t>(letter.number))},
                                  {"namespace", Value(name_space)},
                                  {"topic", Value(bare)},
                                  {"group", Value(letter.group)},
                                  {"message", Value(letter.original.message.id)},
                                  {"reason", Value(letter.reason)},
                                  {"attempts", Value(static_cast<std::int64_t>(letter.attempts))}});
    batch.push_back({0, message_of(event, name_space, "")});
  }
  if (!batch.empty() && send(batch) < batch.size()) return;
  std::lock_guard lock(mutex_);
  written_ += batch.size();
  handed_over_ += batch.size();
  dead_ = newest;
}

}  // namespace ez::engine
