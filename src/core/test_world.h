// For the tests of core: a state, a clock and short ways to propose commands. Not part of the library.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "core/apply.h"
#include "core/invariants.h"
#include "core/snapshot.h"
#include "orchestration/parse.h"

namespace ez::core {

class TestWorld {
 public:
  // Registers the workflow file and returns its version.
  std::uint32_t workflow(const std::string& source) {
    const auto parsed = orchestration::parse_workflow(source);
    EXPECT_TRUE(parsed.ok()) << (parsed.diagnostics.empty() ? "" : parsed.diagnostics[0].to_string());
    if (!parsed.ok()) return 0;
    pb::Command command;
    auto* body = command.mutable_register_workflow();
    body->set_namespace_("default");
    body->set_canonical(orchestration::to_canonical(*parsed.workflow));
    body->set_source(source);
    return send(std::move(command)).version;
  }
  RunId start(const std::string& name, const std::string& inputs = "{}", const std::string& key = "") {
    pb::Command command;
    auto* body = command.mutable_start_run();
    body->set_namespace_("default");
    body->set_workflow(name);
    body->set_inputs(inputs);
    body->set_idempotency_key(key);
    body->set_principal("tester");
    return send(std::move(command)).run;
  }
  AgentId agent(const std::string& name, std::uint32_t capacity = 100, const std::string& type = "exec",
                std::vector<std::string> capabilities = {}) {
    pb::Command command;
    auto* body = command.mutable_register_agent();
    body->set_name(name);
    body->set_type(type);
    body->set_capacity(capacity);
    for (auto& capability : capabilities) body->add_capabilities(capability);
    return send(std::move(command)).agent;
  }
  // Leases of the tasks that were granted.
  std::vector<Lease> assign(AgentId id, RunId run, const std::vector<std::string>& tasks) {
    pb::Command command;
    command.mutable_assign()->set_agent(id.value);
    for (const std::string& key : tasks) {
      auto* item = command.mutable_assign()->add_items();
      item->set_run(run.value);
      item->set_task(state.find_run(run)->find(key));
    }
    return send(std::move(command)).granted;
  }
  Reply::Result report(const Lease& lease, pb::ReportResult::Outcome outcome, const std::string& output = "",
                       const std::string& commit = "") {
    pb::ReportResult result;
    result.set_outcome(outcome);
    result.set_output(output);
    result.set_commit(commit);
    if (outcome == pb::ReportResult::FAILED) result.set_error_code("COMMAND_FAILED");
    return report(lease, std::move(result));
  }
  Reply::Result report(const Lease& lease, pb::ReportResult result) {
    result.set_fence(lease.fence.value);
    result.set_run(lease.run.value);
    pb::Command command;
    *command.mutable_report_result() = std::move(result);
    return send(std::move(command)).result;
  }
  // Assigns and succeeds.
  void finish(AgentId id, RunId run, const std::string& task, const std::string& output = "",
              const std::string& commit = "") {
    const auto leases = assign(id, run, {task});
    ASSERT_EQ(leases.size(), 1U) << task << " is " << to_text(state_of(run, task));
    EXPECT_EQ(report(leases[0], pb::ReportResult::SUCCEEDED, output, commit), Reply::Result::kAccepted);
  }
  Reply control(RunId run, pb::ControlRun::Action action) {
    pb::Command command;
    command.mutable_control_run()->set_run(run.value);
    command.mutable_control_run()->set_action(action);
    command.mutable_control_run()->set_principal("tester");
    return send(std::move(command));
  }
  Reply decide(RunId run, const std::string& task, pb::ControlTask::Action action) {
    pb::Command command;
    command.mutable_control_task()->set_run(run.value);
    command.mutable_control_task()->set_task(task);
    command.mutable_control_task()->set_action(action);
    command.mutable_control_task()->set_principal("tester");
    return send(std::move(command));
  }
  void pass(std::int64_t ms) {
    now_ms += ms;
    pb::Command command;
    command.mutable_tick()->set_limit(1000);
    send(std::move(command));
  }
  // Goes on with the state as its own snapshot gives it back.
  void reread() {
    std::string bytes;
    EXPECT_TRUE(encode_snapshot(freeze(state), [&](std::string_view piece) {
                  bytes += piece;
                  return Status();
                }).ok());
    State copy;
    bool given = false;
    const Status status = decode_snapshot(
        [&]() -> Result<std::string> {
          if (given) return std::string();
          given = true;
          return bytes;
        },
        copy);
    EXPECT_TRUE(status.ok()) << status.error().to_string();
    EXPECT_EQ(state_hash(copy), state_hash(state));
    state = std::move(copy);
    EXPECT_TRUE(find_broken_invariants(state).empty());
  }
  Reply send(pb::Command command) {
    command.set_now_ms(now_ms);
    command.set_jitter_seed(7);
    effects.clear();
    apply(state, command, LogIndex{++index}, effects);
    for (const auto& run : effects.finished) done[run->id] = run;
    const auto broken = find_broken_invariants(state);
    EXPECT_TRUE(broken.empty()) << broken[0];
    return effects.reply;
  }
  [[nodiscard]] const Run& run(RunId id) const {
    const Run* live = state.find_run(id);
    return live != nullptr ? *live : *done.at(id);
  }
  [[nodiscard]] TaskState state_of(RunId id, const std::string& key) const {
    const Run& where = run(id);
    return where.tasks[where.find(key)].state;
  }

  State state;
  Effects effects;
  std::map<RunId, Cow<Run>> done;
  std::int64_t now_ms = 1'000'000;
  std::uint64_t index = 0;
};

}  // namespace ez::core
