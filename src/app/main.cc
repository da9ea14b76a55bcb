// The only place that wires concrete parts together.
#include "app/api_over_http.h"
#include "app/bench_gateway.h"
#include "app/flow_load.h"
#include "app/planner_model.h"
#include "app/rehearse.h"
#include "app/serve.h"
#include "app/worker.h"
#include "cli/command_line.h"

int main(int argc, char** argv) {
  ez::cli::Ports ports;
  ports.connect = ez::app::api_over_http;
  ports.serve = ez::app::serve;
  ports.work = ez::app::work;
  ports.rehearse = ez::app::rehearse;
  ports.planner = ez::app::planner_model;
  ports.bench_gateway = ez::app::bench_gateway;
  ports.bench_flow = ez::app::bench_flow;
  ports.version = EZ_VERSION;
  return ez::cli::run_command_line(argc, argv, ports);
}
