// A whole small world under one seed: the real core and kernel over a fake log, with agents that lie, die and
// repeat themselves, clients that do not get answers, and a server that crashes at any step. docs/TESTING.md
// explains it.
//
// Nothing here reads a clock or draws randomness but through the seed: a failing seed fails again.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "engine/kernel.h"
#include "fairness.h"
#include "log/fake_log.h"
#include "replica.h"

namespace ez::sim {

class SimClock final : public Clock {
 public:
  std::int64_t now_ms() override { return wall_ms; }
  std::int64_t monotonic_us() override { return steady_us; }
  void advance(std::int64_t ms) {
    wall_ms += ms;
    steady_us += ms * 1000;
  }
  std::int64_t wall_ms = 1'800'000'000'000;
  std::int64_t steady_us = 1'000'000;
};

// What a client believes about a run that it asked for.
struct ClientRun {
  std::string key;  // idempotency key: the same for every try
  std::string name_space;
  std::string workflow;
  std::optional<RunId> id;  // acknowledged
  bool refused = false;     // its concurrency key was full
};

struct SimAgent {
  std::string name;
  std::string type;
  std::uint32_t capacity = 1;
  std::optional<AgentId> id;
  bool registering = false;
  std::optional<engine::DemandId> demand;
  std::vector<core::Lease> work;             // leases that it believes to hold
  std::vector<core::pb::ReportResult> sent;  // results whose answer it did not see
  std::int64_t deaf_until_us = 0;            // sends no heartbeats
};

// A signal that somebody sends, again and again until it is answered.
struct SimSignal {
  RunId run;
  std::string name;
  bool answered = false;
  int counted = 0;  // answers that said that it is new
};

class World final : public engine::KernelListener {
 public:
  explicit World(std::uint64_t seed);
  ~World() override;

  // Trouble: `steps` random steps with every fault. Empty: fine; otherwise what was found broken.
  [[nodiscard]] std::string trouble(int steps);
  // Peace: no more faults; everything must come to an end. Then the final comparison.
  [[nodiscard]] std::string peace();

  // What was exercised, so that a test can see that the world is not idle.
  struct Tally {
    std::uint64_t crashes = 0, takeovers = 0, snapshots = 0, finished = 0, acknowledged = 0, stale = 0,
                  duplicate = 0, expired = 0, unknown = 0, merges = 0, decisions = 0, restarts = 0,
                  limited = 0, pauses = 0, queued = 0, repeated = 0, slow = 0, full = 0, shares = 0;
    std::uint64_t signals = 0, timers = 0, children = 0;
    std::uint64_t ticks = 0, missed = 0, migrated = 0, rolled_back = 0;
    std::uint64_t draws = 0;
  };
  [[nodiscard]] const Tally& tally() const { return tally_; }
  // No snapshots from now on, so that records() is the whole log: all committed batches in their order.
  void keep_log() { keeps_log_ = true; }
  [[nodiscard]] std::vector<std::string> records() const;

  // engine::KernelListener
  void changed(std::span<const core::RunEvent> events, std::uint64_t first_id) override;
  void finished(const Cow<core::Run>& run, LogIndex index) override;
  void blobs_referenced(const std::string&, const std::vector<std::string>&) override {}
  void cancel_work(const core::Lease&) override {}
  void leadership(Epoch, bool leading) override;
  void failed(const Error& error) override;

 private:
  void open();
  void crash();
  void step();
  void act();
  void snapshot();
  void register_workflows();
  void start_run();
  void control();
  void set_namespace();
  void signal_somebody();
  void send_signal(std::size_t number);
  void answer_waits();
  void check_signals(const core::Run& run);
  void check_children(const core::Run& run);
  void raise_budgets();
  void set_pause(bool paused);
  void resume_all();
  void register_next_version();
  void migrate();
  void set_schedule(const std::string& name, const std::string& overlap);
  void act_on_schedules();
  void end_schedules();
  void disturb_log();
  void repeat_record();
  void decide(bool kindly);
  void agent_turn(SimAgent& agent, bool kind);
  void agent_register(SimAgent& agent);
  void agent_offer(SimAgent& agent);
  void call_models(const SimAgent& agent);
  void agent_finish(SimAgent& agent, bool kind);
  void send_result(SimAgent& agent, const core::pb::ReportResult& result, bool kind);
  [[nodiscard]] std::string check();
  [[nodiscard]] std::string check_time();
  [[nodiscard]] std::string check_limits();
  [[nodiscard]] std::string check_schedules();
  [[nodiscard]] std::string check_replica();
  [[nodiscard]] std::string check_shares();
  [[nodiscard]] std::string check_namespaces();
  [[nodiscard]] std::string compare_replay();

  SeededRandom random_;
  SimClock clock_;
  SeededRandom kernel_random_;
  log::FakeCluster cluster_;
  std::unique_ptr<log::Log> log_;
  std::unique_ptr<engine::Kernel> kernel_;
  std::uint64_t life_ = 1;  // answers of an earlier life of the server reach nobody
  std::vector<std::string> workflows_;
  std::set<std::string> registered_;
  std::vector<ClientRun> runs_;
  std::vector<SimAgent> agents_;
  std::map<RunId, std::string> finished_;  // id → encoded record; the same after every replay
  std::map<std::string, int> accepted_;    // "run/task" → accepted successful executions
  std::set<std::uint64_t> accepted_fences_;
  std::vector<SimSignal> signals_;                                 // the payload of each is its number
  std::map<RunId, std::pair<core::RunState, std::string>> ended_;  // children, with their outputs
  std::map<std::string, int> taken_;             // payloads by how many tasks of finished runs have them
  std::map<std::string, core::Namespace> seen_;  // namespaces as they were at the last check
  LogIndex history_;
  LogIndex timed_;  // the index and the time of the state at the last check
  std::int64_t time_ms_ = 0;
  Replica replica_;
  Fairness fairness_;
  std::uint64_t disturbances_ = 0;  // crashes and takeovers at the last look at the shares
  int log_trouble_ = 0;             // steps until the log is quick and has room again
  std::string broken_;
  Tally tally_;
  bool faults_ = true;
  bool clock_set_ = false;
  bool keeps_log_ = false;
};

// A workflow file with features drawn from `random`; the name is workflow-<number>.
// May start those in `earlier`, and in a circle.
[[nodiscard]] std::string random_workflow(SeededRandom& random, int number,
                                          const std::vector<std::string>& earlier);

}  // namespace ez::sim
