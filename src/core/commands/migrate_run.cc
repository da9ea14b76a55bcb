#include <algorithm>

#include "core/commands/command.h"
#include "core/migration.h"
#include "core/ready.h"

namespace ez::core {
namespace {

constexpr std::size_t kMaxMigrations = 100;  // the newest are remembered

// The run's tasks as the new version has them, and where each of the old ones went.
struct Moved {
  TaskTable tasks;
  std::vector<std::uint32_t> place;  // by old index; kNoInstance: gone
};

Moved move_tasks(const Run& run, const MigrationPlan& plan) {
  Moved out;
  out.place.assign(run.tasks.size(), kNoInstance);
  const auto& definitions = plan.to->definition->tasks;
  for (std::uint32_t i = 0; i < definitions.size(); ++i) {
    const std::uint32_t origin = plan.origin[i];
    Task task;
    // Also of one that has not begun: attempts of an earlier restart keep their numbers.
    if (origin != kNoInstance) {
      task = run.tasks[origin];
      out.place[origin] = i;
    }
    const bool was_undo = origin != kNoInstance && run.definition().tasks[origin].compensates.has_value();
    task.definition = i;
    if (definitions[i].compensates) task.state = TaskState::kSkipped;
    if (!definitions[i].compensates && was_undo) task.state = TaskState::kWaiting;
    out.tasks.add(std::move(task));
  }
  for (std::uint32_t i = 0; i < definitions.size(); ++i) {
    const Task group = out.tasks[i];
    if (group.child_count == 0) continue;
    out.tasks.write(i).first_child = out.tasks.size();
    for (std::uint32_t child = 0; child < group.child_count; ++child) {
      Task instance = run.tasks[group.first_child + child];
      instance.definition = i;
      out.place[group.first_child + child] = out.tasks.add(std::move(instance));
    }
  }
  return out;
}

void count(Run& run) {
  run.counts.fill(0);
  run.open = 0;
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const Task& task = run.tasks[i];
    ++run.counts[static_cast<int>(task.state)];
    if (!is_terminal(task.state)) ++run.open;
  }
}

// Tasks that have not begun wait for what is not over; those that wait for nothing begin.
void wait_anew(Context& context, Run& run) {
  for (std::uint32_t i = 0; i < run.definition().tasks.size(); ++i) {
    if (run.tasks[i].state != TaskState::kWaiting) continue;
    std::uint32_t missing = 0;
    for (const std::uint32_t dependency : run.definition().tasks[i].dependencies) {
      if (!is_terminal(run.tasks[dependency].state)) ++missing;
    }
    run.tasks.write(i).missing = missing;
    if (missing == 0 && run.admitted) context.activate.push_back(i);
  }
}

void move_to(Context& context, Run& run, const MigrationPlan& plan) {
  State& state = context.state;
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    if (run.tasks[i].due_ms != 0) state.timers.erase({run.tasks[i].due_ms, run.id, i});
    underive_places(state, run, i, context.freed_keys);
  }
  Moved moved = move_tasks(run, plan);
  run.workflow = plan.to;
  run.inputs = plan.inputs;
  run.tasks = std::move(moved.tasks);
  for (std::uint32_t& index : run.merge_queue) index = moved.place[index];
  for (auto& [fence, lease] : state.leases) {
    if (lease.run != run.id) continue;
    // That of a cancelled one may be gone; nobody looks it up any more.
    lease.task = lease.task < moved.place.size() ? moved.place[lease.task] : kNoInstance;
  }
  count(run);
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    if (run.tasks[i].due_ms != 0) state.timers.insert({run.tasks[i].due_ms, run.id, i});
    derive_places(state, run, i);
  }
  wait_anew(context, run);
}

}  // namespace

void apply_migrate_run(Context& context, const pb::MigrateRun& command) {
  Reply& reply = context.effects.reply;
  Run* run = context.state.write_run(RunId{command.run()});
  if (run == nullptr) {
    reply.error = Error(Code::RunNotFound, "no live run " + to_text(RunId{command.run()}));
    return;
  }
  reply.run = run->id;
  if (command.from_version() != 0 && command.from_version() != run->workflow->version) {
    reply.error =
        Error(Code::WrongState, to_text(run->id) + " has version " + std::to_string(run->workflow->version) +
                                    ", not " + std::to_string(command.from_version()));
    return;
  }
  const auto plan = plan_migration(context.state, *run, command.to_version());
  if (!plan.ok()) {
    reply.error = plan.error();
    return;
  }
  auto migrations = run->migrations ? std::make_shared<std::vector<Migration>>(*run->migrations)
                                    : std::make_shared<std::vector<Migration>>();
  if (migrations->size() == kMaxMigrations) migrations->erase(migrations->begin());
  migrations->push_back({run->workflow->version, plan->to->version, context.now_ms, command.principal()});
  move_to(context, *run, *plan);
  run->migrations = std::move(migrations);
  reply.version = run->workflow->version;
  context.effects.events.push_back(
      {run->id, kNoInstance, static_cast<std::uint8_t>(run->state), 0, context.now_ms, RunNotice::kMigrated});
  settle(context, *run);
}

}  // namespace ez::core
