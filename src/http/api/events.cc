// GET /v1/runs/{run}/events: what happens in a run, as server-sent events.
//
//   snapshot  the run as it is, with its first tasks; `more` says that events `tasks` with the others follow
//   tasks     further tasks of the snapshot; the last piece of a snapshot carries its id
//   task      {task, state, attempt, at}
//   run       {state, at}
//   notice    {kind, at}: cost_warning, deadline_warning or budget_exceeded
//   end       {state}: the run is over and the stream closes
#include <charconv>
#include <deque>

#include "base/clock.h"
#include "base/json.h"
#include "core/view.h"
#include "http/api/context.h"
#include "http/api/follower.h"

namespace ez::http::api {
namespace {

using security::Permission;

constexpr std::string_view kEndId = "end";
constexpr std::size_t kMaxShownInputs = 256 * 1024;
constexpr std::size_t kMaxShownTask = 512 * 1024;
static_assert(kPieceBytes + kMaxShownTask + kMaxShownInputs < Follower::kBufferBytes);

class RunFollower final : public Follower {
 public:
  RunFollower(Context& context, RunId run) : Follower(context), run_(run) {}

  // On the engine's loop, so that no change comes between the look at the run and the subscription. `after`
  // is the last change that the client knows; none: it gets a snapshot. False: too many followers.
  bool start(const Cow<core::Run>& run, std::optional<std::uint64_t> after) {
    learn_tasks(*run);
    state_ = run->state;
    auto& hub = context_.services.engine.events();
    const auto subscription =
        hub.subscribe(run_, after.value_or(UINT64_MAX),
                      [weak = weak_from_this()](std::span<const engine::HubEvent> events) {
                        const auto self = std::static_pointer_cast<RunFollower>(weak.lock());
                        if (self) self->changed(events);
                      });
    subscription_ = subscription.number;
    if (!after || subscription.gap) {
      snapshot_ = run;
      snapshot_id_ = std::to_string(subscription.newest);
      std::lock_guard lock(mutex_);
      changes_.clear();
    }
    return subscription_ != 0;
  }

  // Nothing to tell, now or later.
  [[nodiscard]] bool finished() {
    std::lock_guard lock(mutex_);
    return !snapshot_ && changes_.empty() && core::is_terminal(state_);
  }
  void unsubscribe() { context_.services.engine.events().unsubscribe(subscription_); }

 private:
  struct TaskName {
    std::uint32_t definition;
    std::uint32_t instance;
  };

  void learn_tasks(const core::Run& run) {
    std::lock_guard lock(mutex_);
    workflow_ = run.workflow;
    for (auto i = static_cast<std::uint32_t>(names_.size()); i < run.tasks.size(); ++i) {
      names_.push_back({run.tasks[i].definition, run.tasks[i].instance});
    }
  }

  void changed(std::span<const engine::HubEvent> events) {
    {
      std::lock_guard lock(mutex_);
      if (changes_.size() + events.size() > kFollowerEvents) too_slow_ = true;
      if (!too_slow_) changes_.insert(changes_.end(), events.begin(), events.end());
    }
    wake();
  }

  std::optional<Event> next() override {
    if (snapshot_) return next_piece();
    engine::HubEvent change;
    {
      std::lock_guard lock(mutex_);
      if (too_slow_) {
        give_up();  // it comes back with the last id and goes on, or gets a snapshot
        return std::nullopt;
      }
      if (changes_.empty()) {
        if (!core::is_terminal(state_)) return std::nullopt;
        return Event{std::string(kEndId), "end", "{\"state\":\"" + std::string(core::to_text(state_)) + "\"}",
                     true};
      }
      change = changes_.front();
      const bool of_run = change.event.task == core::kNoInstance;
      if (of_run || change.event.task < names_.size()) {
        changes_.pop_front();
        return of_run ? run_event(change) : task_event(change);
      }
      if (looking_) return std::nullopt;
      looking_ = true;
    }
    look_again(change.event.task);
    return std::nullopt;
  }

  Event run_event(const engine::HubEvent& change) {
    // Its tasks are numbered anew: their names are learnt again when the next one changes.
    if (change.event.notice == core::RunNotice::kMigrated) names_.clear();
    if (change.event.notice != core::RunNotice::kNone) {
      return {std::to_string(change.id), "notice",
              "{\"kind\":\"" + std::string(core::to_text(change.event.notice)) + "\",\"at\":\"" +
                  format_time(change.event.at_ms) + "\"}",
              false};
    }
    state_ = static_cast<core::RunState>(change.event.state);
    return {std::to_string(change.id), "run",
            "{\"state\":\"" + std::string(core::to_text(state_)) + "\",\"at\":\"" +
                format_time(change.event.at_ms) + "\"}",
            false};
  }

  Event task_event(const engine::HubEvent& change) {
    const TaskName& name = names_[change.event.task];
    std::string data = "{\"task\":";
    std::string key = workflow_->definition->tasks[name.definition].id;
    if (name.instance != core::kNoInstance) key += "." + std::to_string(name.instance);
    append_json_string(data, key);
    data += ",\"state\":\"";
    data += core::to_text(static_cast<core::TaskState>(change.event.state));
    data += "\",\"attempt\":" + std::to_string(change.event.attempt) + ",\"at\":\"" +
            format_time(change.event.at_ms) + "\"}";
    return {std::to_string(change.id), "task", std::move(data), false};
  }

