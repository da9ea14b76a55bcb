#include "http/api/api.h"

#include "http/api/context.h"
#include "http/api/queue_consumers.h"

namespace ez::http::api {

Api::Api(Services services) : context_(std::make_unique<Context>(std::move(services))) {
  collect_metrics(*context_);
  collect_queue_metrics(*context_);
}

Api::~Api() {
  context_->timers.stop();
  context_->renders.stop();
  context_->transfers.stop();
  context_->model_calls.stop();
  if (context_->queue_consumers) context_->queue_consumers->stop();
}

void Api::add_routes(Router& router) {
  Context& context = *context_;
  add_status_routes(router, context);
  add_workflow_routes(router, context);
  add_run_routes(router, context);
  add_check_routes(router, context);
  add_batch_routes(router, context);
  add_export_routes(router, context);
  add_budget_routes(router, context);
  add_cost_routes(router, context);
  add_model_routes(router, context);
  add_signal_routes(router, context);
  add_query_routes(router, context);
  add_task_routes(router, context);
  add_approval_routes(router, context);
  add_event_routes(router, context);
  add_log_routes(router, context);
  add_namespace_routes(router, context);
  add_migrate_routes(router, context);
  add_schedule_routes(router, context);
  add_pause_routes(router, context);
  add_why_routes(router, context);
  add_agent_routes(router, context);
  add_work_routes(router, context);
  add_artifact_routes(router, context);
  add_queue_routes(router, context);
  add_trigger_routes(router, context);
  add_openapi_routes(router, context);
  context.http_metrics = std::make_unique<HttpMetrics>(context.services.metrics, router);
}

std::function<void(const Access&)> Api::on_access() {
  return [metrics = context_->http_metrics.get()](const Access& access) { metrics->observe(access); };
}

void Api::observe(const Server* server) {
  std::lock_guard lock(context_->server_mutex);
  context_->server = server;
}

}  // namespace ez::http::api
