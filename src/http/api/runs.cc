// Runs: start, list, show, control.
#include "base/json.h"
#include "core/view.h"
#include "engine/resume.h"
#include "http/api/context.h"
#include "http/api/fields.h"
#include "http/api/pauses.h"
#include "http/api/repository_check.h"
#include "http/api/run_list.h"
#include "http/api/task_control.h"
#include "models/gateway/gateway.h"

namespace ez::http::api {
namespace {

using core::pb::ControlRun;
using security::Permission;

// The key of the body, or of the header Idempotency-Key.
void read_idempotency_key(const Request& request, Fields& fields, core::pb::StartRun& start) {
  std::string key = fields.line("idempotency_key", kMaxKeyBytes);
  if (const auto header = request.headers.find("idempotency-key")) {
    if (!key.empty() && key != *header)
      fields.fail("idempotency_key", "differs from the header Idempotency-Key");
    if (header->size() > kMaxKeyBytes) {
      fields.fail(Error(Code::RequestInvalid, "the header Idempotency-Key has more than " +
                                                  std::to_string(kMaxKeyBytes) + " bytes"));
    }
    key = *header;
  }
  if (!key.empty()) start.set_idempotency_key(std::move(key));
}

Status read_start_labels(Fields& fields, core::pb::StartRun& start) {
  const Value given = fields.map("labels");
  orchestration::Labels labels;
  for (const auto& [name, value] : given.as_map()) {
    if (!value.is_string()) return Error(Code::RequestInvalid, "labels: the values are texts");
    if (name.starts_with(orchestration::kReservedLabels))
      return Error(Code::InputInvalid, "labels: names that begin with ez/ are not for those who start runs");
    EZ_TRY(orchestration::set_label(labels, name, value.as_string()));
  }
  for (const auto& [name, value] : labels) {
    core::pb::Label* label = start.add_labels();
    label->set_name(name);
    label->set_value(value);
  }
  return {};
}

void propose_start(Context& context, const DeferredPtr& answer, core::pb::StartRun start) {
  core::pb::Command command;
  *command.mutable_start_run() = std::move(start);
  propose(context, answer, std::move(command), [answer](const core::Reply& reply) {
    const std::string run = to_text(reply.run);
    answer->responder().header("Location", "/v1/runs/" + run);
    answer->json(reply.created ? 201 : 200, "{\"created\":" + std::string(reply.created ? "true" : "false") +
                                                ",\"run\":\"" + run + "\"}");
  });
}

Status start_run(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  core::pb::StartRun start;
  start.set_workflow(fields.need_line("workflow", 63));
  start.set_version(static_cast<std::uint32_t>(fields.number("version", 0, 0, UINT32_MAX)));
  const std::string name_space = fields.line("namespace", 63);
  start.set_namespace_(name_space.empty() ? std::string(request.name_space()) : name_space);
  const std::string priority = fields.line("priority", 16);
  if (!priority.empty()) {
    const auto parsed = orchestration::parse_priority(priority);
    if (!parsed) fields.fail("priority", "must be critical, high, normal, low or deferred");
    if (parsed) start.set_priority(static_cast<std::uint32_t>(*parsed) + 1);
  }
  EZ_TRY(read_start_labels(fields, start));
  const Value inputs = fields.map("inputs");
  start.set_inputs(
      to_json(inputs));  // the same inputs give the same bytes: that is what an idempotency key compares
  if (start.inputs().size() > kMaxInputsBytes) {
    return Error(Code::PayloadTooLarge, "inputs: they have " + std::to_string(start.inputs().size()) +
                                            " bytes; at most " + std::to_string(kMaxInputsBytes) +
                                            " are allowed");
  }
  read_idempotency_key(request, fields, start);
  EZ_TRY(fields.done());
  EZ_TRY(answer->permit(Permission::kRunStart, start.namespace_()));
  start.set_principal(answer->principal());

  // Shared by the steps, which copy what they hold; the last one takes it.
  const auto shared = std::make_shared<core::pb::StartRun>(std::move(start));
  context.services.engine.read([&context, answer, shared, inputs](const core::State& state) {
    const core::pb::StartRun& wanted = *shared;
    // A repeated request is answered with its run even when the repository has gone meanwhile.
    const bool repeated = !wanted.idempotency_key().empty() &&
                          state.idempotency.contains(wanted.namespace_() + "/" + wanted.idempotency_key());
    const auto workflow = state.find_workflow(wanted.namespace_(), wanted.workflow(), wanted.version());
    // Core names what is wrong, but knows nothing of the disk.
    if (repeated || !workflow || !names_repositories(*workflow))
      return propose_start(context, answer, std::move(*shared));
    render(context, answer, [&context, answer, shared, workflow, inputs] {
      if (const Status status = check_start(workflow, inputs); !status.ok()) {
        answer->problem(status.error());
      } else {
        propose_start(context, answer, std::move(*shared));
      }
    });
  });
  return {};
}

Status list(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(RunListRequest list, read_run_list(request));
  list_runs(context, answer, std::move(list));
  return {};
}

Status show_run(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "tasks"}));
  EZ_ASSIGN(const RunId run, run_of(request));
  const std::string* tasks = request.query.find("tasks");
  if (tasks != nullptr && *tasks != "true" && *tasks != "false") {
    return Error(Code::RequestInvalid, "tasks: must be true or false");
  }
  const bool with_tasks = tasks == nullptr || *tasks == "true";
  with_pauses(context, [&context, answer, run, with_tasks](const core::PauseBoard& board) {
    with_run(context, answer, run, Permission::kRunRead,
             [answer, with_tasks, board](const Cow<core::Run>& found) {
               Value view = with_tasks ? core::run_view(*found) : core::run_summary(*found);
               if (!with_tasks) view.set("inputs", found->inputs);
               add_held_by(view, board, *found);
               answer->json(200, view);
             });
  });
  return {};
}

