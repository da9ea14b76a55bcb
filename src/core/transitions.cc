#include "core/transitions.h"

namespace ez::core {
namespace {

using S = TaskState;
using E = TaskEvent;

struct Row {
  S from;
  E event;
  S to;
};

constexpr Row kTable[] = {
    {S::kWaiting, E::kSkip, S::kSkipped},
    {S::kWaiting, E::kAsk, S::kApproval},
    {S::kWaiting, E::kThrottle, S::kThrottled},
    {S::kWaiting, E::kEnqueue, S::kReady},
    {S::kWaiting, E::kExpand, S::kExpanded},
    {S::kWaiting, E::kSucceed, S::kSucceeded},  // seeded from an earlier run
    {S::kWaiting, E::kFail, S::kFailed},        // its condition or list cannot be evaluated
    {S::kWaiting, E::kPause, S::kPaused},
    {S::kWaiting, E::kCancel, S::kCancelled},

    {S::kApproval, E::kThrottle, S::kThrottled},
    {S::kApproval, E::kEnqueue, S::kReady},
    {S::kApproval, E::kSucceed, S::kSucceeded},
    {S::kApproval, E::kFail, S::kFailed},
    {S::kApproval, E::kPause, S::kPaused},
    {S::kApproval, E::kCancel, S::kCancelled},

    {S::kThrottled, E::kEnqueue, S::kReady},
    {S::kThrottled, E::kFail, S::kFailed},
    {S::kThrottled, E::kPause, S::kPaused},
    {S::kThrottled, E::kCancel, S::kCancelled},

    {S::kReady, E::kLease, S::kRunning},
    {S::kReady, E::kThrottle, S::kThrottled},  // its run was paused: the place goes to others
    {S::kReady, E::kFail, S::kFailed},
    {S::kReady, E::kPause, S::kPaused},
    {S::kReady, E::kBackOff, S::kBackoff},
    {S::kReady, E::kCancel, S::kCancelled},

    {S::kRunning, E::kSucceed, S::kSucceeded},
    {S::kRunning, E::kQueueMerge, S::kMergeQueued},
    {S::kRunning, E::kBackOff, S::kBackoff},
    {S::kRunning, E::kFail, S::kFailed},
    {S::kRunning, E::kPause, S::kPaused},
    {S::kRunning, E::kCancel, S::kCancelled},

    {S::kMergeQueued, E::kEnqueueMerge, S::kMergeReady},
    {S::kMergeQueued, E::kFail, S::kFailed},
    {S::kMergeQueued, E::kPause, S::kPaused},
    {S::kMergeQueued, E::kCancel, S::kCancelled},

    {S::kMergeReady, E::kLeaseMerge, S::kMerging},
    {S::kMergeReady, E::kFail, S::kFailed},
    {S::kMergeReady, E::kPause, S::kPaused},
    {S::kMergeReady, E::kCancel, S::kCancelled},

    {S::kMerging, E::kSucceed, S::kSucceeded},
    {S::kMerging, E::kConflictFound, S::kConflict},
    {S::kMerging, E::kQueueMerge, S::kMergeQueued},  // the merging agent was lost: the same merge again
    {S::kMerging, E::kBackOff, S::kBackoff},         // the check failed on the merged tree: a new attempt
    {S::kMerging, E::kFail, S::kFailed},
    {S::kMerging, E::kPause, S::kPaused},
    {S::kMerging, E::kCancel, S::kCancelled},

    {S::kBackoff, E::kThrottle, S::kThrottled},
    {S::kBackoff, E::kEnqueue, S::kReady},
    {S::kBackoff, E::kFail, S::kFailed},
    {S::kBackoff, E::kPause, S::kPaused},
    {S::kBackoff, E::kCancel, S::kCancelled},

    {S::kConflict, E::kQueueMerge, S::kMergeQueued},  // a person settled it on the task's branch
    {S::kConflict, E::kThrottle, S::kThrottled},      // a person asks for a new attempt
    {S::kConflict, E::kEnqueue, S::kReady},
    {S::kConflict, E::kFail, S::kFailed},
    {S::kConflict, E::kCancel, S::kCancelled},

    {S::kPaused, E::kThrottle, S::kThrottled},
    {S::kPaused, E::kEnqueue, S::kReady},
    {S::kPaused, E::kFail, S::kFailed},
    {S::kPaused, E::kCancel, S::kCancelled},

    {S::kExpanded, E::kSucceed, S::kSucceeded},
    {S::kExpanded, E::kFail, S::kFailed},
    {S::kExpanded, E::kCancel, S::kCancelled},

    {S::kWaiting, E::kSleep, S::kTimer},
    {S::kPaused, E::kSleep, S::kTimer},
    {S::kTimer, E::kSucceed, S::kSucceeded},
    {S::kTimer, E::kCancel, S::kCancelled},
    {S::kTimer, E::kRestart, S::kWaiting},

    {S::kWaiting, E::kAwaitSignal, S::kSignal},
    {S::kPaused, E::kAwaitSignal, S::kSignal},
    {S::kSignal, E::kSucceed, S::kSucceeded},
    {S::kSignal, E::kFail, S::kFailed},
    {S::kSignal, E::kPause, S::kPaused},  // its timeout passed
    {S::kSignal, E::kCancel, S::kCancelled},
    {S::kSignal, E::kRestart, S::kWaiting},

    {S::kWaiting, E::kAwaitChild, S::kChild},
    {S::kApproval, E::kAwaitChild, S::kChild},
    {S::kThrottled, E::kAwaitChild, S::kChild},
    {S::kBackoff, E::kAwaitChild, S::kChild},
    {S::kPaused, E::kAwaitChild, S::kChild},
    {S::kChild, E::kSucceed, S::kSucceeded},
    {S::kChild, E::kBackOff, S::kBackoff},
    {S::kChild, E::kFail, S::kFailed},
    {S::kChild, E::kPause, S::kPaused},
    {S::kChild, E::kCancel, S::kCancelled},
    {S::kChild, E::kRestart, S::kWaiting},

    {S::kApproval, E::kRestart, S::kWaiting},
    {S::kThrottled, E::kRestart, S::kWaiting},
    {S::kReady, E::kRestart, S::kWaiting},
    {S::kRunning, E::kRestart, S::kWaiting},
    {S::kMergeQueued, E::kRestart, S::kWaiting},
    {S::kMergeReady, E::kRestart, S::kWaiting},
    {S::kMerging, E::kRestart, S::kWaiting},
    {S::kBackoff, E::kRestart, S::kWaiting},
    {S::kConflict, E::kRestart, S::kWaiting},
    {S::kPaused, E::kRestart, S::kWaiting},
    {S::kSucceeded, E::kRestart, S::kWaiting},
    {S::kFailed, E::kRestart, S::kWaiting},
    {S::kSkipped, E::kRestart, S::kWaiting},
    {S::kCancelled, E::kRestart, S::kWaiting},
    {S::kSucceeded, E::kReopen, S::kExpanded},
    {S::kFailed, E::kReopen, S::kExpanded},
    {S::kCancelled, E::kReopen, S::kExpanded},
};

}  // namespace

std::optional<TaskState> next_state(TaskState from, TaskEvent event) {
  for (const Row& row : kTable) {
    if (row.from == from && row.event == event) return row.to;
  }
  return std::nullopt;
}

std::string_view to_text(TaskState state) {
  constexpr std::string_view kNames[kTaskStates] = {"waiting",   "approval",     "throttled",   "ready",
                                                    "running",   "merge_queued", "merge_ready", "merging",
                                                    "backoff",   "conflict",     "paused",      "expanded",
                                                    "succeeded", "failed",       "skipped",     "cancelled",
                                                    "timer",     "signal",       "child"};
  return kNames[static_cast<int>(state)];
}

std::string_view to_text(RunState state) {
  constexpr std::string_view kNames[] = {"running", "paused", "succeeded", "failed", "cancelled", "queued"};
  return kNames[static_cast<int>(state)];
}

std::optional<RunState> parse_run_state(std::string_view text) {
  for (int i = 0; i < kRunStates; ++i) {
    if (to_text(static_cast<RunState>(i)) == text) return static_cast<RunState>(i);
  }
  return std::nullopt;
}

}  // namespace ez::core
