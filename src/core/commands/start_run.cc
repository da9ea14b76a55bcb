#include "base/json.h"
#include "base/sha256.h"
#include "core/commands/command.h"
#include "core/ready.h"
#include "core/start.h"
#include "core/variables.h"
#include "orchestration/parse.h"

namespace ez::core {
namespace {

// What must be equal for two requests with one idempotency key to be the same request.
std::string request_hash(const pb::StartRun& command) {
  std::string labels;
  for (const pb::Label& label : command.labels()) labels += "\n" + label.name() + "=" + label.value();
  return sha256_hex(command.workflow() + "\n" + std::to_string(command.version()) + "\n" + command.inputs() +
                    "\n" + std::to_string(command.priority()) + "\n" +
                    std::to_string(command.resumed_from()) + labels);
}

void forget_old_keys(Context& context) {
  auto& ages = context.state.idempotency_ages;
  while (!ages.empty() && ages.begin()->first + kIdempotencyMs < context.now_ms) {
    context.state.idempotency.erase(ages.begin()->second);
    ages.erase(ages.begin());
  }
}

// The labels that the workflow gives to its runs.
Status render_labels(Run& run) {
  const auto& declared = run.definition().labels;
  if (declared.empty()) return {};
  auto labels = std::make_shared<orchestration::Labels>();
  for (const auto& [name, value] : declared) {
    EZ_ASSIGN(const std::string text, render(run, nullptr, value, Template::Quoting::kPlain));
    EZ_TRY(orchestration::set_label(*labels, name, text));
  }
  run.labels = std::move(labels);
  return {};
}

// Those of the start come over them.
Status take_labels(const pb::StartRun& command, Run& run) {
  if (command.labels().empty()) return {};
  auto labels = std::make_shared<orchestration::Labels>(run.get_labels());
  for (const pb::Label& label : command.labels())
    EZ_TRY(orchestration::set_label(*labels, label.name(), label.value()));
  run.labels = std::move(labels);
  return {};
}

Status render_repository(Run& run) {
  const orchestration::Workflow& definition = run.definition();
  if (!definition.repository) return {};
  EZ_ASSIGN(run.repository, render(run, nullptr, *definition.repository, Template::Quoting::kPlain));
  if (run.repository.empty() || run.repository.find('\0') != std::string::npos) {
    return Error(Code::InputInvalid, "repository: it is empty", "Give the path of a git repository.");
  }
  run.branch = "ez/" + to_text(run.id);
  if (definition.branch) {
    EZ_ASSIGN(run.branch, render(run, nullptr, *definition.branch, Template::Quoting::kPlain));
  }
  if (definition.base) {
    EZ_ASSIGN(run.base, render(run, nullptr, *definition.base, Template::Quoting::kPlain));
  }
  return {};
}

// Whether there is a place under the workflow's concurrency key, and whether the run may come at all.
Status admit(const State& state, Run& run) {
  const auto& concurrency = run.definition().concurrency;
  if (!concurrency) return {};
  auto key = render(run, nullptr, concurrency->key, Template::Quoting::kPlain);
  if (!key.ok()) return key.error().in("concurrency.key");
  run.concurrency_key = key->empty() ? "-" : std::move(key).value();
  run.admitted = false;
  if (concurrency->when_full != orchestration::WhenFull::kReject || has_run_room(state, run)) return {};
  return Error(Code::ConcurrencyFull,
               "no place is free under the concurrency key " + run.concurrency_key + " of the workflow");
}

// A run under a concurrency key begins, waits, takes another's place or goes.
void enter(Context& context, Run& run) {
  if (run.concurrency_key.empty()) return begin_run(context, run);
  if (has_run_room(context.state, run)) {
    take_run_place(context.state, run);
    return begin_run(context, run);
  }
  if (run.definition().concurrency->when_full == orchestration::WhenFull::kCancelNewest) {
    return stop_run(
        context, run, RunState::kCancelled,
        {"CONCURRENCY_FULL", "no place is free under the concurrency key " + run.concurrency_key});
  }
  run.state = RunState::kQueued;
  enter_run_line(context.state, run);
  if (run.definition().concurrency->when_full == orchestration::WhenFull::kCancelOldest)
    context.clearing.emplace_back(run.id, kRunTimer);
}

Status prepare(Context& context, const pb::StartRun& command, Run& run) {
  EZ_ASSIGN(const Value given, parse_json(command.inputs().empty() ? "{}" : command.inputs()));
  EZ_TRY(prepare_run(context, {command.namespace_(), command.workflow(), command.version()}, given, run));
  if (command.priority() != 0 && command.priority() <= 5)
    run.priority = static_cast<orchestration::Priority>(command.priority() - 1);
  run.principal = command.principal();
  run.resumed_from = RunId{command.resumed_from()};
  run.schedule = command.schedule();
  run.schedule_ms = command.schedule_ms();
  EZ_TRY(take_labels(command, run));
  if (!command.resume_base().empty()) run.base = command.resume_base();
  return admit(context.state, run);
}

void take_seeds(const pb::StartRun& command, Run& run) {
  if (command.seeds().empty()) return;
  auto seeds = std::make_shared<std::map<std::string, Seed>>();
  for (const pb::SeedTask& seed : command.seeds()) {
    Seed& slot = (*seeds)[seed.task()];
    slot.state = static_cast<TaskState>(seed.state());
    slot.output = seed.output();
    slot.output_blob = seed.output_blob();
    for (const pb::Artifact& artifact : seed.artifacts()) {
      slot.artifacts.push_back({artifact.name(), artifact.sha256(), artifact.size()});
    }
  }
  run.seeds = std::move(seeds);
}

}  // namespace

Status prepare_run(Context& context, const WorkflowName& workflow, const Value& inputs, Run& run) {
  run.id = RunId{context.state.next_run};
  run.workflow = context.state.find_workflow(workflow.name_space, workflow.name, workflow.version);
  if (!run.workflow) {
    return Error(
        Code::WorkflowNotFound,
        "no workflow " + workflow.name +
            (workflow.version == 0 ? std::string() : " version " + std::to_string(workflow.version)) +
            " in namespace " + workflow.name_space);
  }
  if (context.state.live_runs >= kMaxLiveRuns) {
    return Error(Code::Overloaded, std::to_string(kMaxLiveRuns) + " runs are live already");
  }
  EZ_ASSIGN(run.inputs, orchestration::bind_inputs(run.definition(), inputs));
  run.priority = run.definition().priority;
  run.created_ms = context.now_ms;
  run.budget_microusd = run.definition().budget_microusd;
  EZ_TRY(render_labels(run));
  return render_repository(run);
}

void launch_run(Context& context, Run draft, std::int64_t deadline_ms) {
  State& state = context.state;
  ++state.next_run;
  const RunId id = draft.id;
  const auto& tasks = draft.definition().tasks;
  for (std::uint32_t i = 0; i < tasks.size(); ++i) {
    Task task;
    task.definition = i;
    task.missing = static_cast<std::uint32_t>(tasks[i].dependencies.size());
    if (tasks[i].compensates) {
      // Skipped, unless a rollback comes to it.
      task.state = TaskState::kSkipped;
      task.missing = 0;
    }
    ++draft.counts[static_cast<int>(task.state)];
    draft.tasks.add(std::move(task));
  }
  draft.open = draft.counts[static_cast<int>(TaskState::kWaiting)];
  state.add_run(Cow<Run>(std::move(draft)));
  Run& run = *state.write_run(id);
  if (deadline_ms != 0) {
    state.set_timer(id, kRunTimer, run.deadline_ms, deadline_ms);
    state.set_timer(id, kRunWarnTimer, run.warn_ms, deadline_warning_ms(run));
  }
  enter(context, run);
  if (!is_terminal(run.state)) {
    context.effects.events.push_back(
        {id, kNoInstance, static_cast<std::uint8_t>(run.state), 0, context.now_ms});
  }
  settle(context, run);
}

void apply_start_run(Context& context, const pb::StartRun& command) {
  State& state = context.state;
  Reply& reply = context.effects.reply;
  forget_old_keys(context);
  const std::string key = command.idempotency_key().empty()
                              ? std::string()
                              : command.namespace_() + "/" + command.idempotency_key();
  if (!key.empty()) {
    if (const auto known = state.idempotency.find(key); known != state.idempotency.end()) {
      reply.run = known->second.run;
      if (known->second.request_hash != request_hash(command)) {
        reply.error = Error(Code::IdempotencyConflict, "the idempotency key " + command.idempotency_key() +
                                                           " started " + to_text(known->second.run) +
                                                           " with another request");
      }
      return;
    }
  }
  Run draft;
  if (const Status status = prepare(context, command, draft); !status.ok()) {
    reply.error = status.error();
    return;
  }
  take_seeds(command, draft);
  const RunId id = draft.id;
  if (!key.empty()) {
    state.idempotency[key] = {id, context.now_ms, request_hash(command)};
    state.idempotency_ages.insert({context.now_ms, key});
  }
  reply.run = id;
  reply.created = true;
  const std::int64_t deadline = draft.definition().deadline_ms;
  launch_run(context, std::move(draft), deadline == 0 ? 0 : context.now_ms + deadline);
}

}  // namespace ez::core
