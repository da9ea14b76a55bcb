// What the endpoint families share. Internal to http/api/.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/cow.h"
#include "core/command.pb.h"
#include "http/api/api.h"
#include "http/api/background.h"
#include "http/api/http_metrics.h"
#include "http/api/limits.h"
#include "http/api/timers.h"
#include "security/permission.h"

namespace ez::http::api {

// Attempts that appended to their log through this server: their logs are closed when their result is
// accepted. When it is full the oldest is forgotten; its log then stays open on disk, which its readers do
// not notice. Thread-safe.
class OpenLogs {
 public:
  void opened(const storage::AttemptId& id);
  // Whether it was there; it is not afterwards.
  [[nodiscard]] bool take(const storage::AttemptId& id);

 private:
  std::mutex mutex_;
  std::set<storage::AttemptId> logs_;
};

class Batches;
class QueueConsumers;

struct Context {
  explicit Context(Services given)
      : services(std::move(given)),
        started_ms(services.clock.now_ms()),
        timers(services.clock, kMaxTimers),
        renders("ez-render", 1, kRenderQueue, 64),
        transfers("ez-transfer", 2, kTransferQueue, 1),
        model_calls("ez-models", 1, kModelQueue, 1) {}

  Services services;
  const std::int64_t started_ms;
  OpenLogs open_logs;
  std::atomic<std::size_t> followers{0};  // open event streams
  std::mutex server_mutex;
  const Server* server = nullptr;  // guarded by server_mutex
  std::unique_ptr<HttpMetrics> http_metrics;
  std::vector<telemetry::CollectHandle> collected;
  std::shared_ptr<Batches> batches;
  std::shared_ptr<QueueConsumers> queue_consumers;  // null without a queue
  // Last, so that their threads end before the rest goes.
  Timers timers;
  Background renders;      // views as JSON: short tasks
  Background transfers;    // blobs and logs: wait for the disk
  Background model_calls;  // large requests to models that have to be read
};

// The right to answer, shared by the callbacks on the way to the answer. When all of them are dropped,
// because the engine stopped, it answers with the reason. One thread at a time, as a Responder.
class Deferred {
 public:
  Deferred(Context& context, const Request& request, Responder responder);
  ~Deferred();
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;

  [[nodiscard]] Responder& responder() { return responder_; }
  bool json(int status, std::string body) { return responder_.json(status, std::move(body)); }
  bool json(int status, const Value& value);
  bool problem(const Error& error) { return responder_.problem(error); }
  // {"items": […], "next_cursor": …}; null for an empty cursor.
  bool list(const Value::List& items, const std::string& next_cursor);

  [[nodiscard]] const std::string& principal() const { return principal_->id; }
  // PERMISSION_DENIED unless the caller has it in that namespace (which the handler learned from the object).
  [[nodiscard]] Status permit(security::Permission permission, std::string_view name_space) const;
  [[nodiscard]] Status permit_role(security::Role role, std::string_view name_space) const;

 private:
  Context& context_;
  Responder responder_;
  std::shared_ptr<const security::Principal> principal_;
};
using DeferredPtr = std::shared_ptr<Deferred>;

// A handler from a function whose failed Status is the answer.
using Endpoint = std::function<Status(Request&, const DeferredPtr&)>;
[[nodiscard]] Handler handler(Context& context, Endpoint endpoint);

// The body limit of routes whose body is a few fields.
inline constexpr std::uint64_t kSmallBody = 64 * 1024;
using EndpointFunction = Status (*)(Context&, Request&, const DeferredPtr&);
void add_route(Router& router, Context& context, Method method, std::string_view pattern,
               security::Permission permission, std::string_view summary, EndpointFunction endpoint,
               std::uint64_t body_limit = kSmallBody, BodyMode body_mode = BodyMode::kMemory);

// Path parameters. Errors: RUN_NOT_FOUND, AGENT_NOT_FOUND, ATTEMPT_NOT_FOUND: what is no id names nothing.
[[nodiscard]] Result<RunId> run_of(const Request& request);
[[nodiscard]] Result<AgentId> agent_of(const Request& request);
[[nodiscard]] Result<std::uint32_t> attempt_of(const Request& request);

// Finds the run wherever it is, asks for the permission in its namespace, and goes on with `found` on the
// render thread. What fails on the way is answered.
void with_run(Context& context, const DeferredPtr& answer, RunId run, security::Permission permission,
              std::function<void(const Cow<core::Run>&)> found);

// Proposes; an error is answered, otherwise `done` goes on, on the engine's loop.
void propose(Context& context, const DeferredPtr& answer, core::pb::Command command,
             std::function<void(const core::Reply&)> done);

// Runs it on the render thread, or answers OVERLOADED.
void render(Context& context, const DeferredPtr& answer, std::function<void()> task);
// The same for what takes longer or waits for the disk.
void transfer(Context& context, const DeferredPtr& answer, std::function<void()> task);

[[nodiscard]] Error overloaded(std::string_view what);

// Cursors: a letter for the list and numbers. Opaque to callers. Errors: REQUEST_INVALID.
[[nodiscard]] std::string make_cursor(char list, std::initializer_list<std::uint64_t> numbers);
[[nodiscard]] Result<std::vector<std::uint64_t>> read_cursor(char list, const Request& request,
                                                             std::size_t count);
[[nodiscard]] Result<std::size_t> list_limit(const Request& request);

// Live runs that match, newest first, from below `before` on (invalid: from the newest), at most `limit`. The
// loop looks at a bounded number of runs at a time. `done` runs on the loop.
void scan_live(Context& context, RunId before, std::size_t limit,
               std::function<bool(const core::Run&)> matches,
               std::function<void(std::vector<Cow<core::Run>>)> done);

void add_workflow_routes(Router& router, Context& context);
void add_run_routes(Router& router, Context& context);
void add_check_routes(Router& router, Context& context);
void add_batch_routes(Router& router, Context& context);
void add_export_routes(Router& router, Context& context);
void add_budget_routes(Router& router, Context& context);
void add_signal_routes(Router& router, Context& context);
void add_query_routes(Router& router, Context& context);
void add_task_routes(Router& router, Context& context);
void add_approval_routes(Router& router, Context& context);
void add_why_routes(Router& router, Context& context);
void add_pause_routes(Router& router, Context& context);
void add_migrate_routes(Router& router, Context& context);
void add_schedule_routes(Router& router, Context& context);
void add_namespace_routes(Router& router, Context& context);
void add_agent_routes(Router& router, Context& context);
void add_work_routes(Router& router, Context& context);
void add_artifact_routes(Router& router, Context& context);
void add_log_routes(Router& router, Context& context);
void add_event_routes(Router& router, Context& context);
void add_model_routes(Router& router, Context& context);
void add_cost_routes(Router& router, Context& context);
void add_status_routes(Router& router, Context& context);
void add_openapi_routes(Router& router, Context& context);
void add_queue_routes(Router& router, Context& context);
void add_queue_consumer_routes(Router& router, Context& context);
void add_queue_tail_routes(Router& router, Context& context);
void add_dead_letter_routes(Router& router, Context& context);
void add_queue_backend_routes(Router& router, Context& context);
void add_queue_migration_routes(Router& router, Context& context);
void add_trigger_routes(Router& router, Context& context);

// Metrics that are read when they are asked for.
void collect_metrics(Context& context);
void collect_queue_metrics(Context& context);

}  // namespace ez::http::api