void answer_summary(Context& context, const DeferredPtr& answer, RunId run) {
  with_run(context, answer, run, Permission::kRunControl,
           [answer](const Cow<core::Run>& found) { answer->json(200, core::run_summary(*found)); });
}

void propose_control(Context& context, const DeferredPtr& answer, RunId run, ControlRun::Action action,
                     const std::string& comment) {
  // What its calls of models do not need just now would count as spent with the end of the run.
  if (action == ControlRun::CANCEL && context.services.gateway != nullptr) {
    context.services.gateway->ledger().give_back(run);
  }
  core::pb::Command command;
  ControlRun& control = *command.mutable_control_run();
  control.set_run(run.value);
  control.set_action(action);
  control.set_principal(answer->principal());
  control.set_comment(comment);
  propose(context, answer, std::move(command),
          [&context, answer, run](const core::Reply&) { answer_summary(context, answer, run); });
}

template <ControlRun::Action action>
Status control_run(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const RunId run, run_of(request));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  const std::string comment = fields.text("comment", kMaxCommentBytes);
  EZ_TRY(fields.done());
  with_run(context, answer, run, Permission::kRunControl,
           [&context, answer, run, comment](const Cow<core::Run>& found) {
             if (!core::is_terminal(found->state))
               return propose_control(context, answer, run, action, comment);
             if (action == ControlRun::CANCEL && found->state == core::RunState::kCancelled) {
               return answer_summary(context, answer, run);  // a repeated cancel
             }
             answer->problem(Error(Code::WrongState, to_text(run) + " is over: it " +
                                                         std::string(core::to_text(found->state))));
           });
  return {};
}

