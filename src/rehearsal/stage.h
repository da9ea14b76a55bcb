// Stage: one test played through. The real core and the real kernel over a log in memory; agents that answer
// as the script says; a clock that jumps to whatever happens next. Nothing here reads a real clock or draws
// randomness: the same test gives the same outcome.
//
// A workflow runs as it would, with these differences: a backoff has no jitter, commands, verify and merges
// are not carried out (the script says what becomes of them), agents answer in no time unless a script says
// `takes`, and a task that starts a run of another workflow is one more that the script answers for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "engine/kernel.h"
#include "log/fake_log.h"
#include "rehearsal/script.h"

namespace ez::rehearsal {

inline constexpr std::int64_t kStartMs =
    1'893'456'000'000;                                 // 2030-01-01T00:00:00Z, when every run is started
inline constexpr std::size_t kMaxTimeline = 2'000;     // lines
inline constexpr std::uint64_t kMaxTurns = 5'000'000;  // of one test

// A decision or an action that the run did not accept.
struct Refusal {
  Place place;
  Error error;
};

struct Outcome {
  std::optional<Error> refused;    // the run was not even started
  Cow<core::Run> run;              // as it was at the end; empty: refused
  std::int64_t end_ms = 0;         // simulated, since the start
  bool out_of_time = false;        // still live at `until`
  std::vector<std::string> order;  // keys by first start; approvals when they are decided
  std::map<std::string, std::int64_t> starts_ms, ends_ms;  // first start and last end, since the start
  std::vector<std::string> notices;
  std::vector<Refusal> refusals;
  std::vector<std::string> timeline;  // "+5s  build: running (attempt 2)"
};

class Stage final : public engine::KernelListener {
 public:
  Stage(const orchestration::Workflow& workflow, const Test& test);
  ~Stage() override;

  // Once. INTERNAL when the stage itself breaks down (a bug), or when the test does not come to an end.
  [[nodiscard]] Result<Outcome> play();

 private:
  class StageClock final : public Clock {
   public:
    std::int64_t now_ms() override { return at_ms; }
    std::int64_t monotonic_us() override { return at_ms * 1000; }
    std::int64_t at_ms = kStartMs;
  };
  struct Actor {
    AgentId id;
    std::uint32_t held = 0;
    std::optional<engine::DemandId> demand;
  };
  struct Work {  // an attempt or a merge that an actor does
    core::Lease lease;
    std::size_t actor = 0;
    core::pb::ReportResult result;
    bool lost = false;
  };
  // What happens at a simulated time; `number` keeps the order of those that happen at once.
  struct Cue {
    std::int64_t at_ms;
    std::uint64_t number;
    auto operator<=>(const Cue&) const = default;
  };

  // engine::KernelListener
  void changed(std::span<const core::RunEvent> events, std::uint64_t first_id) override;
  void finished(const Cow<core::Run>& run, LogIndex) override;
  void blobs_referenced(const std::string&, const std::vector<std::string>&) override {}
  void cancel_work(const core::Lease& lease) override;
  void leadership(Epoch, bool) override {}
  void failed(const Error& error) override;

  [[nodiscard]] Status open();
  void register_actors();
  void start_run();
  // Steps until nothing more happens at this moment.
  [[nodiscard]] Status settle();
  void offer_work();
  void take_work(std::size_t actor, const core::Lease& lease);
  [[nodiscard]] const Attempt* script_of(const core::Run& run, const core::Lease& lease) const;
  [[nodiscard]] std::string key_of(RunId id, std::uint32_t task) const;
  void note_task(const core::RunEvent& event);
  void ask(const std::string& key);
  void decide(const std::string& key, const Decision& decision);
  void act(const Action& action);
  void propose(core::pb::Command command, Place place);
  void at(std::int64_t at_ms, std::function<void()> what);
  void say(std::int64_t at_ms, const std::string& line);
  // Jumps to the next cue or timer; false: there is none before `until`.
  [[nodiscard]] bool jump();

  const Test& test_;
  std::shared_ptr<orchestration::Workflow> workflow_;  // a copy without jitter
  StageClock clock_;
  SeededRandom random_;
  log::FakeCluster cluster_;
  std::unique_ptr<log::Log> log_;
  std::unique_ptr<engine::Kernel> kernel_;
  std::vector<Actor> actors_;
  std::map<Fence, Work> work_;
  std::map<Cue, std::function<void()>> cues_;
  std::map<std::string, std::size_t> decided_;                    // decisions used, by key
  std::set<std::pair<std::uint32_t, std::uint32_t>> conflicted_;  // (task, attempt) whose conflict was played
  std::uint64_t next_cue_ = 0;
  std::uint64_t turns_ = 0;
  std::uint64_t moves_ = 0;  // grows with everything that happens
  RunId run_;
  std::optional<Error> broken_;
  Outcome outcome_;
};

}  // namespace ez::rehearsal
