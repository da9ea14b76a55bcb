// The kernel binds the pure core to the log: proposals in, records out, committed records applied, effects
// carried out.
//
// It owns no thread and no clock: the same kernel runs under the engine's thread (engine.h) and, step by
// step, under the simulation. Every method is called from one thread, the loop's. Callbacks happen inside
// step() and never call back into step().
//
// Flow control. At most kMaxPending proposals wait for the log; more are refused with OVERLOADED at once.
// Demands (waiting agents) are bounded by kMaxDemands. What the kernel proposes itself (assignments, timers,
// expiries) is bounded by one outstanding command of each kind (per demand).
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "core/command.pb.h"
#include "core/effects.h"
#include "core/state.h"
#include "engine/dispatcher.h"
#include "engine/liveness.h"
#include "engine/zones.h"
#include "log/log.h"

namespace ez::engine {

inline constexpr std::size_t kMaxPending = 65'536;
// Room for the events of one record in the numbering of events: id = log index × this + position.
inline constexpr std::uint64_t kEventsPerRecord = 1 << 20;
inline constexpr std::size_t kMaxCommandBytes = 40 * 1024 * 1024;

// What the kernel tells its surroundings. Called on the loop's thread, after the record is durable and
// applied.
class KernelListener {
 public:
  virtual ~KernelListener() = default;
  // Changes of one record, in order; `first_id` identifies the first event, the others follow by one.
  virtual void changed(std::span<const core::RunEvent> events, std::uint64_t first_id) = 0;
  // A run left the state with that record: it goes to history.
  virtual void finished(const Cow<core::Run>& run, LogIndex index) = 0;
  // A result with artifacts or a blob output was accepted, or a workflow with files registered.
  virtual void blobs_referenced(const std::string& owner, const std::vector<std::string>& sha256s) = 0;
  // Tell the agent to stop this work.
  virtual void cancel_work(const core::Lease& lease) = 0;
  // The lease is over: its agent answered, or is lost.
  virtual void lease_ended(Fence /*fence*/) {}
  virtual void leadership(Epoch epoch, bool leading) = 0;
  // Final: the log is gone. Nothing is acknowledged after this.
  virtual void failed(const Error& error) = 0;
};

struct KernelOptions {
  std::uint64_t snapshot_bytes = 64 * 1024 * 1024;  // of log since the last snapshot
  std::int64_t agent_timeout_ms = 90'000;           // an agent that says nothing that long is removed
  std::int64_t retry_internal_ms = 500;             // after a refused proposal of the kernel's own
};

struct KernelCounters {
  std::uint64_t records = 0;
  std::uint64_t commands = 0;
  std::uint64_t refused = 0;
  std::uint64_t assigned = 0;
  std::uint64_t results_accepted = 0;
  std::uint64_t results_duplicate = 0;
  std::uint64_t results_stale = 0;
  std::uint64_t leases_expired = 0;
  std::uint64_t runs_started = 0;
  std::uint64_t runs_finished = 0;
  std::uint64_t snapshots = 0;
};

class Kernel final : public log::LogListener {
 public:
  using Done = std::function<void(Result<core::Reply>)>;

  // All references outlive the kernel.
  Kernel(KernelOptions options, log::Log& log, Clock& clock, Random& random, KernelListener& listener);
  ~Kernel() override;
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  // Reads the newest snapshot (the oldest kept one when `history_position` lies before it, so that history
  // can be rebuilt) and starts the log after it. Replay and leadership follow in step().
  [[nodiscard]] Status recover(LogIndex history_position);

  // One turn: pack and append proposals, run the log, dispatch work, fire timers. Waits at most `wait` when
  // idle.
  void step(std::chrono::microseconds wait);
  // How long step() may wait without missing a timer, a lease or an agent.
  [[nodiscard]] std::chrono::microseconds idle_time() const;

  // `done` is called exactly once, in a later step() (or at once for a refusal): with the reply once durable
  // and applied, or with NOT_LEADER, OUTCOME_UNKNOWN, OVERLOADED, LOG_DISK_FULL, PAYLOAD_TOO_LARGE or the
  // log's failure.
  void propose(core::pb::Command command, Done done);

