// What applying a command asks of the world. apply() fills it in; only the leader carries it out, everybody
// may show it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cow.h"
#include "base/error.h"
#include "base/ids.h"
#include "core/run.h"
#include "core/state.h"

namespace ez::core {

// The answer to whoever proposed the command. Only the fields of that command are set.
struct Reply {
  std::optional<Error> error;  // the command changed nothing
  RunId run;
  AgentId agent;
  std::uint32_t version = 0;  // of a workflow
  bool created = false;       // false: it was there already (same content, same idempotency key)
  enum class Result : std::uint8_t { kNone, kAccepted, kDuplicate, kStale } result = Result::kNone;
  std::vector<Lease> granted;  // Assign
  std::string task;            // SendSignal: who took it; empty: it is kept
  std::int64_t microusd = 0;   // DrawAllowance: what was drawn
};

// What a follower is told besides changes of state.
enum class RunNotice : std::uint8_t {
  kNone,
  kCostWarning,      // cost has passed budget.warn_at
  kDeadlineWarning,  // so has time
  kBudgetExceeded,   // the money left does not suffice for what comes next
  kMigrated,         // the run has another version now: its tasks are numbered anew
};

// A change that people and consoles follow. `task` is kNoInstance for changes of the run itself.
struct RunEvent {
  RunId run;
  std::uint32_t task = kNoInstance;
  std::uint8_t state = 0;  // TaskState, or RunState when task is kNoInstance
  std::uint32_t attempt = 0;
  std::int64_t at_ms = 0;
  RunNotice notice = RunNotice::kNone;
};

[[nodiscard]] std::string_view to_text(RunNotice notice);

struct Effects {
  Reply reply;
  std::vector<RunEvent> events;
  std::vector<Cow<Run>> finished;  // left the state; goes to history
  std::vector<Lease> cancelled;    // tell the agent to stop
  std::vector<Fence> ended;        // leases that are over: forget their liveness
  std::vector<AgentId> removed_agents;
  std::uint32_t scheduled_starts = 0;  // runs that schedules started
  bool ready_grew = false;             // something became ready for an agent

  void clear();
};

}  // namespace ez::core
