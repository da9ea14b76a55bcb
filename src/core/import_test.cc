#include "core/run_codec.h"
#include "core/snapshot.pb.h"
#include "core/test_world.h"

namespace ez::core {
namespace {

constexpr char kWorkflow[] =
    "name: w\nlabels: {team: storage}\ninputs: {items: {type: list, default: [1, 2]}}\ntasks:\n"
    "  - {id: a, run: echo}\n  - {id: each, dependencies: [a], for_each: '${{ inputs.items }}', run: echo}\n";

pb::Run finished_record(TestWorld& world) {
  world.workflow(kWorkflow);
  const RunId run = world.start("w");
  const AgentId agent = world.agent("one");
  world.finish(agent, run, "a", R"({"n": 1})");
  world.finish(agent, run, "each.0");
  world.pass(5'000);
  world.finish(agent, run, "each.1");
  pb::Run record;
  encode_run(world.run(run), record);
  return record;
}

pb::Command import_of(const pb::Run& record, std::uint32_t version = 1,
                      const std::string& origin = "r1-abc") {
  pb::Command command;
  auto* body = command.mutable_import_run();
  body->set_record(record.SerializeAsString());
  body->set_namespace_("default");
  body->set_workflow(record.workflow());
  body->set_version(version);
  body->set_origin(origin);
  return command;
}

TEST(ImportRun, AFinishedRunComesUnderTheNextNumberWithItsHistory) {
  TestWorld there;
  const pb::Run record = finished_record(there);
  TestWorld here;
  here.workflow("name: w\ntasks: [{id: other, run: x}]\n");
  here.workflow(kWorkflow);  // version 2 here
  const RunId mine = here.start("w");
  const Reply reply = here.send(import_of(record, 2));
  ASSERT_FALSE(reply.error) << reply.error->to_string();
  EXPECT_TRUE(reply.created);
  EXPECT_EQ(reply.run, RunId{mine.value + 1});
  const core::Run& run = here.run(reply.run);
  EXPECT_EQ(run.state, RunState::kSucceeded);
  EXPECT_EQ(run.created_ms, record.created_ms());
  EXPECT_EQ(run.finished_ms, record.finished_ms());
  EXPECT_EQ(run.workflow->version, 2U);
  EXPECT_EQ(run.tasks[run.find("a")].get().output, R"({"n": 1})");
  EXPECT_FALSE(run.tasks[run.find("a")].agent.valid());
  EXPECT_EQ(*orchestration::find_label(run.get_labels(), "team"), "storage");
  EXPECT_EQ(*orchestration::find_label(run.get_labels(), orchestration::kOriginLabel), "r1-abc");
  EXPECT_EQ(here.state.live_runs, 1U);
  // The same once more is the same run, also after a restart.
  EXPECT_EQ(here.send(import_of(record, 2)).run, reply.run);
  here.reread();
  const Reply again = here.send(import_of(record, 2));
  EXPECT_EQ(again.run, reply.run);
  EXPECT_FALSE(again.created);
  EXPECT_EQ(here.start("w"), RunId{reply.run.value + 1});
}

TEST(ImportRun, ARecordThatDoesNotFitIsRefusedAndChangesNothing) {
  TestWorld there;
  const pb::Run good = finished_record(there);
  TestWorld here;
  here.workflow(kWorkflow);
  const std::string before = state_hash(here.state);
  const auto refused = [&](const std::function<void(pb::Run&)>& change) {
    pb::Run record = good;
    change(record);
    const Reply reply = here.send(import_of(record));
    return reply.error ? std::string(reply.error->name()) : "taken";
  };
  EXPECT_EQ(refused([](pb::Run& run) { run.set_state(0); }), "REQUEST_INVALID");
  EXPECT_EQ(refused([](pb::Run& run) { run.set_state(77); }), "REQUEST_INVALID");
  EXPECT_EQ(refused([](pb::Run& run) { run.set_finished_ms(1); }), "REQUEST_INVALID");
  EXPECT_EQ(refused([](pb::Run& run) { run.set_inputs("{"); }), "REQUEST_INVALID");
  EXPECT_EQ(refused([](pb::Run& run) { run.mutable_tasks()->RemoveLast(); }), "REQUEST_INVALID");
  EXPECT_EQ(refused([](pb::Run& run) { run.mutable_tasks()->Clear(); }), "REQUEST_INVALID");
  EXPECT_EQ(refused([](pb::Run& run) { run.mutable_tasks(0)->set_definition(9); }), "REQUEST_INVALID");
  EXPECT_EQ(refused([](pb::Run& run) { run.mutable_tasks(0)->set_definition(1); }), "REQUEST_INVALID");
  EXPECT_EQ(refused([](pb::Run& run) { run.mutable_tasks(0)->set_state(3); }), "REQUEST_INVALID");
  EXPECT_EQ(refused([](pb::Run& run) { run.mutable_tasks(1)->set_child_count(3); }), "REQUEST_INVALID");
  EXPECT_EQ(refused([](pb::Run& run) { run.mutable_tasks(1)->set_first_child(UINT32_MAX); }),
            "REQUEST_INVALID");
  EXPECT_EQ(refused([](pb::Run& run) { run.mutable_tasks(3)->set_instance(1); }), "REQUEST_INVALID");
  EXPECT_EQ(refused([](pb::Run& run) { *run.add_tasks() = run.tasks(0); }), "REQUEST_INVALID");
  EXPECT_EQ(refused([](pb::Run& run) { run.set_workflow("none"); }), "WORKFLOW_NOT_FOUND");
  pb::Command garbage = import_of(good);
  garbage.mutable_import_run()->set_record("\xff\xff\xff");
  EXPECT_EQ(here.send(std::move(garbage)).error->code(), Code::RequestInvalid);
  EXPECT_EQ(here.send(import_of(good, 9)).error->code(), Code::WorkflowNotFound);
  here.state.applied = LogIndex{1};
  EXPECT_EQ(state_hash(here.state), before);
}

}  // namespace
}  // namespace ez::core
