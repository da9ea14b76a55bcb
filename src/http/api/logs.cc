// Logs of attempts: agents append, people read and follow.
#include <charconv>

#include "base/json.h"
#include "base/utf8.h"
#include "http/api/context.h"
#include "http/api/follower.h"
#include "http/api/task_control.h"
#include "http/problem.h"

namespace ez::http::api {
namespace {

using security::Permission;

constexpr std::int64_t kDefaultReadBytes = 1024 * 1024;
constexpr std::size_t kFollowedBytes = 32 * 1024;  // of one event

// While it runs, merges or waits for a settled conflict, more may come.
bool is_over(std::uint8_t state, std::uint32_t present, std::uint32_t attempt) {
  if (present != attempt) return present > attempt;
  switch (static_cast<core::TaskState>(state)) {
    case core::TaskState::kRunning:
    case core::TaskState::kMergeQueued:
    case core::TaskState::kMergeReady:
    case core::TaskState::kMerging:
    case core::TaskState::kConflict:
      return false;
    default:
      return true;
  }
}

struct Place {
  storage::AttemptId id;
  std::uint32_t index = 0;  // of the task
  bool over = false;
};

Result<Place> find_place(const core::Run& run, const std::string& task, std::uint32_t attempt) {
  EZ_ASSIGN(const std::uint32_t index, task_index(run, task));
  const core::Task& found = run.tasks[index];
  if (attempt > found.attempt) {
    return Error(Code::AttemptNotFound, "task " + task + " of run " + to_text(run.id) + " has had " +
                                            std::to_string(found.attempt) + " attempts");
  }
  return Place{{run.id, task, attempt},
               index,
               core::is_terminal(run.state) ||
                   is_over(static_cast<std::uint8_t>(found.state), found.attempt, attempt)};
}

class LogFollower final : public Follower {
 public:
  LogFollower(Context& context, Place place, std::uint64_t offset)
      : Follower(context), place_(std::move(place)), offset_(offset), attempt_over_(place_.over) {}

  // On the engine's loop, so that no change comes between the look at the run and this.
  bool follow_run() {
    if (attempt_over_.load()) return true;
    const auto changed = [weak = weak_from_this()](std::span<const engine::HubEvent> events) {
      const auto self = std::static_pointer_cast<LogFollower>(weak.lock());
      if (!self) return;
      for (const engine::HubEvent& event : events) {
        const core::RunEvent& change = event.event;
        const bool ends = change.task == core::kNoInstance
                              ? core::is_terminal(static_cast<core::RunState>(change.state))
                              : change.task == self->place_.index &&
                                    is_over(change.state, change.attempt, self->place_.id.attempt);
        if (!ends) continue;
        self->attempt_over_.store(true);
        self->wake();
      }
    };
    subscription_ = context_.services.engine.events().subscribe(place_.id.run, UINT64_MAX, changed).number;
    return subscription_ != 0;
  }

 private:
  std::optional<Event> next() override {
    storage::AttemptLogs& logs = context_.services.logs;
    if (!watching_) {
      auto watch = logs.subscribe(place_.id, [weak = weak_from_this()](const storage::LogState&) {
        if (const auto self = weak.lock()) self->wake();
      });
      if (!watch.ok()) {
        give_up();
        return std::nullopt;
      }
      watch_ = std::move(watch).value();
      watching_ = true;
    }
    const bool over = attempt_over_.load();  // before the read: what was appended until then is seen
    auto chunk = logs.read(place_.id, offset_, kFollowedBytes);
    if (!chunk.ok()) {
      give_up();
      return std::nullopt;
    }
    const bool final = over || chunk->state.finished;
    const bool all = offset_ + chunk->bytes.size() >= chunk->state.size;
    const std::size_t size = final && all ? chunk->bytes.size() : whole_characters(chunk->bytes);
    if (size == 0) {
      if (!final) return std::nullopt;
      return Event{std::to_string(offset_), "end", "{\"size\":" + std::to_string(offset_) + "}", true};
    }
    chunk->bytes.resize(size);
    offset_ += size;
    return Event{std::to_string(offset_), "log", std::move(chunk->bytes), false};
  }

  void ended() override {
    watch_ = {};
    if (subscription_ != 0) context_.services.engine.events().unsubscribe(subscription_);
  }

  // Without the beginning of a character whose rest has not come yet.
  static std::size_t whole_characters(std::string_view bytes) {
    const std::size_t least = bytes.size() > 3 ? bytes.size() - 3 : 0;
    for (std::size_t at = bytes.size(); at > least; --at) {
      const auto byte = static_cast<unsigned char>(bytes[at - 1]);
      if (byte < 0x80) break;
      if (byte < 0xc0) continue;
      const std::size_t wanted = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return bytes.size() - (at - 1) < wanted ? at - 1 : bytes.size();
    }
    return bytes.size();
  }

