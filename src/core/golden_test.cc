// Old bytes stay readable: tests/golden/core/batch.bin holds one command of each kind, snapshot.bin the state
// that they lead to. Both were written once; EZ_WRITE_GOLDEN=1 writes them anew, which only a new format may
// be a reason for.
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "core/test_world.h"

namespace ez::core {
namespace {

std::string path_of(const std::string& name) {
  const char* root = std::getenv("EZ_SOURCE_DIR");
  return std::string(root == nullptr ? "." : root) + "/tests/golden/core/" + name;
}

std::string read_file(const std::string& name) {
  std::ifstream file(path_of(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string encoded(const State& state) {
  std::string bytes;
  const Status status = encode_snapshot(freeze(state), [&](std::string_view piece) {
    bytes += piece;
    return Status();
  });
  EXPECT_TRUE(status.ok());
  return bytes;
}

void read_snapshot(const std::string& name, State& state) {
  const std::string bytes = read_file(name);
  bool given = false;
  const Status status = decode_snapshot(
      [&]() -> Result<std::string> {
        if (given) return std::string();
        given = true;
        return bytes;
      },
      state);
  ASSERT_TRUE(status.ok()) << status.error().to_string();
}

void replay(const std::string& bytes, State& state) {
  pb::Batch batch;
  ASSERT_TRUE(batch.ParseFromString(bytes));
  EXPECT_LE(batch.semantics(), kSemantics);
  Effects effects;
  std::uint64_t index = 0;
  for (const pb::Command& command : batch.commands()) {
    effects.clear();
    apply(state, command, LogIndex{++index}, effects);
  }
}

// One command of each kind, so that each field that they use is in the file.
std::string write_batch() {
  pb::Batch batch;
  batch.set_semantics(1);
  std::int64_t now = 1'800'000'000'000;
  const auto add = [&]() -> pb::Command& {
    pb::Command& command = *batch.add_commands();
    command.set_now_ms(now += 1'000);
    command.set_jitter_seed(7);
    return command;
  };
  const auto parsed = orchestration::parse_workflow(
      "name: golden\nrepository: /srv/repo\ninputs: {items: {type: list, default: [1, 2]}}\ntasks:\n"
      "  - {id: a, run: x, concurrency: {key: k, limit: 1}, retry: {backoff: 5s}}\n"
      "  - {id: b, for_each: '${{ inputs.items }}', dependencies: [a], run: x}\n"
      "  - {id: c, approval: {message: m}}\n");
  auto* workflow = add().mutable_register_workflow();
  workflow->set_namespace_("default");
  workflow->set_canonical(orchestration::to_canonical(*parsed.workflow));
  workflow->set_source("source");
  auto* file = workflow->add_files();
  file->set_path("tool.sh");
  file->set_sha256(std::string(64, 'a'));
  file->set_mode(0755);
  for (int i = 0; i < 2; ++i) {
    auto* start = add().mutable_start_run();
    start->set_namespace_("default");
    start->set_workflow("golden");
    start->set_idempotency_key("key-" + std::to_string(i));
    start->set_principal("p");
  }
  auto* agent = add().mutable_register_agent();
  agent->set_name("one");
  agent->set_type("exec");
  agent->set_capacity(4);
  agent->add_capabilities("cpp");
  auto* assign = add().mutable_assign();
  assign->set_agent(1);
  auto* item = assign->add_items();
  item->set_run(1);
  item->set_task(0);
  auto* result = add().mutable_report_result();
  result->set_fence(1);
  result->set_run(1);
  result->set_outcome(pb::ReportResult::SUCCEEDED);
  result->set_output(R"({"n": 1})");
  result->set_commit("c0ffee");
  result->set_branch("ez/r1/a.1");
  auto* artifact = result->add_artifacts();
  artifact->set_name("log.txt");
  artifact->set_sha256(std::string(64, 'b'));
  artifact->set_size(12);
  add().mutable_control_run()->set_run(2);
  batch.mutable_commands(batch.commands_size() - 1)->mutable_control_run()->set_action(pb::ControlRun::PAUSE);
  auto* decide = add().mutable_control_task();
  decide->set_run(1);
  decide->set_task("c");
  decide->set_action(pb::ControlTask::APPROVE);
  decide->set_principal("p");
  add().mutable_expire_leases()->add_fences(99);
  add().mutable_tick()->set_limit(10);
  add().mutable_remove_agent()->set_agent(99);
  return batch.SerializeAsString();
}

// Waits, signals and runs that start runs: what semantics 3 added.
std::string write_waits() {
  pb::Batch batch;
  batch.set_semantics(3);
  std::int64_t now = 1'800'000'000'000;
  const auto add = [&]() -> pb::Command& {
    pb::Command& command = *batch.add_commands();
    command.set_now_ms(now += 1'000);
    command.set_jitter_seed(7);
    return command;
  };
  for (const char* source :
       {"name: child\ninputs: {n: {type: int}}\noutputs: {n: inputs.n}\nqueries: {a: tasks.a.state}\ntasks:\n"
        "  - {id: a, when: inputs.n > 1, run: x}\n",
        "name: golden\nbudget: {cost_usd: 1, deadline: 1d}\ntasks:\n"
        "  - {id: sub, for_each: '${{ [1, 2] }}', workflow: {name: child, inputs: {n: '${{ item }}'}},\n"
        "     budget: {cost_usd: 0.25}}\n"
        "  - {id: first, wait: {signal: go, timeout: 1h}}\n  - {id: second, wait: {for: 1h}}\n"
        "  - {id: third, dependencies: [second], wait: {until: 2027-01-15T10:00:00Z}}\n"
        "  - {id: fourth, dependencies: [third], wait: {signal: go}}\n"}) {
    const auto parsed = orchestration::parse_workflow(source);
    auto* workflow = add().mutable_register_workflow();
    workflow->set_namespace_("default");
    workflow->set_canonical(orchestration::to_canonical(*parsed.workflow));
    workflow->set_source(source);
  }
  auto* start = add().mutable_start_run();
  start->set_namespace_("default");
  start->set_workflow("golden");
  start->set_principal("p");
  for (int i = 0; i < 3; ++i) {
    auto* signal = add().mutable_send_signal();
    signal->set_run(1);
    signal->set_name("go");
    signal->set_payload("{\"n\":" + std::to_string(i) + "}");
    signal->set_id("id-" + std::to_string(i));
    signal->set_principal("p");
  }
  auto* pause = add().mutable_control_run();
  pause->set_run(1);
  pause->set_action(pb::ControlRun::PAUSE);
  return batch.SerializeAsString();
}

TEST(Golden, WaitsAndFamiliesLeadToTheSameState) {
  if (std::getenv("EZ_WRITE_GOLDEN") != nullptr) {
    const std::string batch = write_waits();
    std::ofstream(path_of("waits.bin"), std::ios::binary) << batch;
    State state;
    replay(batch, state);
    std::ofstream(path_of("waits-snapshot.bin"), std::ios::binary) << encoded(state);
  }
  const std::string bytes = read_file("waits.bin");
  ASSERT_FALSE(bytes.empty());
  State state;
  replay(bytes, state);
  EXPECT_EQ(state.live_runs, 2U);  // the other child had nothing to do
  EXPECT_EQ(state.find_run(RunId{1})->mail->kept.size(), 2U);
  EXPECT_EQ(state.find_run(RunId{3})->lineage->task, "sub.1");
  State old;
  read_snapshot("waits-snapshot.bin", old);
  EXPECT_TRUE(find_broken_invariants(old).empty());
  EXPECT_EQ(encoded(state), encoded(old));
  EXPECT_EQ(write_waits(), bytes);
}

TEST(Golden, OldCommandsLeadToTheSameState) {
  if (std::getenv("EZ_WRITE_GOLDEN") != nullptr) {
    const std::string batch = write_batch();
    std::ofstream(path_of("batch.bin"), std::ios::binary) << batch;
    State state;
    replay(batch, state);
    std::ofstream(path_of("snapshot.bin"), std::ios::binary) << encoded(state);
  }
  const std::string bytes = read_file("batch.bin");
  ASSERT_FALSE(bytes.empty());
  State state;
  replay(bytes, state);
  EXPECT_EQ(state.live_runs, 2U);
  State old;
  read_snapshot("snapshot.bin", old);
  EXPECT_EQ(encoded(state), encoded(old));
  EXPECT_EQ(write_batch(), bytes);
}

TEST(Golden, AnOldSnapshotReadsBackToTheSameBytes) {
  const std::string bytes = read_file("snapshot.bin");
  State state;
  read_snapshot("snapshot.bin", state);
  EXPECT_TRUE(find_broken_invariants(state).empty());
  // But for the header, which names the semantics of the ez that writes.
  const auto without_header = [](const std::string& text) {
    return text.substr(4 + static_cast<unsigned char>(text.at(0)));
  };
  EXPECT_EQ(without_header(encoded(state)), without_header(bytes));
}

}  // namespace
}  // namespace ez::core
