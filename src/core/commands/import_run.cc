#include <algorithm>

#include "core/commands/command.h"
#include "core/run_codec.h"

namespace ez::core {
namespace {

// What only had a meaning where the run ran: leases and agents, its family, its schedule, its places.
void forget_home(pb::Run& record) {
  for (pb::Task& task : *record.mutable_tasks()) {
    task.clear_fence();
    task.clear_last_fence();
    task.clear_agent();
    task.clear_due_ms();
    task.clear_held();
    task.clear_child();
    task.clear_reserve_microusd();
    for (pb::AttemptRecord& attempt : *task.mutable_attempts()) attempt.clear_agent();
  }
  record.clear_parent();
  record.clear_parent_task();
  record.clear_resumed_from();
  record.clear_seeds();
  record.clear_merge_queue();
  record.clear_kept_signals();
  record.clear_seen_signals();
  record.clear_schedule();
  record.clear_schedule_ms();
  record.clear_rollback();
  record.clear_migrations();
  record.clear_concurrency_key();
  record.clear_reserved_microusd();
  record.clear_warn_ms();
}

// A record comes from outside: everything in it that is a place in something else is looked at.
std::optional<Error> check(const Run& run) {
  const auto wrong = [](const std::string& what) {
    return Error(Code::RequestInvalid, "the record of the run " + what);
  };
  if (!is_terminal(run.state)) return wrong("is not that of a finished run");
  if (run.created_ms <= 0 || run.finished_ms < run.created_ms) return wrong("has impossible times");
  if (run.open != 0) return wrong("has tasks that are not over");
  const std::size_t definitions = run.definition().tasks.size();
  if (run.tasks.size() > definitions + orchestration::kMaxForEach * std::max<std::size_t>(definitions, 1))
    return wrong("has too many tasks");
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const Task& task = run.tasks[i];
    const bool instance = task.instance != kNoInstance;
    if (i < definitions && (task.definition != i || instance)) return wrong("has its tasks in another order");
    if (i >= definitions && !instance) return wrong("has a task that is not one of its workflow");
    const std::uint64_t end = std::uint64_t{task.first_child} + task.child_count;
    if (task.child_count != 0 && (task.first_child < definitions || end > run.tasks.size()))
      return wrong("has instances that are not there");
    for (std::uint32_t child = 0; child < task.child_count; ++child) {
      const Task& other = run.tasks[task.first_child + child];
      if (other.definition != i || other.instance != child) return wrong("has instances of another task");
    }
  }
  return std::nullopt;
}

}  // namespace

void apply_import_run(Context& context, const pb::ImportRun& command) {
  State& state = context.state;
  Reply& reply = context.effects.reply;
  // The same import again, before history can tell; the key is that of a live run that comes from there.
  const std::string key = command.namespace_() + "/ez/import/" + command.origin();
  if (const auto known = state.idempotency.find(key); known != state.idempotency.end()) {
    reply.run = known->second.run;
    return;
  }
  pb::Run record;
  if (!record.ParseFromString(command.record())) {
    reply.error = Error(Code::RequestInvalid, "the record of the run does not parse");
    return;
  }
  forget_home(record);
  record.set_id(state.next_run);
  record.set_namespace_(command.namespace_());
  record.set_workflow(command.workflow());
  record.set_version(command.version());
  auto decoded = decode_run(record, state);
  if (!decoded.ok()) {
    reply.error = decoded.error().code() == Code::WorkflowNotFound
                      ? decoded.error()
                      : Error(Code::RequestInvalid, decoded.error().message());
    return;
  }
  Run run = std::move(decoded).value();
  if (auto error = check(run)) {
    reply.error = std::move(error);
    return;
  }
  // The labels of a record may be any texts; with its origin among them it is found again.
  auto labels = std::make_shared<orchestration::Labels>();
  for (const auto& [name, value] : run.get_labels()) (void)orchestration::set_label(*labels, name, value);
  if (const Status status = orchestration::set_label(*labels, orchestration::kOriginLabel, command.origin());
      !status.ok()) {
    reply.error = status.error();
    return;
  }
  run.labels = std::move(labels);
  ++state.next_run;
  state.idempotency[key] = {run.id, context.now_ms, "import"};
  state.idempotency_ages.insert({context.now_ms, key});
  reply.run = run.id;
  reply.created = true;
  context.effects.events.push_back(
      {run.id, kNoInstance, static_cast<std::uint8_t>(run.state), 0, run.finished_ms});
  context.effects.finished.push_back(Cow<Run>(std::move(run)));
}

}  // namespace ez::core