// Of a live run: its paused tasks try again. Of a finished one: a new run that keeps what was done.
Status retry_run(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const RunId run, run_of(request));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  const std::string comment = fields.text("comment", kMaxCommentBytes);
  const std::string checkpoint = fields.line("checkpoint", 128);
  const std::vector<std::string> tasks = fields.lines("tasks", kMaxRestartTasks, 128);
  const std::string mode = read_restart_mode(fields);
  if (!tasks.empty() && !checkpoint.empty()) fields.fail("tasks", "does not go with checkpoint");
  if (tasks.empty() && !mode.empty()) fields.fail("mode", "has a meaning only together with tasks");
  core::pb::StartRun keyed;
  read_idempotency_key(request, fields, keyed);
  EZ_TRY(fields.done());
  const std::string key = keyed.idempotency_key();
  with_run(context, answer, run, Permission::kRunControl,
           [&context, answer, run, comment, checkpoint, tasks, mode, key](const Cow<core::Run>& found) {
             if (!core::is_terminal(found->state) && checkpoint.empty() && tasks.empty()) {
               return propose_control(context, answer, run, ControlRun::RETRY, comment);
             }
             auto start = tasks.empty() ? engine::resume_command(*found, checkpoint)
                                        : engine::restart_command(*found, tasks, mode != "keep");
             if (!start.ok()) {
               answer->problem(start.error());
               return;
             }
             if (const Status status = answer->permit(Permission::kRunStart, start->namespace_());
                 !status.ok()) {
               answer->problem(status.error());
               return;
             }
             start->set_idempotency_key(key);
             start->set_principal(answer->principal());
             propose_start(context, answer, std::move(start).value());
           });
  return {};
}

Status list_artifacts(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "limit", "cursor"}));
  EZ_ASSIGN(const RunId run, run_of(request));
  EZ_ASSIGN(const std::size_t limit, list_limit(request));
  EZ_ASSIGN(const std::vector<std::uint64_t> cursor, read_cursor('f', request, 2));
  with_run(context, answer, run, Permission::kRunRead, [answer, limit, cursor](const Cow<core::Run>& found) {
    // By task and place in its list: what comes later never changes the order of what was shown.
    std::uint64_t task = cursor.empty() ? 0 : cursor[0];
    std::uint64_t place = cursor.empty() ? 0 : cursor[1];
    Value::List items;
    for (; task < found->tasks.size(); ++task, place = 0) {
      const core::Task& at = found->tasks[static_cast<std::uint32_t>(task)];
      for (; place < at.get().artifacts.size(); ++place) {
        if (items.size() == limit) {
          answer->list(items, make_cursor('f', {task, place}));
          return;
        }
        const core::Artifact& artifact = at.get().artifacts[place];
        items.push_back(Value(Value::Map{{"task", Value(found->key_of(at))},
                                         {"name", Value(artifact.name)},
                                         {"sha256", Value(artifact.sha256)},
                                         {"size", Value(static_cast<std::int64_t>(artifact.size))}}));
      }
    }
    answer->list(items, "");
  });
  return {};
}

}  // namespace

void add_run_routes(Router& router, Context& context) {
  constexpr std::uint64_t kStartBody = 2 * kMaxInputsBytes;
  add_route(router, context, Method::kPost, "/v1/runs", Permission::kRunStart, "Start a run", start_run,
            kStartBody);
  add_route(router, context, Method::kGet, "/v1/runs", Permission::kRunRead, "List runs", list);
  add_route(router, context, Method::kGet, "/v1/runs/{run}", Permission::kRunRead, "Show a run", show_run);
  add_route(router, context, Method::kPost, "/v1/runs/{run}/cancel", Permission::kRunControl, "Cancel a run",
            control_run<ControlRun::CANCEL>);
  add_route(router, context, Method::kPost, "/v1/runs/{run}/pause", Permission::kRunControl, "Pause a run",
            control_run<ControlRun::PAUSE>);
  add_route(router, context, Method::kPost, "/v1/runs/{run}/resume", Permission::kRunControl,
            "Resume a paused run", control_run<ControlRun::RESUME>);
  add_route(router, context, Method::kPost, "/v1/runs/{run}/retry", Permission::kRunControl,
            "Retry the paused tasks of a live run, or take up a finished one", retry_run);
  add_route(router, context, Method::kGet, "/v1/runs/{run}/artifacts", Permission::kRunRead,
            "List the artifacts of a run", list_artifacts);
}

}  // namespace ez::http::api
