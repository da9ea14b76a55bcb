// The engine: the kernel under a thread of its own, with its snapshots, its history and its followers. This
// is what the API talks to.
//
// Threads. Everything is thread-safe. Callbacks run on the loop's thread: they must be quick and must not
// wait.
//
// Flow control. At most kMaxInbox calls wait for the loop; more are answered with OVERLOADED at once, on the
// caller's thread. Long polls hold no thread and are bounded by the dispatcher.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "engine/event_hub.h"
#include "engine/kernel.h"
#include "engine/projector.h"

namespace ez::engine {

inline constexpr std::size_t kMaxInbox = 131'072;

// One unit of work for an agent: the lease and the run as it was when the lease was granted.
struct WorkTask {
  core::Lease lease;
  Cow<core::Run> run;
};

struct WorkRequest {
  AgentId agent;
  std::uint32_t want = 0;
  std::vector<core::pb::ReportResult> results;
};

class EventPublisher;

struct WorkAnswer {
  std::vector<std::pair<Fence, core::Reply::Result>> accepted;
  std::vector<WorkTask> tasks;
  std::vector<core::Lease> cancel;  // work of this agent that should stop
};

struct HeartbeatAnswer {
  std::vector<core::Lease> cancel;
  std::vector<Fence> unknown;  // leases that the agent does not hold (any more): drop that work
};

// A waiting call of an agent. Copyable; outlives the engine harmlessly.
class Waiting {
 public:
  virtual ~Waiting() = default;
  // The time that the agent wanted to wait is over: it is answered with what there is.
  virtual void expire() = 0;
  // The agent's connection is gone: nothing more is answered, work on its way is given back.
  virtual void abandon() = 0;
};

struct EngineCounters {
  KernelCounters kernel;
  std::size_t live_runs = 0;
  std::size_t ready_tasks = 0;
  std::size_t leases = 0;
  std::size_t agents = 0;
  std::size_t waiting_demands = 0;
  std::size_t pending_proposals = 0;
  std::size_t timers = 0;
  std::uint64_t log_first = 0;
  std::uint64_t log_last = 0;
  bool leading = false;
};

class Engine final : private KernelListener {
 public:
  using Done = Kernel::Done;

  // All references outlive the engine. `blobs` may be null in tests.
  Engine(KernelOptions options, std::unique_ptr<log::Log> log, storage::History& history,
         storage::BlobStore* blobs, Clock& clock, Random& random);
  ~Engine() override;  // stop()

  // Recovers and runs until this server leads (or cannot): replay errors, a failed log, DATA_DIR errors come
  // back here.
  [[nodiscard]] Status start();
  // Answers what was accepted, seals the log, flushes history, joins the threads. Idempotent.
  void stop();

  void propose(core::pb::Command command, Done done);
  // Runs `look` on the loop's thread with the state as it is.
  void read(std::function<void(const core::State&)> look);
  // A run wherever it is: live, just finished or in history. RUN_NOT_FOUND.
  void find_run(RunId id, std::function<void(Result<Cow<core::Run>>)> found);

  // Results in, tasks out. `answer` is called exactly once unless abandoned; it returns false when the answer
  // could not be handed to the agent any more: its tasks are then given back.
  std::shared_ptr<Waiting> work(WorkRequest request, std::function<bool(Result<WorkAnswer>)> answer);
  // Signs of life in, cancellations out. With `wait` the answer comes when there is something to say, or on
  // expire().
  std::shared_ptr<Waiting> heartbeat(AgentId agent, std::vector<Fence> fences, bool wait,
                                     std::function<void(HeartbeatAnswer)> answer);

  [[nodiscard]] EventHub& events() { return events_; }
  [[nodiscard]] Projector& projector() { return projector_; }
  [[nodiscard]] storage::History& history() { return history_; }
  [[nodiscard]] Zones& zones() { return kernel_.zones(); }
  [[nodiscard]] EngineCounters counters() const;
  // The reason why nothing is accepted any more; the process should exit with its code.
  [[nodiscard]] std::optional<Error> failure() const;
  void on_failure(std::function<void(const Error&)> callback);
  // Publishes changes from the next start() on; outlives it.
  void publish_events(EventPublisher* publisher) { publisher_ = publisher; }
  // Called on the loop's thread for every lease whose work no longer matters: it ended, or was cancelled. Set
  // before start(), outlives it.
  void on_lease_over(std::function<void(Fence)> callback) { on_lease_over_ = std::move(callback); }
  // Writes a snapshot now (for tests and the operator). Blocks until it is durable.
  [[nodiscard]] Status snapshot_now();

 private:
  struct WorkCall;
  struct HeartbeatCall;
  using Task = std::function<void()>;

  void post(Task task, const std::function<void(const Error&)>& refused);
  void loop();
  void run_inbox();
  void settle_calls();
  void begin_snapshot();
  void publish_counters();

  // KernelListener
  void changed(std::span<const core::RunEvent> events, std::uint64_t first_id) override;
  void finished(const Cow<core::Run>& run, LogIndex index) override;
  void blobs_referenced(const std::string& owner, const std::vector<std::string>& sha256s) override;
  void cancel_work(const core::Lease& lease) override;
  void lease_ended(Fence fence) override;
  void leadership(Epoch epoch, bool leading) override;
  void failed(const Error& error) override;

  const std::unique_ptr<log::Log> log_;
  std::function<void(Fence)> on_lease_over_;
  EventPublisher* publisher_ = nullptr;
  storage::History& history_;
  storage::BlobStore* const blobs_;
  Projector projector_;
  EventHub events_;
  Kernel kernel_;
  std::thread loop_thread_;
  std::atomic<std::thread::id> loop_id_{};
  std::thread projector_thread_;
  std::thread snapshot_thread_;
  // The loop's thread only:
  std::multimap<AgentId, std::weak_ptr<HeartbeatCall>> heartbeats_;
  std::vector<std::shared_ptr<WorkCall>> settling_;  // all results answered in this turn

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Task> inbox_;
  bool sleeping_ = false;
  bool stopping_ = false;
  bool started_ = false;
  std::optional<Error> failure_;
  std::function<void(const Error&)> on_failure_;
  EngineCounters counters_;
  Status last_snapshot_;
  std::uint64_t snapshots_ended_ = 0;
};

}  // namespace ez::engine
