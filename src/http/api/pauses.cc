// Pauses of workflows, agent types and namespaces: list, pause, resume.
#include "http/api/pauses.h"

#include "core/view.h"
#include "http/api/fields.h"

namespace ez::http::api {
namespace {

using security::Permission;

Status list_pauses(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace"}));
  with_pauses(context, [&context, answer](const core::PauseBoard& board) {
    render(context, answer, [answer, board] {
      Value::List items;
      for (const core::Pause& pause : *board) items.push_back(core::pause_view(pause));
      answer->list(items, "");
    });
  });
  return {};
}

// What the body names, and the right to stop it.
Status read_target(Request& request, const DeferredPtr& answer, core::pb::SetPause& pause) {
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  const std::string workflow = fields.line("workflow", 63);
  const std::string type = fields.line("agent_type", 63);
  const std::string name_space = fields.line("namespace", 63);
  pause.set_comment(fields.text("comment", kMaxCommentBytes));
  const int named = (workflow.empty() ? 0 : 1) + (type.empty() ? 0 : 1) + (name_space.empty() ? 0 : 1);
  if (named != 1) fields.fail("workflow", "give one of workflow, agent_type and namespace");
  EZ_TRY(fields.done());
  if (!workflow.empty()) {
    pause.set_kind(static_cast<std::uint32_t>(core::PauseKind::kWorkflow));
    pause.set_namespace_(std::string(request.name_space()));
    pause.set_name(workflow);
    EZ_TRY(answer->permit(Permission::kRunControl, request.name_space()));
  } else if (!type.empty()) {
    // Agents serve all namespaces.
    pause.set_kind(static_cast<std::uint32_t>(core::PauseKind::kAgentType));
    pause.set_name(type);
    EZ_TRY(answer->permit(Permission::kRunControl, "*"));
  } else {
    pause.set_kind(static_cast<std::uint32_t>(core::PauseKind::kNamespace));
    pause.set_name(name_space);
    EZ_TRY(answer->permit(Permission::kRunControl, name_space));
  }
  pause.set_principal(answer->principal());
  return {};
}

Status set(Context& context, Request& request, const DeferredPtr& answer, bool paused) {
  core::pb::Command command;
  core::pb::SetPause& pause = *command.mutable_set_pause();
  EZ_TRY(read_target(request, answer, pause));
  pause.set_paused(paused);
  const auto kind = static_cast<core::PauseKind>(pause.kind());
  const std::string name = pause.name();
  propose(context, answer, std::move(command), [answer, kind, name, paused](const core::Reply& reply) {
    answer->json(200, Value(Value::Map{{"kind", Value(core::to_text(kind))},
                                       {"name", Value(name)},
                                       {"paused", Value(paused)},
                                       {"changed", Value(reply.created)}}));
  });
  return {};
}

Status pause(Context& context, Request& request, const DeferredPtr& answer) {
  return set(context, request, answer, true);
}
Status resume(Context& context, Request& request, const DeferredPtr& answer) {
  return set(context, request, answer, false);
}

}  // namespace

void with_pauses(Context& context, std::function<void(const core::PauseBoard&)> go_on) {
  context.services.engine.read(
      [go_on = std::move(go_on)](const core::State& state) { go_on(state.pause_board); });
}

Value pause_view(const core::PauseBoard& board, core::PauseKind kind, const std::string& name_space,
                 const std::string& name) {
  for (const core::Pause& pause : *board) {
    if (pause.kind == kind && pause.name == name && pause.name_space == name_space)
      return core::pause_view(pause);
  }
  return Value();
}

void add_held_by(Value& view, const core::PauseBoard& board, const core::Run& run) {
  Value held;
  if (!board->empty() && !core::is_terminal(run.state)) {
    const std::string& name_space = run.workflow->namespace_name;
    held = pause_view(board, core::PauseKind::kNamespace, "", name_space);
    if (held.is_null())
      held = pause_view(board, core::PauseKind::kWorkflow, name_space, run.definition().name);
  }
  view.set("held_by", std::move(held));
}

void add_pause_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/pauses", Permission::kRunRead, "List what is paused",
            list_pauses);
  add_route(router, context, Method::kPost, "/v1/pause", Permission::kRunControl,
            "Pause a workflow, an agent type or a namespace", pause);
  add_route(router, context, Method::kPost, "/v1/resume", Permission::kRunControl,
            "Resume a workflow, an agent type or a namespace", resume);
}

}  // namespace ez::http::api