  const Place place_;
  std::uint64_t offset_;  // render thread
  std::atomic<bool> attempt_over_;
  std::uint64_t subscription_ = 0;
  storage::LogSubscription watch_;  // render thread
  bool watching_ = false;
};

Result<std::int64_t> offset_of(const Request& request) {
  const auto last = last_event_id(request);
  if (!last) return request.query.number("offset", 0, 0, INT64_MAX);
  std::int64_t offset = 0;
  const auto [end, error] = std::from_chars(last->data(), last->data() + last->size(), offset);
  if (error != std::errc() || end != last->data() + last->size() || offset < 0) {
    return Error(Code::RequestInvalid, "Last-Event-ID: must be the byte offset of an event of this stream");
  }
  return offset;
}

void follow(Context& context, const DeferredPtr& answer, const Place& place, std::uint64_t offset,
            bool again) {
  if (again && place.over) {
    // A client that has everything and comes back is told that there is nothing more.
    const auto state = context.services.logs.state(place.id);
    if (state.ok() && offset >= state->size) {
      answer->responder().empty(204);
      return;
    }
  }
  const auto follower = std::make_shared<LogFollower>(context, place, offset);
  if (!follower->follow_run()) {
    answer->problem(overloaded("too many event streams are open"));
    return;
  }
  answer->responder().header("Cache-Control", "no-store");
  follower->open(std::move(answer->responder()));
}

void read_text(Context& context, const DeferredPtr& answer, const Place& place, std::uint64_t offset,
               std::size_t limit) {
  transfer(context, answer, [&context, answer, place, offset, limit] {
    auto chunk = context.services.logs.read(place.id, offset, limit);
    if (!chunk.ok()) {
      answer->problem(chunk.error());
      return;
    }
    answer->responder()
        .header("Ez-Log-Size", std::to_string(chunk->state.size))
        .header("Ez-Log-Finished", place.over || chunk->state.finished ? "true" : "false")
        .header("X-Content-Type-Options", "nosniff")
        .header("Cache-Control", "no-store");
    answer->responder().bytes(200, "text/plain; charset=utf-8", std::move(chunk->bytes));
  });
}

Status read_log(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "offset", "limit", "last_event_id"}));
  EZ_ASSIGN(const RunId run, run_of(request));
  EZ_ASSIGN(const std::uint32_t attempt, attempt_of(request));
  EZ_ASSIGN(const std::int64_t offset, offset_of(request));
  EZ_ASSIGN(const std::int64_t limit,
            request.query.number("limit", kDefaultReadBytes, 1,
                                 static_cast<std::int64_t>(storage::kMaxLogReadBytes)));
  const bool events = request.accepts("text/event-stream");
  const bool again = last_event_id(request).has_value();
  const std::string task = request.parameter("task");
  context.services.engine.find_run(run, [=, &context](const Result<Cow<core::Run>>& found) {
    const auto go = [&]() -> Status {
      if (!found.ok()) return found.error();
      EZ_TRY(answer->permit(Permission::kRunRead, (*found)->workflow->namespace_name));
      EZ_ASSIGN(const Place place, find_place(**found, task, attempt));
      if (events) {
        follow(context, answer, place, static_cast<std::uint64_t>(offset), again);
      } else {
        read_text(context, answer, place, static_cast<std::uint64_t>(offset),
                  static_cast<std::size_t>(limit));
      }
      return {};
    };
    if (const Status status = go(); !status.ok()) answer->problem(status.error());
  });
  return {};
}

// LOG_GAP with a further member `size`: where to send from.
void answer_gap(Context& context, const DeferredPtr& answer, const Error& error,
                const storage::AttemptId& id) {
  const auto size = context.services.logs.size(id);
  std::string body = problem_json(error, answer->responder().request_id());
  body.pop_back();
  body += ",\"size\":" + std::to_string(size.ok() ? *size : 0) + "}";
  answer->responder().bytes(info(error.code()).http_status, kProblemType, std::move(body));
}

Status append_log(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "fence", "offset"}));
  EZ_ASSIGN(const RunId run, run_of(request));
  EZ_ASSIGN(const std::uint32_t attempt, attempt_of(request));
  EZ_ASSIGN(const std::int64_t fence, request.query.number("fence", 0, 1, INT64_MAX));
  if (fence == 0) return Error(Code::RequestInvalid, "fence: is missing");
  if (request.query.find("offset") == nullptr) return Error(Code::RequestInvalid, "offset: is missing");
  EZ_ASSIGN(const std::int64_t offset, request.query.number("offset", 0, 0, INT64_MAX));
  const storage::AttemptId id{run, request.parameter("task"), attempt};
  const auto bytes = std::make_shared<std::string>(std::move(request.body));
  context.services.engine.read([&context, answer, id, fence, offset, bytes](const core::State& state) {
    const auto lease = state.leases.find(Fence{static_cast<std::uint64_t>(fence)});
    if (lease == state.leases.end() || lease->second.run != id.run || lease->second.task_key != id.task ||
        lease->second.attempt != id.attempt) {
      answer->problem(Error(Code::LeaseStale, "no live lease " + std::to_string(fence) + " is for attempt " +
                                                  std::to_string(id.attempt) + " of that task"));
      return;
    }
    transfer(context, answer, [&context, answer, id, offset, bytes] {
      const auto appended = context.services.logs.append(id, static_cast<std::uint64_t>(offset), *bytes);
      if (appended.ok()) {
        context.open_logs.opened(id);
        answer->json(200, Value(Value::Map{{"size", Value(static_cast<std::int64_t>(appended->size))},
                                           {"truncated", Value(appended->truncated)}}));
      } else if (appended.error().code() == Code::LogGap) {
        answer_gap(context, answer, appended.error(), id);
      } else {
        answer->problem(appended.error());
      }
    });
  });
  return {};
}

}  // namespace

void add_log_routes(Router& router, Context& context) {
  constexpr std::string_view kPattern = "/v1/runs/{run}/tasks/{task}/attempts/{attempt}/logs";
  add_route(router, context, Method::kGet, kPattern, Permission::kRunRead,
            "Read or follow the log of an attempt", read_log);
  add_route(router, context, Method::kPost, kPattern, Permission::kAgentWork,
            "Append to the log of an attempt", append_log, kMaxLogBodyBytes);
}

}  // namespace ez::http::api
