// POST /v1/work: results in, tasks out. The one endpoint that every task of every run passes twice.
#include <algorithm>

#include "base/json.h"
#include "engine/work_item.h"
#include "engine/work_result.h"
#include "http/api/context.h"
#include "http/api/long_poll.h"
#include "http/api/work_request.h"
#include "models/gateway/gateway.h"
#include "security/lease_keys.h"

namespace ez::http::api {
namespace {

using core::Reply;
using security::Permission;

std::string_view status_name(Reply::Result result) {
  switch (result) {
    case Reply::Result::kAccepted:
      return "accepted";
    case Reply::Result::kDuplicate:
      return "duplicate";
    default:
      return "stale";
  }
}

std::string render_work(Context& context, const engine::WorkAnswer& work, const std::string& gateway_url) {
  std::string out;
  out.reserve(64 + work.accepted.size() * 40 + work.tasks.size() * 1'500);
  out += "{\"accepted\":[";
  for (const auto& [fence, result] : work.accepted) {
    if (out.back() != '[') out.push_back(',');
    out += "{\"fence\":" + std::to_string(fence.value) + ",\"status\":\"";
    out += status_name(result);
    out += "\"}";
  }
  out += "],\"tasks\":[";
  for (const engine::WorkTask& task : work.tasks) {
    const std::size_t before = out.size();
    if (out.back() != '[') out.push_back(',');
    engine::ModelAccess models;
    if (context.services.gateway != nullptr) {
      models = {gateway_url, context.services.lease_keys->make(task.lease.run, task.lease.fence)};
    }
    const Status item = engine::append_work_item(out, *task.run, task.lease,
                                                 context.services.gateway != nullptr ? &models : nullptr);
    if (!item.ok()) {
      out.resize(before);
      context.services.engine.propose(engine::unmakeable_item(task.lease, item.error()),
                                      [](const Result<Reply>&) {});
    }
  }
  out += "],\"cancel\":";
  append_cancelled(out, work.cancel);
  out.push_back('}');
  return out;
}

// The logs of attempts that are over: no more bytes will come.
void close_logs(Context& context, const std::vector<WorkBody::Ending>& endings,
                const engine::WorkAnswer& work) {
  for (const WorkBody::Ending& ending : endings) {
    const bool accepted = std::find(work.accepted.begin(), work.accepted.end(),
                                    std::pair(ending.fence, Reply::Result::kAccepted)) != work.accepted.end();
    if (!accepted || !context.open_logs.take(ending.attempt)) continue;
    // When there is no room the log stays open, which its readers do not notice.
    (void)context.transfers.post(
        [&context, attempt = ending.attempt] { (void)context.services.logs.finish(attempt); });
  }
}

// The agent reaches the gateway where it reached us.
std::string gateway_url(const Context& context, const Request& request) {
  if (!context.services.gateway_url.empty()) return context.services.gateway_url;
  return "http://" + std::string(request.headers.find("host").value_or("127.0.0.1"));
}

Status work(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const Value body, request.json_object());
  EZ_ASSIGN(WorkBody read, read_work(body, context.services.blobs));
  if (context.services.gateway != nullptr) {
    // What the work cost is in the log before its result is.
    for (const auto& result : read.request.results) {
      context.services.gateway->ledger().close(Fence{result.fence()});
    }
  }
  const auto poll = std::make_shared<LongPoll>(context);
  answer->responder().on_disconnect(poll->abandoner());
  auto waiting = context.services.engine.work(
      std::move(read.request), [&context, answer, poll, url = gateway_url(context, request),
                                endings = std::move(read.endings)](Result<engine::WorkAnswer> result) {
        // What was accepted is so, whether the agent still listens or not.
        if (result.ok()) close_logs(context, endings, *result);
        if (!poll->answered()) return false;
        if (!result.ok()) return answer->problem(result.error());
        const auto held = std::make_shared<engine::WorkAnswer>(std::move(result).value());
        return answer->responder().json_later(
            200, [&context, held, url] { return render_work(context, *held, url); });
      });
  poll->begin(std::move(waiting), std::chrono::milliseconds(read.wait_ms));
  return {};
}

}  // namespace

void add_work_routes(Router& router, Context& context) {
  add_route(router, context, Method::kPost, "/v1/work", Permission::kAgentWork,
            "Report results and take work", work, kMaxWorkBodyBytes);
}

}  // namespace ez::http::api
