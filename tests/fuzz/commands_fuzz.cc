// Any bytes as a record of the log: its commands are applied or refused, the invariants hold after each, and
// a snapshot of the outcome is the same state. The first state has a workflow, a run and an agent.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "core/apply.h"
#include "core/invariants.h"
#include "core/snapshot.h"
#include "orchestration/parse.h"

namespace {

using namespace ez::core;

constexpr const char* kWorkflow = R"(name: w
inputs: {n: {type: int, default: 2}}
tasks:
  - {id: a, run: "true", retry: {max_attempts: 2}}
  - {id: b, run: "true", dependencies: [a], for_each: "${{ [1, 2] }}", concurrency: {key: k, limit: 1}}
  - {id: c, run: "true", dependencies: [b], approval: {role: maintainer}}
)";

void begin(State& state) {
  const auto parsed = ez::orchestration::parse_workflow(kWorkflow);
  EZ_CHECK(parsed.ok(), "the workflow of the fuzzer");
  pb::Command commands[3];
  commands[0].mutable_register_workflow()->set_namespace_("default");
  commands[0].mutable_register_workflow()->set_canonical(ez::orchestration::to_canonical(*parsed.workflow));
  commands[1].mutable_start_run()->set_namespace_("default");
  commands[1].mutable_start_run()->set_workflow("w");
  commands[1].mutable_start_run()->set_inputs("{}");
  commands[2].mutable_register_agent()->set_name("agent");
  commands[2].mutable_register_agent()->set_type("exec");
  commands[2].mutable_register_agent()->set_capacity(4);
  for (std::uint64_t i = 0; i < 3; ++i) {
    Effects effects;
    commands[i].set_now_ms(1000);
    apply(state, commands[i], ez::LogIndex{i + 1}, effects);
    EZ_CHECK(!effects.reply.error, "the first state of the fuzzer");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pb::Batch batch;
  if (!batch.ParseFromArray(data, static_cast<int>(size)) || batch.commands_size() > 64) return 0;
  State state;
  begin(state);
  std::uint64_t index = 4;
  for (const pb::Command& command : batch.commands()) {
    Effects effects;
    apply(state, command, ez::LogIndex{index++}, effects);
    const auto broken = find_broken_invariants(state);
    EZ_CHECK(broken.empty(), "a command that breaks the state");
  }
  std::string written;
  const ez::Status encoded = encode_snapshot(freeze(state), [&](std::string_view piece) -> ez::Status {
    written.append(piece);
    return {};
  });
  EZ_CHECK(encoded.ok(), "a state that cannot be written");
  State again;
  bool given = false;
  const ez::Status decoded = decode_snapshot(
      [&]() -> ez::Result<std::string> {
        if (given) return std::string();
        given = true;
        return written;
      },
      again);
  EZ_CHECK(decoded.ok() && state_hash(again) == state_hash(state), "a snapshot that is another state");
  return 0;
}
