// The worker: registers with a control plane, takes work, runs it, and delivers results.
//
// Threads. `capacity` slots run items. One thread asks for work with a long poll whenever slots are free, and
// carries finished results with the same request; one thread delivers results that finish while that poll
// waits; one thread holds the heartbeat long poll, which brings cancels and says which leases are unknown
// (their work is killed and its result dropped). start() and stop() are called by the owner; stop() from any
// thread.
//
// Promises. A result is sent again, with growing pauses, until the control plane answers accepted, duplicate
// or stale. AGENT_NOT_FOUND leads to a new registration. stop() ends every lease explicitly: work that does
// not end within `stop_wait` is killed and reported as failed with SHUTTING_DOWN, which a retry helps;
// results are delivered within `deliver_wait`, or the lease expires at the control plane.
//
// Bounds. Running items and undelivered results together never exceed capacity; at most kMaxResultsPerCall
// results a request.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agents/artifacts.h"
#include "agents/log_spool.h"
#include "agents/process.h"
#include "agents/work_item.h"
#include "base/result.h"

namespace ez::agents {

inline constexpr std::size_t kMaxResultsPerCall = 64;

struct Registration {
  std::string name;
  std::string type = "exec";
  std::vector<std::string> capabilities;
  std::int64_t capacity = 1;
  std::vector<std::pair<std::string, std::string>> labels;
};
struct Registered {
  std::string agent;                   // "a7"
  std::int64_t heartbeat_ms = 10'000;  // leases are lost when nothing is heard for longer
  std::string session;
};

struct Cancel {
  Fence fence;
  std::string reason;
};
enum class Acceptance { kAccepted, kDuplicate, kStale };
struct WorkRequest {
  std::string agent;
  std::int64_t want = 0;
  std::int64_t wait_ms = 0;
  std::vector<TaskResult> results;
};
struct WorkReply {
  std::vector<std::pair<Fence, Acceptance>> accepted;
  std::vector<Value> tasks;  // as they came; the worker parses them and answers for those that it cannot read
  std::vector<Cancel> cancel;
};
struct HeartbeatReply {
  std::vector<Cancel> cancel;
  std::vector<Fence> unknown;
};

// The worker API of a server, or an in-process engine. Every method may be called from several threads at
// once and blocks at most wait_ms plus a transport's own time limit. Errors that say retry() are repeated by
// the worker.
class ControlPlane : public virtual ArtifactPort {
 public:
  [[nodiscard]] virtual Result<Registered> register_agent(const Registration& registration) = 0;
  [[nodiscard]] virtual Result<WorkReply> work(const WorkRequest& request) = 0;
  [[nodiscard]] virtual Result<HeartbeatReply> heartbeat(const std::string& agent,
                                                         const std::vector<Fence>& leases,
                                                         std::int64_t wait_ms) = 0;
  // The log of an item's attempt. The port is used while the item runs, by one thread.
  [[nodiscard]] virtual std::unique_ptr<LogPort> log_of(const WorkItem& item) = 0;
  // Ends waits of work() and heartbeat() early, now and for calls that come later with wait_ms > 0; the
  // worker stops.
  virtual void interrupt() = 0;
};

class Worker {
 public:
  // Runs one item to its result; ExecRunner::run in production.
  using Runner = std::function<TaskResult(const WorkItem&, LogPort&, const CancelToken&)>;
  struct Options {
    Registration registration;
    std::chrono::milliseconds poll_wait{30'000};
    std::chrono::milliseconds first_pause{100};  // after a failed call; doubles up to longest_pause
    std::chrono::milliseconds longest_pause{5'000};
    std::chrono::milliseconds stop_wait{0};  // that running work may still take after stop()
    std::chrono::milliseconds deliver_wait{10'000};
    std::function<void(std::string_view)>
        report;  // lines for the operator: lost server, lost leases; any thread; may be empty
  };
  // The control plane outlives the worker.
  Worker(Options options, ControlPlane& plane, Runner runner);
  ~Worker();  // stops
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Registers (retrying while the server cannot be reached, until stop()) and works in the background.
  void start();
  // Ends cleanly; returns when every thread has ended. Idempotent.
  void stop();
  // The agent's id now; empty before the first registration.
  [[nodiscard]] std::string agent() const;
  [[nodiscard]] std::size_t running() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ez::agents
