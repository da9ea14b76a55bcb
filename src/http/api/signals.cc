// Signals for a live run.
#include "base/json.h"
#include "http/api/signals.h"

namespace ez::http::api {
namespace {

using security::Permission;

Status send_signal(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const RunId run, run_of(request));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  core::pb::SendSignal signal;
  signal.set_run(run.value);
  signal.set_name(request.parameter("name"));
  read_signal_fields(request, fields, signal);
  EZ_TRY(fields.done());
  signal.set_principal(answer->principal());
  with_run(context, answer, run, Permission::kRunControl,
           [&context, answer, run, signal](const Cow<core::Run>& found) {
             if (core::is_terminal(found->state)) {
               answer->problem(Error(Code::WrongState, to_text(run) + " is over: it " +
                                                           std::string(core::to_text(found->state))));
               return;
             }
             core::pb::Command command;
             *command.mutable_send_signal() = signal;
             propose(context, answer, std::move(command),
                     [answer, run, name = signal.name()](const core::Reply& reply) {
                       answer->json(200, Value(Value::Map{
                                             {"run", Value(to_text(run))},
                                             {"signal", Value(name)},
                                             {"repeated", Value(!reply.created)},
                                             {"task", reply.task.empty() ? Value() : Value(reply.task)}}));
                     });
           });
  return {};
}

}  // namespace

void read_signal_fields(const Request& request, Fields& fields, core::pb::SendSignal& signal) {
  if (const Value payload = fields.any("payload"); !payload.is_null()) signal.set_payload(to_json(payload));
  if (signal.payload().size() > core::kMaxInlineBytes) {
    fields.fail(Error(Code::PayloadTooLarge,
                      "payload: it has " + std::to_string(signal.payload().size()) + " bytes; at most " +
                          std::to_string(core::kMaxInlineBytes) + " are allowed",
                      "Put large data into an artifact or a file, and send where it is."));
  }
  std::string id = fields.line("id", kMaxKeyBytes);
  if (const auto header = request.headers.find("idempotency-key")) {
    if (!id.empty() && id != *header) fields.fail("id", "differs from the header Idempotency-Key");
    if (header->size() > kMaxKeyBytes)
      fields.fail("id", "has more than " + std::to_string(kMaxKeyBytes) + " bytes");
    id = *header;
  }
  signal.set_id(id);
}

void add_signal_routes(Router& router, Context& context) {
  add_route(router, context, Method::kPost, "/v1/runs/{run}/signals/{name}", Permission::kRunControl,
            "Send a signal to a live run", send_signal);
}

}  // namespace ez::http::api
