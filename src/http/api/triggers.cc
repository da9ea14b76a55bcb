// Triggers: list, show, set, remove.
#include "engine/triggers.h"

#include "http/api/context.h"
#include "http/api/fields.h"
#include "queue/message.h"

namespace ez::http::api {
namespace {

using security::Permission;

constexpr std::size_t kMaxInputs = 100;
constexpr std::size_t kMaxText = 16 * 1024;

Result<engine::Triggers*> triggers_of(Context& context) {
  if (context.services.triggers != nullptr) return context.services.triggers;
  return Error(Code::NotLeader, "this server has no triggers");
}

Value trigger_view(const engine::TriggerState& state) {
  const auto number = [](std::uint64_t value) { return Value(static_cast<std::int64_t>(value)); };
  const engine::TriggerSpec& spec = state.spec;
  Value::Map inputs;
  for (const auto& [name, text] : spec.inputs) inputs.emplace_back(name, Value(text));
  Value view(Value::Map{{"name", Value(spec.name)},
                        {"namespace", Value(spec.name_space)},
                        {"topic", Value(spec.topic)},
                        {"workflow", Value(spec.workflow)},
                        {"version", number(spec.version)},
                        {"inputs", Value(std::move(inputs))},
                        {"when", Value(spec.when)},
                        {"paused", Value(spec.paused)},
                        {"group", Value("trigger-" + spec.name)},
                        {"started", number(state.started)},
                        {"repeated", number(state.repeated)},
                        {"skipped", number(state.skipped)},
                        {"failed", number(state.failed)}});
  if (!state.last_error.empty()) view.set("last_error", Value(state.last_error));
  return view;
}

Status list_triggers(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace"}));
  EZ_ASSIGN(engine::Triggers* const triggers, triggers_of(context));
  render(context, answer, [answer, triggers, name_space = std::string(request.name_space())] {
    Value::List items;
    for (const engine::TriggerState& state : triggers->list(name_space)) items.push_back(trigger_view(state));
    answer->list(items, "");
  });
  return {};
}

Status show_trigger(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(engine::Triggers* const triggers, triggers_of(context));
  EZ_ASSIGN(const engine::TriggerState state,
            triggers->find(std::string(request.name_space()), request.parameter("name")));
  answer->json(200, trigger_view(state));
  return {};
}

Status set_trigger(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(engine::Triggers* const triggers, triggers_of(context));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  engine::TriggerSpec spec;
  spec.name_space = request.name_space();
  spec.name = request.parameter("name");
  spec.topic = fields.need_line("topic", queue::kMaxTopicBytes);
  spec.workflow = fields.need_line("workflow", 63);
  spec.version = static_cast<std::uint32_t>(fields.number("version", 0, 0, UINT32_MAX));
  spec.when = fields.text("when", kMaxText);
  spec.paused = fields.flag("paused", false);
  spec.principal = answer->principal();
  const Value inputs = fields.map("inputs");
  if (inputs.as_map().size() > kMaxInputs) fields.fail("inputs", "has more than 100 members");
  for (const auto& [name, text] : inputs.as_map()) {
    if (text.is_string() && text.as_string().size() <= kMaxText) {
      spec.inputs.emplace_back(name, text.as_string());
    } else {
      fields.fail("inputs", "'" + name.substr(0, 64) + "' must be a text of at most 16 KiB, with ${{ }}");
    }
  }
  EZ_TRY(fields.done());
  EZ_TRY(engine::check_trigger(spec));
  if (spec.topic.find('/') != std::string::npos) {
    return Error(Code::InvalidArgument, "topic: holds a slash; name the namespace with ?namespace=");
  }
  transfer(context, answer, [answer, triggers, spec] {
    if (const Status status = triggers->set(spec); !status.ok()) {
      answer->problem(status.error());
      return;
    }
    const auto state = triggers->find(spec.name_space, spec.name);
    if (state.ok()) {
      answer->json(200, trigger_view(*state));
    } else {
      answer->problem(state.error());
    }
  });
  return {};
}

Status remove_trigger(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(engine::Triggers* const triggers, triggers_of(context));
  transfer(
      context, answer,
      [answer, triggers, name_space = std::string(request.name_space()), name = request.parameter("name")] {
        if (const Status status = triggers->remove(name_space, name); !status.ok()) {
          answer->problem(status.error());
        } else {
          answer->json(200, Value(Value::Map{{"removed", Value(name)}}));
        }
      });
  return {};
}

}  // namespace

// A trigger starts runs on behalf of whoever made it.
void add_trigger_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/triggers", Permission::kRunRead, "List triggers",
            list_triggers);
  add_route(router, context, Method::kGet, "/v1/triggers/{name}", Permission::kRunRead, "Show a trigger",
            show_trigger);
  add_route(router, context, Method::kPost, "/v1/triggers/{name}", Permission::kWorkflowWrite,
            "Make or replace a trigger", set_trigger);
  add_route(router, context, Method::kPost, "/v1/triggers/{name}/remove", Permission::kWorkflowWrite,
            "Remove a trigger", remove_trigger);
}

}  // namespace ez::http::api
