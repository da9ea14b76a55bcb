// Triggers: a message on a topic starts a run of a workflow.
//
// A trigger is a group of its own ("trigger-NAME") on its topic. For each message its condition and its
// inputs are evaluated over `message`; the run is started with the idempotency key "trigger/NAME/MESSAGE-ID",
// and only then is the message acknowledged: however often it is delivered, it starts one run.
//
// Failures. What a retry may help (the server is busy, the workflow does not exist yet, no place under its
// concurrency key) gives the message back for a while; what it cannot (an expression that fails, inputs that
// the workflow refuses) makes it a dead letter at once, with the reason.
//
// Triggers live in the queue's log. Threads: all methods from any; one thread of its own evaluates. Bounds:
// 256 messages of a trigger are under way at a time; at most 200 triggers (OVERLOADED).
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/expression.h"
#include "base/result.h"
#include "base/value.h"
#include "engine/engine.h"
#include "queue/embedded/embedded_bus.h"

namespace ez::engine {

struct TriggerSpec {
  std::string name_space;
  std::string name;   // [a-z0-9-]{1,40}
  std::string topic;  // a topic or a pattern, without its namespace
  std::string workflow;
  std::uint32_t version = 0;                                // 0: the newest
  std::vector<std::pair<std::string, std::string>> inputs;  // name, text with ${{ }}
  std::string when;                                         // an expression; empty: always
  bool paused = false;
  std::string principal;  // who made it: its runs are started as that
};

struct TriggerState {
  TriggerSpec spec;
  std::uint64_t started = 0;  // runs, since this server leads
  std::uint64_t repeated = 0;
  std::uint64_t skipped = 0;  // the condition was false
  std::uint64_t failed = 0;   // became dead letters
  std::string last_error;
};

// INVALID_ARGUMENT, EXPRESSION_INVALID: names the field.
[[nodiscard]] Status check_trigger(const TriggerSpec& spec);
// What `message` is in a trigger's expressions: id, topic, key, priority, headers, attempt, published_at,
// text (the payload), and payload: the text read as JSON, or the text when it is none.
[[nodiscard]] Value trigger_message(const queue::Delivery& delivery);

class Triggers {
 public:
  // All outlive the triggers.
  Triggers(Engine& engine, queue::EmbeddedBus& bus);
  ~Triggers();  // stop()
  Triggers(const Triggers&) = delete;
  Triggers& operator=(const Triggers&) = delete;

  // Begins with what the log holds.
  [[nodiscard]] Status start();
  // Nothing is started afterwards; messages under way are given back. Before the engine stops.
  void stop();

  // Makes or replaces it; durable when it returns. Waits for the log.
  [[nodiscard]] Status set(const TriggerSpec& spec);
  // Forgets it and what waits for it. TRIGGER_NOT_FOUND. Waits for the log.
  [[nodiscard]] Status remove(const std::string& name_space, const std::string& name);
  [[nodiscard]] std::vector<TriggerState> list(const std::string& name_space);
  [[nodiscard]] Result<TriggerState> find(const std::string& name_space, const std::string& name);

 private:
  struct Running;
  using RunningPtr = std::shared_ptr<Running>;  // shared: callbacks of the bus and the engine hold it
  struct Job {
    RunningPtr trigger;
    queue::Delivery delivery;
  };
  // A take or a settlement was answered.
  struct Turn {
    RunningPtr trigger;
    std::size_t begun = 0;  // deliveries that are under way now
    bool took = false;      // it was a take
    bool again = false;     // one may take more
  };

  [[nodiscard]] Status begin(const TriggerSpec& spec);
  void end(const RunningPtr& trigger);
  void take(const RunningPtr& trigger);
  void work();
  void handle(Job job);
  void started(const Job& job, const Result<core::Reply>& reply);
  void give_back(const Job& job, std::chrono::milliseconds delay, std::string reason);
  void bury(const Job& job, std::string reason);
  void acknowledge(const Job& job);
  void later(const RunningPtr& trigger, std::size_t begun, bool took, bool again);

  Engine& engine_;
  queue::EmbeddedBus& bus_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::pair<std::string, std::string>, RunningPtr> triggers_;
  std::deque<Job> jobs_;
  std::deque<Turn> turns_;
  std::size_t proposals_ = 0;  // that the engine has not answered
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ez::engine
