// Changes of runs and tasks as CloudEvents 1.0 on a topic of the queue, for other systems
// (docs/guide/events.md).
//
// At least once, in the order of the log for each run. An event's id comes from its place in the log, so it
// is the same after every restart and on every replica; the queue drops what it knows, a consumer may do the
// same. A snapshot waits until the events before it are durable in the queue (flush()), so that a crash
// replays what is missing. The number of the newest durable event is kept in the queue as well, so that a
// replay does not publish old ones again.
//
// Events begin when they are switched on, not with the history before.
//
// Dead letters of the queue become events too, each once.
//
// Flow control. When kMaxQueued events wait, full() is true and the engine refuses new runs with OVERLOADED.
//
// Threads. changed() and finished() on the engine's loop; everything else from any. One thread of its own.
// The bus outlives it; it outlives the engine.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/cow.h"
#include "base/result.h"
#include "base/value.h"
#include "core/effects.h"
#include "core/state.h"
#include "queue/embedded/embedded_bus.h"

namespace ez::engine {

struct EventOptions {
  std::string topic;          // bare: a run's events go to this topic of its namespace
  std::string source = "ez";  // a URI-reference that names this server or fleet
  bool tasks = true;          // false: of runs only
};

// One CloudEvent in its JSON form (structured mode). `data` is an object.
struct CloudEvent {
  std::string id;
  std::string type;
  std::string subject;
  std::int64_t at_ms = 0;
  Value data;
};
[[nodiscard]] std::string to_json(const CloudEvent& event, const std::string& source);

class EventPublisher {
 public:
  static constexpr std::size_t kMaxQueued = 100'000;

  EventPublisher(queue::EmbeddedBus& bus, EventOptions options);
  ~EventPublisher();  // stop()
  EventPublisher(const EventPublisher&) = delete;
  EventPublisher& operator=(const EventPublisher&) = delete;

  // Before the engine starts.
  void start();
  // The engine leads: from here on everything is new, also when there is no cursor yet.
  void live();
  // After the engine has stopped. Tries once more to publish what waits; what stays is replayed.
  void stop();

  void finished(const Cow<core::Run>& run);
  void changed(const core::State& state, std::span<const core::RunEvent> events, std::uint64_t first_id);
  [[nodiscard]] bool full() const;

  // Something else that happened; its id has to be stable. In the default namespace.
  void publish(CloudEvent event);

  // Waits until everything handed over before the call is durable in the queue, cursor included. OVERLOADED:
  // that took more than ten seconds; SHUTTING_DOWN: it was stopped before.
  [[nodiscard]] Status flush();

  // Events that wait for the queue, and those that it has.
  struct Figures {
    std::uint64_t waiting = 0;
    std::uint64_t published = 0;
  };
  [[nodiscard]] Figures figures() const;

  // Forgets where it was: when events are switched off, so that they begin anew when they are switched on.
  static void forget(queue::EmbeddedBus& bus);

 private:
  struct Item {
    std::uint64_t id = 0;  // 0: no change of the log
    queue::Message message;
  };
  void loop();
  // Publishes the batch; the number of items at its front that are durable.
  [[nodiscard]] std::size_t send(const std::vector<Item>& batch);
  void keep_cursor(std::uint64_t cursor, std::uint64_t dead);
  void look_for_dead_letters();
  [[nodiscard]] queue::Message message_of(const CloudEvent& event, std::string_view name_space,
                                          std::string key) const;

  queue::EmbeddedBus& bus_;
  const EventOptions options_;

  // The loop's: runs that ended with the record that is being told.
  std::vector<Cow<core::Run>> ended_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> queue_;
  std::uint64_t handed_over_ = 0;
  std::uint64_t written_ = 0;
  std::uint64_t cursor_ = 0;  // newest durable event
  bool fresh_ = false;        // there was no cursor: nothing is published before live()
  bool stop_ = false;
  bool flushing_ = false;

  // The thread's:
  std::uint64_t dead_ = 0;  // newest dead letter that was told
  std::uint64_t kept_cursor_ = 0;
  std::uint64_t kept_dead_ = 0;
  std::thread thread_;
};

}  // namespace ez::engine
