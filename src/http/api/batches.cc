#include "http/api/batches.h"

#include <algorithm>
#include <charconv>

#include "base/clock.h"
#include "core/view.h"
#include "http/api/fields.h"
#include "http/api/run_filter.h"
#include "http/api/signals.h"
#include "orchestration/text.h"

namespace ez::http::api {
namespace {

using core::pb::ControlRun;
using security::Permission;

constexpr std::size_t kMaxFilterBytes = 4'096;

Value number(std::uint64_t value) { return Value(static_cast<std::int64_t>(value)); }

// The names that a filter may use are the members of a run's view, and its inputs.
Result<bool> matches(const Expression& filter, const core::Run& run, const Value& view) {
  EZ_ASSIGN(const Value value, filter.evaluate([&](std::string_view name) {
    return name == "inputs" ? &run.inputs : view.find(name);
  }));
  if (value.is_bool()) return value.as_bool();
  return Error(Code::ExpressionFailed,
               "the filter gives a " + std::string(kind_name(value.kind())) + ", not a bool");
}

Value shown(const Value& view) {
  Value::Map map;
  for (const char* key : {"id", "namespace", "workflow", "state", "created_at"})
    map.emplace_back(key, *view.find(key));
  return Value(std::move(map));
}

Value batch_view(Batch& batch) {
  std::lock_guard lock(batch.mutex);
  Value::List failures;
  for (const BatchFailure& failure : batch.failures) {
    failures.push_back(Value(Value::Map{
        {"run", Value(failure.run)}, {"code", Value(failure.code)}, {"message", Value(failure.message)}}));
  }
  const char* state = batch.finished_ms == 0 ? "running" : batch.ended_by ? "ended_early" : "done";
  Value::Map map;
  if (batch.id != 0) map.emplace_back("batch", Value("b" + std::to_string(batch.id)));
  map.emplace_back("action", Value(batch.action));
  map.emplace_back("filter", Value(batch.filter_text));
  map.emplace_back("where", batch.where_given);
  map.emplace_back("namespace", Value(batch.name_space));
  if (batch.id != 0) map.emplace_back("state", Value(state));
  map.emplace_back("examined", number(batch.examined));
  map.emplace_back("matched", number(batch.matched));
  map.emplace_back("not_evaluated", number(batch.not_evaluated));
  if (batch.id != 0) {
    map.emplace_back("done", number(batch.done));
    map.emplace_back("refused", number(batch.refused));
    map.emplace_back("started_by", Value(batch.principal));
    map.emplace_back("started_at", Value(format_time(batch.started_ms)));
    map.emplace_back("finished_at", batch.finished_ms == 0 ? Value() : Value(format_time(batch.finished_ms)));
    map.emplace_back("error", batch.ended_by
                                  ? Value(Value::Map{{"code", Value(batch.ended_by->name())},
                                                     {"message", Value(batch.ended_by->message())}})
                                  : Value());
  }
  map.emplace_back("runs", Value(batch.shown));
  map.emplace_back("failures", Value(std::move(failures)));
  return Value(std::move(map));
}

void finish(Context& context, const BatchPtr& batch, std::optional<Error> error) {
  {
    std::lock_guard lock(batch->mutex);
    batch->finished_ms = context.services.clock.now_ms();
    batch->ended_by = error;
  }
  if (!batch->preview) return;
  if (error) {
    batch->preview->problem(*error);
  } else {
    batch->preview->json(200, batch_view(*batch));
  }
  batch->preview.reset();
}

void walk(Context& context, const BatchPtr& batch, RunId before);

void note_failure(Batch& batch, std::string run, const Error& error) {
  if (batch.failures.size() < kBatchShown)
    batch.failures.push_back({std::move(run), std::string(error.name()), error.message()});
}

// One action was answered; after the last one of the piece the walk goes on.
void acted(Context& context, const BatchPtr& batch, RunId run, RunId next, const Result<core::Reply>& reply) {
  std::optional<Error> over;
  bool last = false;
  {
    std::lock_guard lock(batch->mutex);
    if (reply.ok() && !reply->error) {
      ++batch->done;
    } else {
      // A run that ended meanwhile is no failure of the batch's, but it says so.
      ++batch->refused;
      note_failure(*batch, to_text(run), reply.ok() ? *reply->error : reply.error());
      if (!reply.ok() && reply.error().code() != Code::Overloaded) over = reply.error();
    }
    if (over && !batch->ended_by) batch->ended_by = over;
    last = --batch->open == 0;
    over = batch->ended_by;
  }
  if (!last) return;
  if (over) return finish(context, batch, over);
  walk(context, batch, next);
}

void act(Context& context, const BatchPtr& batch, const std::vector<RunId>& runs, RunId next) {
  {
    std::lock_guard lock(batch->mutex);
    batch->open = runs.size();
  }
  for (const RunId run : runs) {
    core::pb::Command command;
    if (batch->command == ControlRun::NONE) {
      *command.mutable_send_signal() = batch->signal;
      command.mutable_send_signal()->set_run(run.value);
      command.mutable_send_signal()->set_principal(batch->principal);
    } else {
      ControlRun& control = *command.mutable_control_run();
      control.set_run(run.value);
      control.set_action(batch->command);
      control.set_principal(batch->principal);
      control.set_comment(batch->comment);
    }
    context.services.engine.propose(
        std::move(command),
        [&context, batch, run, next](Result<core::Reply> reply) { acted(context, batch, run, next, reply); });
  }
}

void look_at(Context& context, const BatchPtr& batch, const std::vector<Cow<core::Run>>& runs) {
  if (runs.empty()) return finish(context, batch, std::nullopt);
  std::vector<RunId> found;
  {
    std::lock_guard lock(batch->mutex);
    for (const Cow<core::Run>& run : runs) {
      ++batch->examined;
      const Value view = core::run_summary(*run);
      const Result<bool> match =
          batch->filter.empty() ? Result<bool>(true) : matches(batch->filter.front(), *run, view);
      if (!match.ok()) {
        ++batch->not_evaluated;
        note_failure(*batch, to_text(run->id), match.error());
        continue;
      }
      if (!*match) continue;
      ++batch->matched;
      if (batch->shown.size() < kBatchShown) batch->shown.push_back(shown(view));
      found.push_back(run->id);
    }
  }
  const RunId next = runs.back()->id;
  if (batch->preview || found.empty()) return walk(context, batch, next);
  act(context, batch, found, next);
}

void walk(Context& context, const BatchPtr& batch, RunId before) {
  scan_live(
      context, before, kBatchPiece, [batch](const core::Run& run) { return batch->where.matches(run); },
      [&context, batch](std::vector<Cow<core::Run>> runs) {
        auto piece = std::make_shared<std::vector<Cow<core::Run>>>(std::move(runs));
        if (!context.renders.post([&context, batch, piece] { look_at(context, batch, *piece); }))
          finish(context, batch, overloaded("too many answers wait to be written"));
      });
}

Result<ControlRun::Action> action_of(const std::string& text) {
  if (text == "cancel") return ControlRun::CANCEL;
  if (text == "pause") return ControlRun::PAUSE;
  if (text == "resume") return ControlRun::RESUME;
  if (text == "retry") return ControlRun::RETRY;
  if (text == "signal") return ControlRun::NONE;
  return Error(Code::RequestInvalid, "action: must be cancel, pause, resume, retry or signal");
}

// Its members stand beside those of the batch.
void read_signal(const Request& request, Fields& fields, Batch& batch) {
  batch.signal.set_name(fields.line("signal", 63));
  read_signal_fields(request, fields, batch.signal);
  const bool sends = batch.action == "signal";
  if (sends && !orchestration::is_name(batch.signal.name())) fields.fail("signal", "must name a signal");
  const bool given =
      !batch.signal.name().empty() || !batch.signal.payload().empty() || !batch.signal.id().empty();
  if (!sends && given) fields.fail("signal", "goes together with the action signal, as payload and id do");
}

Status start_batch(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  const auto batch = std::make_shared<Batch>();
  batch->action = fields.need_line("action", 16);
  batch->filter_text = fields.text("filter", kMaxFilterBytes);
  batch->comment = fields.text("comment", kMaxCommentBytes);
  const bool preview = fields.flag("preview", false);
  read_signal(request, fields, *batch);
  const Value where = fields.map("where");
  EZ_TRY(fields.done());
  EZ_ASSIGN(batch->command, action_of(batch->action));
  EZ_ASSIGN(batch->where, read_run_filter(where, request.name_space()));
  batch->where_given = where;
  if (batch->filter_text.empty() && batch->where.is_empty()) {
    return Error(Code::RequestInvalid, "filter: is missing, and so is where",
                 "The filter `true` matches every live run of the namespace.");
  }
  if (!batch->filter_text.empty()) {
    EZ_ASSIGN(Expression filter, Expression::parse(batch->filter_text));
    batch->filter.push_back(std::move(filter));
  }
  batch->name_space = request.name_space();
  batch->principal = answer->principal();
  batch->started_ms = context.services.clock.now_ms();
  if (preview) {
    batch->preview = answer;
  } else {
    EZ_TRY(context.batches->add(batch));
    answer->responder().header("Location", "/v1/batches/b" + std::to_string(batch->id));
    answer->json(202, batch_view(*batch));
  }
  walk(context, batch, RunId{});
  return {};
}

Status may_see(const DeferredPtr& answer, const Batch& batch) {
  return answer->permit(Permission::kRunRead, batch.name_space);
}

Status show_batch(Context& context, Request& request, const DeferredPtr& answer) {
  const std::string& text = request.parameter("batch");
  std::uint64_t id = 0;
  const char* const end = text.data() + text.size();
  const bool is_id =
      text.size() > 1 && text[0] == 'b' && std::from_chars(text.data() + 1, end, id).ptr == end;
  const BatchPtr batch = is_id ? context.batches->find(id) : nullptr;
  if (!batch) return Error(Code::BatchNotFound, "no batch " + text.substr(0, 64));
  EZ_TRY(may_see(answer, *batch));
  answer->json(200, batch_view(*batch));
  return {};
}

Status list_batches(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace"}));
  Value::List items;
  for (const BatchPtr& batch : context.batches->all()) {
    if (may_see(answer, *batch).ok()) items.push_back(batch_view(*batch));
  }
  answer->list(items, "");
  return {};
}

}  // namespace

Status Batches::add(const BatchPtr& batch) {
  std::lock_guard lock(mutex_);
  std::size_t running = 0;
  for (const BatchPtr& other : batches_) {
    std::lock_guard inner(other->mutex);
    if (other->finished_ms == 0) ++running;
  }
  if (running >= kMaxRunningBatches) {
    return Error(Code::Overloaded, std::to_string(kMaxRunningBatches) + " batches are under way already");
  }
  // The oldest that is over is forgotten; with the bound above there always is one.
  while (batches_.size() >= kMaxBatches) {
    const auto over = std::find_if(batches_.begin(), batches_.end(), [](const BatchPtr& other) {
      std::lock_guard inner(other->mutex);
      return other->finished_ms != 0;
    });
    batches_.erase(over);
  }
  batch->id = next_++;
  batches_.push_back(batch);
  return {};
}

BatchPtr Batches::find(std::uint64_t id) const {
  std::lock_guard lock(mutex_);
  for (const BatchPtr& batch : batches_) {
    if (batch->id == id) return batch;
  }
  return nullptr;
}

std::vector<BatchPtr> Batches::all() const {
  std::lock_guard lock(mutex_);
  return {batches_.rbegin(), batches_.rend()};
}

void add_batch_routes(Router& router, Context& context) {
  context.batches = std::make_shared<Batches>();
  add_route(router, context, Method::kPost, "/v1/batches", Permission::kRunControl,
            "Do something to every live run that a filter matches", start_batch);
  add_route(router, context, Method::kGet, "/v1/batches", Permission::kRunRead, "List batches", list_batches);
  add_route(router, context, Method::kGet, "/v1/batches/{batch}", Permission::kRunRead, "Show a batch",
            show_batch);
}

}  // namespace ez::http::api
