// Agents: register, list, show, remove, heartbeat.
#include "base/json.h"
#include "core/view.h"
#include "http/api/context.h"
#include "http/api/fields.h"
#include "http/api/long_poll.h"
#include "http/api/pauses.h"

namespace ez::http::api {
namespace {

using security::Permission;

constexpr std::size_t kMaxCapabilities = 64;
constexpr std::int64_t kMaxCapacity = 1'024;

Status register_agent(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  core::pb::Command command;
  core::pb::RegisterAgent& agent = *command.mutable_register_agent();
  agent.set_name(fields.need_line("name", 128));
  agent.set_type(fields.need_line("type", 63));
  if (agent.type() == "merge") fields.fail("type", "the word merge is reserved");
  for (std::string& capability : fields.lines("capabilities", kMaxCapabilities, 63)) {
    agent.add_capabilities(std::move(capability));
  }
  agent.set_capacity(static_cast<std::uint32_t>(fields.number("capacity", 1, 1, kMaxCapacity)));
  agent.set_principal(answer->principal());
  EZ_TRY(fields.done());
  propose(context, answer, std::move(command), [answer](const core::Reply& reply) {
    const std::string id = to_text(reply.agent);
    answer->responder().header("Location", "/v1/agents/" + id);
    answer->json(201, Value(Value::Map{{"agent", Value(id)}, {"heartbeat_ms", Value(kHeartbeatMs)}}));
  });
  return {};
}

Value view_of(const core::Agent& agent, const core::PauseBoard& board) {
  Value view = core::agent_view(agent);
  view.set("state", Value(agent.running == 0 ? "idle" : agent.running < agent.capacity ? "working" : "full"));
  view.set("held_by", pause_view(board, core::PauseKind::kAgentType, "", agent.type));
  return view;
}

Status list_agents(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "type", "limit", "cursor"}));
  EZ_ASSIGN(const std::size_t limit, list_limit(request));
  EZ_ASSIGN(const std::vector<std::uint64_t> cursor, read_cursor('a', request, 1));
  std::string type;
  if (const std::string* given = request.query.find("type")) type = *given;
  const AgentId after{cursor.empty() ? 0 : cursor[0]};
  context.services.engine.read([&context, answer, limit, after, type](const core::State& state) {
    std::vector<core::Agent> page;
    for (auto at = state.agents.upper_bound(after); at != state.agents.end() && page.size() <= limit; ++at) {
      if (type.empty() || at->second.type == type) page.push_back(at->second);
    }
    render(context, answer, [answer, limit, page, board = state.pause_board] {
      Value::List items;
      for (std::size_t i = 0; i < std::min(limit, page.size()); ++i) items.push_back(view_of(page[i], board));
      answer->list(items, page.size() > limit ? make_cursor('a', {page[limit - 1].id.value}) : "");
    });
  });
  return {};
}

Status show_agent(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const AgentId id, agent_of(request));
  context.services.engine.read([answer, id](const core::State& state) {
    const auto found = state.agents.find(id);
    if (found == state.agents.end()) {
      answer->problem(Error(Code::AgentNotFound, "no agent " + to_text(id)));
    } else {
      answer->json(200, view_of(found->second, state.pause_board));
    }
  });
  return {};
}

Status remove_agent(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "reason"}));
  EZ_ASSIGN(const AgentId id, agent_of(request));
  core::pb::Command command;
  command.mutable_remove_agent()->set_agent(id.value);
  const std::string* reason = request.query.find("reason");
  command.mutable_remove_agent()->set_reason(reason == nullptr ? "removed by " + answer->principal()
                                                               : reason->substr(0, kMaxCommentBytes));
  propose(context, answer, std::move(command),
          [answer](const core::Reply&) { answer->responder().empty(204); });
  return {};
}

std::string heartbeat_json(const engine::HeartbeatAnswer& said) {
  std::string out = "{\"cancel\":";
  append_cancelled(out, said.cancel);
  out += ",\"unknown\":[";
  for (const Fence fence : said.unknown) {
    if (out.back() != '[') out.push_back(',');
    out += std::to_string(fence.value);
  }
  out += "]}";
  return out;
}

Status heartbeat(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const AgentId id, agent_of(request));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body, "", false);
  std::vector<Fence> fences;
  for (const Value& fence : fields.list("leases", kMaxFences)) {
    if (!fence.is_int() || fence.as_int() <= 0)
      fields.fail("leases", "its elements must be fences: positive integers");
    if (fence.is_int()) fences.push_back(Fence{static_cast<std::uint64_t>(fence.as_int())});
  }
  const std::int64_t wait_ms = fields.number("wait_ms", 0, 0, kMaxWaitMs);
  EZ_TRY(fields.done());
  const auto poll = std::make_shared<LongPoll>(context);
  answer->responder().on_disconnect(poll->abandoner());
  // First whether it is known: an agent that was removed must register again, not wait.
  context.services.engine.read([&context, answer, id, fences, wait_ms, poll](const core::State& state) {
    if (!state.agents.contains(id)) {
      (void)poll->answered();
      answer->problem(Error(Code::AgentNotFound, "no agent " + to_text(id)));
      return;
    }
    poll->begin(context.services.engine.heartbeat(id, fences, wait_ms > 0,
                                                  [answer, poll](const engine::HeartbeatAnswer& said) {
                                                    if (!poll->answered()) return;
                                                    answer->json(200, heartbeat_json(said));
                                                  }),
                std::chrono::milliseconds(wait_ms));
  });
  return {};
}

}  // namespace

void add_agent_routes(Router& router, Context& context) {
  constexpr std::uint64_t kHeartbeatBody = 256 * 1024;
  add_route(router, context, Method::kPost, "/v1/agents", Permission::kAgentRegister, "Register an agent",
            register_agent);
  add_route(router, context, Method::kGet, "/v1/agents", Permission::kAgentRead, "List agents", list_agents);
  add_route(router, context, Method::kGet, "/v1/agents/{agent}", Permission::kAgentRead, "Show an agent",
            show_agent);
  add_route(router, context, Method::kDelete, "/v1/agents/{agent}", Permission::kAgentRegister,
            "Remove an agent", remove_agent);
  add_route(router, context, Method::kPost, "/v1/agents/{agent}/heartbeat", Permission::kAgentWork,
            "Keep leases alive and learn what to stop", heartbeat, kHeartbeatBody);
}

}  // namespace ez::http::api
