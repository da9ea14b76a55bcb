// Live runs of the simulated world move to other versions of their workflows.
#include "orchestration/parse.h"
#include "world.h"

namespace ez::sim {

// The same workflow with a task before and one behind the others, so that every index moves.
void World::register_next_version() {
  if (registered_.empty()) return;
  std::string text =
      *std::next(registered_.begin(), static_cast<std::ptrdiff_t>(random_.below(registered_.size())));
  const std::size_t tasks = text.find("tasks:\n") + 7;
  const std::string number = std::to_string(random_.below(3));
  text.insert(tasks, "  - id: before-" + number + "\n    run: x\n");
  text += "  - id: behind-" + number + "\n    dependencies: [before-" + number + ", t0]\n    run: x\n";
  const auto parsed = orchestration::parse_workflow(text);
  if (!parsed.ok()) {
    broken_ = "a next version is bad: " + parsed.diagnostics[0].to_string() + "\n" + text;
    return;
  }
  core::pb::Command command;
  auto* body = command.mutable_register_workflow();
  body->set_namespace_(parsed.workflow->namespace_name);
  body->set_canonical(orchestration::to_canonical(*parsed.workflow));
  body->set_source(text);
  kernel_->propose(std::move(command), [](const Result<core::Reply>&) {});
}

void World::migrate() {
  if (random_.chance(1, 3)) return register_next_version();
  RunId chosen;
  std::uint64_t seen = 0;
  kernel_->state().each_run([&](const Cow<core::Run>& run) {
    if (random_.below(++seen) == 0) chosen = run->id;
    return true;
  });
  if (!chosen.valid()) return;
  core::pb::Command command;
  command.mutable_migrate_run()->set_run(chosen.value);
  command.mutable_migrate_run()->set_to_version(static_cast<std::uint32_t>(random_.below(3)));
  kernel_->propose(std::move(command), [this](const Result<core::Reply>& reply) {
    if (reply.ok() && !reply->error) ++tally_.migrated;
  });
}

}  // namespace ez::sim
