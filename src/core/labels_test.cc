#include "core/test_world.h"
#include "core/view.h"

namespace ez::core {
namespace {

constexpr char kWorkflow[] = R"(name: w
inputs: {customer: {type: string, default: acme}}
labels:
  team: storage
  customer: ${{ inputs.customer }}
tasks:
  - {id: a, run: echo}
)";

Reply start(TestWorld& world, const std::vector<std::pair<std::string, std::string>>& labels,
            const std::string& key = "", const std::string& inputs = "{}") {
  pb::Command command;
  auto* body = command.mutable_start_run();
  body->set_namespace_("default");
  body->set_workflow("w");
  body->set_inputs(inputs);
  body->set_idempotency_key(key);
  for (const auto& [name, value] : labels) {
    auto* label = body->add_labels();
    label->set_name(name);
    label->set_value(value);
  }
  return world.send(std::move(command));
}

TEST(Labels, TheStartsComeOverTheWorkflows) {
  TestWorld world;
  world.workflow(kWorkflow);
  const RunId run = start(world, {{"env", "prod"}, {"team", "other"}}).run;
  const orchestration::Labels expected{{"customer", "acme"}, {"env", "prod"}, {"team", "other"}};
  EXPECT_EQ(world.run(run).get_labels(), expected);
  world.reread();
  EXPECT_EQ(world.run(run).get_labels(), expected);
  EXPECT_EQ(run_summary(world.run(run)).find("labels")->string_or("env", ""), "prod");
  // They stay with the record of the finished run.
  const AgentId agent = world.agent("one");
  world.finish(agent, run, "a");
  EXPECT_EQ(world.run(run).get_labels(), expected);
  EXPECT_EQ(decode_run(encode_run(world.run(run)), world.state)->get_labels(), expected);
}

TEST(Labels, WhatIsNoLabelIsRefusedAndStartsNothing) {
  TestWorld world;
  world.workflow(kWorkflow);
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"", "x"},
                                                        {"Team", "x"},
                                                        {"-a", "x"},
                                                        {"a b", "x"},
                                                        {std::string(64, 'a'), "x"},
                                                        {"a", ""},
                                                        {"a", "line\nend"},
                                                        {"a", std::string(129, 'x')},
                                                        {"a", "\xff"}}) {
    const Reply reply = start(world, {{name, value}});
    ASSERT_TRUE(reply.error) << name;
    EXPECT_EQ(reply.error->code(), Code::InputInvalid);
  }
  std::vector<std::pair<std::string, std::string>> many;
  for (int i = 0; i < 15; ++i) many.emplace_back("l" + std::to_string(i), "x");
  EXPECT_EQ(start(world, many).error->code(), Code::InputInvalid) << "with the workflow's there are 17";
  // A value that comes of an input is bounded as well.
  EXPECT_EQ(start(world, {}, "", R"({"customer": ""})").error->code(), Code::InputInvalid);
  EXPECT_EQ(world.state.live_runs, 0U);
}

TEST(Labels, AnIdempotencyKeyIsForTheSameLabels) {
  TestWorld world;
  world.workflow(kWorkflow);
  const RunId run = start(world, {{"env", "prod"}}, "k").run;
  EXPECT_EQ(start(world, {{"env", "prod"}}, "k").run, run);
  EXPECT_EQ(start(world, {{"env", "test"}}, "k").error->code(), Code::IdempotencyConflict);
}

}  // namespace
}  // namespace ez::core