  // A waiting agent; see dispatcher.h. `deliver` is called at most once with at least one lease; the caller
  // must then say delivered() or undelivered() for them.
  [[nodiscard]] Result<DemandId> offer(AgentId agent, std::uint32_t want, Dispatcher::Deliver deliver);
  // The agent no longer waits. Leases that were already on their way are given back.
  void withdraw(DemandId id);
  // Whether work for that demand was chosen and waits for the log.
  [[nodiscard]] bool on_its_way(DemandId id) const { return dispatcher_.proposed(id); }
  // The work never reached the agent (its connection was gone): the leases end at once.
  void undelivered(const std::vector<core::Lease>& leases);

  // A sign of life: of the agent, and of the leases it holds. Returns the fences that it does not hold (any
  // more).
  [[nodiscard]] std::vector<Fence> heartbeat(AgentId agent, const std::vector<Fence>& fences);
  // Leases of that agent whose work should stop.
  [[nodiscard]] std::vector<core::Lease> cancelled_work(AgentId agent) const;

  // Begins a snapshot when enough was written; `frozen` is called with the state to encode. Returns whether
  // it did.
  [[nodiscard]] bool snapshot_due() const;
  void snapshot_started() { snapshot_running_ = true; }
  [[nodiscard]] bool snapshot_running() const { return snapshot_running_; }
  // Called by the surroundings once the snapshot at `index` is committed (ok) or failed.
  void snapshot_ended(LogIndex index, bool ok);

  [[nodiscard]] const core::State& state() const { return state_; }
  [[nodiscard]] bool leading() const { return leading_; }
  [[nodiscard]] Epoch epoch() const { return epoch_; }
  [[nodiscard]] const KernelCounters& counters() const { return counters_; }
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }
  [[nodiscard]] std::size_t pending() const { return queue_.size() + in_flight_; }
  [[nodiscard]] std::size_t waiting_demands() const { return dispatcher_.size(); }
  [[nodiscard]] log::Log& log() { return log_; }
  // Thread-safe, unlike everything else here.
  [[nodiscard]] Zones& zones() { return zones_; }
  // Ends leadership for a clean stop: what was proposed is answered first.
  [[nodiscard]] Status seal();

 private:
  // Written out once, when it is proposed. The command itself stays until its record comes back: what was
  // appended here need not be parsed again.
  struct Proposal {
    core::pb::Command command;
    std::string bytes;  // empty once it is in a record
    Done done;
  };

  // log::LogListener
  void committed(const log::Record& record) override;
  void append_ended(log::Ticket ticket, log::AppendOutcome outcome) override;
  void leadership(Epoch epoch, bool leading) override;
  void failed(const Error& error) override;

  void append_proposals();
  void carry_out(const core::pb::Command& command, LogIndex index, std::uint64_t& event_id, Done* done);
  void note(const core::pb::Command& command);
  void dispatch();
  void fire_timers();
  void plan_schedules();
  void expire();
  [[nodiscard]] bool may_propose_internal();
  void hold_internal();
  void answer_all(const Error& error);

  const KernelOptions options_;
  log::Log& log_;
  Clock& clock_;
  Random& random_;
  KernelListener& listener_;

  core::State state_;
  core::Effects effects_;
  Zones zones_;
  Dispatcher dispatcher_;
  Liveness liveness_;
  std::deque<Proposal> queue_;
  std::map<std::uint64_t, std::vector<Proposal>> tickets_;
  std::size_t in_flight_ = 0;
  std::uint64_t next_ticket_ = 1;
  Epoch epoch_;
  bool leading_ = false;
  bool tick_outstanding_ = false;
  bool plan_outstanding_ = false;
  bool expiry_outstanding_ = false;
  bool snapshot_running_ = false;
  std::int64_t internal_hold_us_ = 0;
  std::optional<Error> failure_;
  KernelCounters counters_;
};

}  // namespace ez::engine
