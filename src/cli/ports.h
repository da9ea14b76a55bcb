// What the command line needs from the parts that it may not know: a client, a server, a worker. app/ wires
// them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/value.h"
#include "cli/api_port.h"
#include "orchestration/parse.h"
#include "planning/planner.h"

namespace ez::cli {

// Where a server is and what it takes to be let in. One of token and token_file is set, or none.
struct Endpoint {
  std::string url;
  std::string token;
  std::string token_file;
  std::string name_space;  // of the requests; empty: default
};

// `ez up`.
struct ServeOptions {
  std::string data;                              // absolute
  std::string listen = "127.0.0.1:7878";         // port 0: any free one
  std::vector<std::string> hosts;                // further names that clients may use for this server
  std::vector<std::string> origins;              // sites whose pages may call
  std::int64_t agents = -1;                      // capacity of the embedded worker; -1: one a core, 0: none
  std::vector<std::string> capabilities;         // of the embedded worker
  std::vector<std::string> agent_types{"exec"};  // of the embedded worker
  std::vector<std::string> shown;                // what its sandboxes see besides; absolute
  int io_threads = 1;
  std::int64_t retain_days = 0;  // of finished runs; 0: no limit
  std::int64_t retain_runs = 0;
  std::string queues_file;    // absolute; empty: <data>/queues.yaml when it is there
  std::string queue_url;      // the broker that is every topic's primary; not with queues_file
  std::string models_file;    // absolute; empty: <data>/models.yaml when it is there
  std::string cassette_file;  // absolute; empty: as the models file says
  std::string cassette_mode;  // record, replay or strict; empty: replay
  std::string gateway_url;    // what agents are told; empty: where they reached this server
  std::string log_file;       // empty: standard error
  std::string log_level = "info";
  int report_fd = -1;   // see report() in app/serve.h
  std::string program;  // of this ez, to start the worker
  std::string version;
};

// `ez agent`.
struct AgentOptions {
  Endpoint endpoint;
  std::string name;
  std::vector<std::string> types{"exec"};  // not empty, each once
  std::string agents_file;                 // agent types over the built-in ones; empty: none
  std::vector<std::string> shown;          // more folders that sandboxes see, read-only; absolute
  std::int64_t capacity = 1;               // of each type
  std::vector<std::string> capabilities;
  std::string workspaces;  // absolute folder
  std::string log_level = "info";
  std::string version;
};

// `ez new`: the model that plans.
struct PlannerOptions {
  std::string data;                         // absolute; models.yaml is looked for there
  std::string models_file;                  // absolute; empty: that of the data directory
  std::string cassette_file;                // absolute; empty: as the models file says
  std::string cassette_mode;                // record, replay or strict; empty: replay
  std::int64_t limit_microusd = 2'000'000;  // what planning may cost
  std::string version;
};

// `ez bench gateway`.
struct BenchGatewayOptions {
  std::string program;  // of this ez, to start a server
  std::int64_t streams = 200;
  std::int64_t seconds = 10;
};

// `ez bench flow`: the clients of a server that runs.
struct BenchFlowOptions {
  Endpoint endpoint;
  std::int64_t workflows = 0;
  std::int64_t agents = 0;
  std::int64_t window = 0;   // runs under way at a time
  std::int64_t wait_ms = 0;  // how long an agent's call waits for work
};
struct BenchFlowFigures {
  std::int64_t duration_us = 1;
  std::vector<std::int64_t> assign_us;  // of each task
  std::vector<std::int64_t> flow_us;    // of each run, end to end
};

// One played test of `ez test`.
struct RehearsedTest {
  struct Mismatch {
    int line = 0;  // of the expectation in the test file
    int column = 0;
    std::string what;
  };
  std::string name;
  int line = 0;
  int column = 0;
  std::vector<Mismatch> mismatches;  // empty: passed
  std::string state;                 // of the run at its end; empty: it was not started
  std::int64_t simulated_ms = 0;
  std::int64_t cost_microusd = 0;
  std::int64_t took_us = 0;
  std::vector<std::string> timeline;
};

struct Rehearsal {
  std::vector<orchestration::Diagnostic> mistakes;  // of the test file; then no test was played
  std::vector<RehearsedTest> tests;
};

struct Ports {
  std::function<Result<std::unique_ptr<Api>>(const Endpoint&)> connect;
  // Both return when a signal asked them to stop, or with the error that ended them.
  std::function<Status(const ServeOptions&)> serve;
  std::function<Status(const AgentOptions&)> work;
  std::function<Result<Value>(const BenchGatewayOptions&)> bench_gateway;
  std::function<Result<std::unique_ptr<planning::PlannerModel>>(const PlannerOptions&)> planner;
  std::function<Result<BenchFlowFigures>(const BenchFlowOptions&)> bench_flow;
  // Plays the tests of that file whose names contain `only`.
  std::function<Result<Rehearsal>(const orchestration::Workflow& workflow, const std::string& tests,
                                  const std::string& only)>
      rehearse;
  std::string version;
};

}  // namespace ez::cli