  // A for_each was expanded since: the names of its instances are in the run.
  void look_again(std::uint32_t wanted) {
    context_.services.engine.find_run(run_,
                                      [weak = weak_from_this(), wanted](const Result<Cow<core::Run>>& found) {
                                        const auto self = std::static_pointer_cast<RunFollower>(weak.lock());
                                        if (!self) return;
                                        if (found.ok()) self->learn_tasks(**found);
                                        if (!found.ok() || wanted >= (*found)->tasks.size()) self->give_up();
                                        {
                                          std::lock_guard lock(self->mutex_);
                                          self->looking_ = false;
                                        }
                                        self->wake();
                                      });
  }

  Event next_piece() {
    const core::Run& run = *snapshot_;
    const bool first = next_task_ == 0;
    std::string data;
    if (first) {
      Value summary = core::run_summary(run);
      std::string inputs = to_json(run.inputs);
      const bool omitted = inputs.size() > kMaxShownInputs;
      data = to_json(summary);
      data.pop_back();
      data += ",\"inputs\":" + (omitted ? std::string("null") : std::move(inputs));
      data += omitted ? ",\"inputs_omitted\":true,\"tasks\":[" : ",\"tasks\":[";
    } else {
      data = "{\"tasks\":[";
    }
    for (std::size_t begin = data.size();
         next_task_ < run.tasks.size() && data.size() - begin < kPieceBytes;) {
      if (data.size() > begin) data.push_back(',');
      append_task(data, run, next_task_++);
    }
    const bool more = next_task_ < run.tasks.size();
    data += more ? "],\"more\":true}" : "],\"more\":false}";
    Event event{more ? std::string() : snapshot_id_, first ? "snapshot" : "tasks", std::move(data), false};
    if (!more) snapshot_ = {};
    return event;
  }

  static void append_task(std::string& out, const core::Run& run, std::uint32_t index) {
    const std::string text = to_json(core::task_view(run, index));
    if (text.size() <= kMaxShownTask) {
      out += text;
      return;
    }
    const core::Task& task = run.tasks[index];
    append_json(out, Value(Value::Map{{"id", Value(run.key_of(task))},
                                      {"state", Value(core::to_text(task.state))},
                                      {"attempt", Value(static_cast<std::int64_t>(task.attempt))},
                                      {"truncated", Value(true)}}));
  }

  void ended() override {
    unsubscribe();
    snapshot_ = {};
  }

  const RunId run_;
  std::uint64_t subscription_ = 0;
  core::RunState state_ = core::RunState::kRunning;  // as told to the client; render thread after start()
  Cow<core::Run> snapshot_;                          // what is still to be told of it; likewise
  std::string snapshot_id_;
  std::uint32_t next_task_ = 0;
  std::mutex mutex_;
  // Guarded by mutex_:
  std::shared_ptr<const core::WorkflowVersion> workflow_;
  std::vector<TaskName> names_;
  std::deque<engine::HubEvent> changes_;
  bool too_slow_ = false;
  bool looking_ = false;  // for the names of new tasks
};

void follow(Context& context, const DeferredPtr& answer, const Cow<core::Run>& run,
            std::optional<std::uint64_t> after) {
  const auto follower = std::make_shared<RunFollower>(context, run->id);
  if (!follower->start(run, after)) {
    answer->problem(overloaded("too many event streams are open"));
    return;
  }
  if (follower->finished()) {
    follower->unsubscribe();
    answer->responder().empty(204);
    return;
  }
  answer->responder().header("Cache-Control", "no-store");
  follower->open(std::move(answer->responder()));
}

Status follow_run(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "last_event_id"}));
  EZ_ASSIGN(const RunId run, run_of(request));
  std::optional<std::uint64_t> after;
  const auto last = last_event_id(request);
  const bool had_end = last == kEndId;
  if (last && !last->empty() && !had_end) {
    std::uint64_t id = 0;
    const auto [end, error] = std::from_chars(last->data(), last->data() + last->size(), id);
    if (error != std::errc() || end != last->data() + last->size()) {
      return Error(Code::RequestInvalid, "Last-Event-ID: must be the id of an event of this stream");
    }
    after = id;
  }
  context.services.engine.find_run(
      run, [&context, answer, after, had_end](const Result<Cow<core::Run>>& found) {
        const auto go = [&]() -> Status {
          if (!found.ok()) return found.error();
          EZ_TRY(answer->permit(Permission::kRunRead, (*found)->workflow->namespace_name));
          if (had_end) {
            answer->responder().empty(204);  // tells an EventSource not to come back
          } else {
            follow(context, answer, *found, after);
          }
          return {};
        };
        if (const Status status = go(); !status.ok()) answer->problem(status.error());
      });
  return {};
}

}  // namespace

void add_event_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/runs/{run}/events", Permission::kRunRead, "Follow a run",
            follow_run);
}

}  // namespace ez::http::api
