#include "core/run_codec.h"

#include "base/json.h"

namespace ez::core {
namespace {

void encode_artifacts(const std::vector<Artifact>& artifacts,
                      google::protobuf::RepeatedPtrField<pb::Artifact>* out) {
  for (const Artifact& artifact : artifacts) {
    pb::Artifact* slot = out->Add();
    slot->set_name(artifact.name);
    slot->set_sha256(artifact.sha256);
    slot->set_size(artifact.size);
  }
}

std::vector<Artifact> decode_artifacts(const google::protobuf::RepeatedPtrField<pb::Artifact>& in) {
  std::vector<Artifact> out;
  out.reserve(static_cast<std::size_t>(in.size()));
  for (const pb::Artifact& artifact : in)
    out.push_back({artifact.name(), artifact.sha256(), artifact.size()});
  return out;
}

void encode_detail(const TaskDetail& detail, pb::Task& out) {
  out.set_output(detail.output);
  out.set_output_blob(detail.output_blob);
  out.set_error_code(detail.error.code);
  out.set_error_message(detail.error.message);
  encode_artifacts(detail.artifacts, out.mutable_artifacts());
  out.set_branch(detail.branch);
  out.set_commit(detail.commit);
  out.set_base(detail.base);
  out.set_head(detail.head);
  out.set_changed_files(detail.changed_files);
  out.set_conflict(detail.conflict);
  if (detail.resolution) {
    auto* resolution = out.mutable_resolution();
    resolution->set_agent_type(detail.resolution->agent_type);
    for (const TaskError& error : detail.resolution->tries) {
      auto* slot = resolution->add_tries();
      slot->set_error_code(error.code);
      slot->set_error_message(error.message);
    }
  }
  if (!detail.items.is_null()) out.set_items(to_json(detail.items));
  for (const AttemptRecord& record : detail.attempts) {
    pb::AttemptRecord* slot = out.add_attempts();
    slot->set_number(record.number);
    slot->set_agent(record.agent.value);
    slot->set_started_ms(record.started_ms);
    slot->set_finished_ms(record.finished_ms);
    slot->set_error_code(record.error.code);
    slot->set_error_message(record.error.message);
    slot->set_exit_code(record.exit_code);
  }
  out.set_decided_by(detail.decided_by);
  out.set_comment(detail.comment);
  out.set_concurrency_key(detail.concurrency_key);
  out.set_child(detail.child.value);
}

Result<std::shared_ptr<const TaskDetail>> decode_detail(const pb::Task& in) {
  auto detail = std::make_shared<TaskDetail>();
  detail->output = in.output();
  detail->output_blob = in.output_blob();
  detail->error = {in.error_code(), in.error_message()};
  detail->artifacts = decode_artifacts(in.artifacts());
  detail->branch = in.branch();
  detail->commit = in.commit();
  detail->base = in.base();
  detail->head = in.head();
  detail->changed_files = in.changed_files();
  detail->conflict = in.conflict();
  if (in.has_resolution()) {
    Resolution resolution{in.resolution().agent_type(), {}};
    for (const auto& slot : in.resolution().tries())
      resolution.tries.push_back({slot.error_code(), slot.error_message()});
    detail->resolution = std::make_shared<const Resolution>(std::move(resolution));
  }
  if (!in.items().empty()) {
    EZ_ASSIGN(detail->items, parse_json(in.items()));
  }
  for (const pb::AttemptRecord& record : in.attempts()) {
    detail->attempts.push_back({record.number(),
                                AgentId{record.agent()},
                                record.started_ms(),
                                record.finished_ms(),
                                {record.error_code(), record.error_message()},
                                record.exit_code()});
  }
  detail->decided_by = in.decided_by();
  detail->comment = in.comment();
  detail->concurrency_key = in.concurrency_key();
  detail->child = RunId{in.child()};
  return std::shared_ptr<const TaskDetail>(std::move(detail));
}

void encode_task(const Task& task, pb::Task& out) {
  out.set_definition(task.definition);
  out.set_instance(task.instance == kNoInstance ? 0 : task.instance + 1);
  out.set_state(static_cast<std::uint32_t>(task.state));
  out.set_attempt(task.attempt);
  out.set_failures(task.failures);
  out.set_losses(task.losses);
  out.set_missing(task.missing);
  out.set_first_child(task.first_child);
  out.set_child_count(task.child_count);
  out.set_held(task.held);
  out.set_scheduled_ms(task.scheduled_ms);
  out.set_ready_ms(task.ready_ms);
  out.set_started_ms(task.started_ms);
  out.set_finished_ms(task.finished_ms);
  out.set_due_ms(task.due_ms);
  out.set_fence(task.fence.value);
  out.set_last_fence(task.last_fence.value);
  out.set_done_index(task.done_index);
  out.set_agent(task.agent.value);
  out.set_approved(task.approved);
  out.set_seeded(task.seeded);
  out.set_reserve_microusd(task.reserve_microusd);
  out.set_paid(task.paid);
  if (task.detail) {
    out.set_has_detail(true);
    encode_detail(*task.detail, out);
  }
}

Result<Task> decode_task(const pb::Task& in, const orchestration::Workflow& definition) {
  if (in.definition() >= definition.tasks.size() || in.state() >= static_cast<std::uint32_t>(kTaskStates)) {
    return Error(Code::SnapshotDamaged, "a task record names a task or a state that does not exist");
  }
  Task task;
  task.definition = in.definition();
  task.instance = in.instance() == 0 ? kNoInstance : in.instance() - 1;
  task.state = static_cast<TaskState>(in.state());
  task.attempt = in.attempt();
  task.failures = in.failures();
  task.losses = in.losses();
  task.missing = in.missing();
  task.first_child = in.first_child();
  task.child_count = in.child_count();
  task.held = static_cast<std::uint8_t>(in.held());
  task.scheduled_ms = in.scheduled_ms();
  task.ready_ms = in.ready_ms();
  task.started_ms = in.started_ms();
  task.finished_ms = in.finished_ms();
  task.due_ms = in.due_ms();
  task.fence = Fence{in.fence()};
  task.last_fence = Fence{in.last_fence()};
  task.done_index = in.done_index();
  task.agent = AgentId{in.agent()};
  task.approved = in.approved();
  task.seeded = in.seeded();
  task.reserve_microusd = in.reserve_microusd();
  task.paid = in.paid();
  if (in.has_detail()) {
    EZ_ASSIGN(task.detail, decode_detail(in));
  }
  return task;
}

void encode_mail(const Mail& mail, pb::Run& out) {
  for (const Signal& signal : mail.kept) {
    pb::KeptSignal* slot = out.add_kept_signals();
    slot->set_name(signal.name);
    slot->set_payload(signal.payload);
    slot->set_id(signal.id);
    slot->set_principal(signal.principal);
    slot->set_at_ms(signal.at_ms);
  }
  for (const SeenSignal& signal : mail.seen) {
    pb::SeenSignal* slot = out.add_seen_signals();
    slot->set_id(signal.id);
    slot->set_hash(signal.hash);
  }
}

Cow<Mail> decode_mail(const pb::Run& in) {
  if (in.kept_signals().empty() && in.seen_signals().empty()) return {};
  Mail mail;
  for (const pb::KeptSignal& signal : in.kept_signals()) {
    mail.kept.push_back({signal.name(), signal.payload(), signal.id(), signal.principal(), signal.at_ms()});
  }
  for (const pb::SeenSignal& signal : in.seen_signals()) mail.seen.push_back({signal.id(), signal.hash()});
  return Cow<Mail>(std::move(mail));
}

void decode_costs(const pb::Run& in, Run& run) {
  CostTable costs;
  std::int64_t known = 0;
  for (const pb::CostRow& row : in.costs()) {
    known += row.microusd();
    costs.insert(decode_cost(row));
  }
  // Of a version that kept only the sum, which agents had claimed.
  CostKey key;
  key.source = CostSource::kAgent;
  if (run.cost_microusd > known) costs[key].microusd += run.cost_microusd - known;
  if (!costs.empty()) run.costs = Cow<CostTable>(std::move(costs));
}

}  // namespace

void encode_cost(const CostKey& key, const CostSum& sum, pb::CostRow& out) {
  out.set_task(key.task + 1);  // kNoTask becomes 0
  out.set_namespace_(key.name_space);
  out.set_agent(key.agent);
  out.set_provider(key.provider);
  out.set_model(key.model);
  out.set_key(key.key);
  out.set_source(static_cast<std::uint32_t>(key.source));
  out.set_replayed(key.replayed);
  out.set_calls(sum.calls);
  out.set_failed(sum.failed);
  out.set_input_tokens(sum.input_tokens);
  out.set_cache_read_tokens(sum.cache_read_tokens);
  out.set_cache_write_tokens(sum.cache_write_tokens);
  out.set_output_tokens(sum.output_tokens);
  out.set_microusd(sum.microusd);
}

std::pair<CostKey, CostSum> decode_cost(const pb::CostRow& in) {
  CostKey key;
  key.task = in.task() - 1;
  key.name_space = in.namespace_();
  key.agent = in.agent();
  key.provider = in.provider();
  key.model = in.model();
  key.key = in.key();
  key.source = static_cast<CostSource>(std::min<std::uint32_t>(in.source(), 3));
  key.replayed = in.replayed();
  return {std::move(key),
          {in.calls(), in.failed(), in.input_tokens(), in.cache_read_tokens(), in.cache_write_tokens(),
           in.output_tokens(), in.microusd()}};
}

void encode_run(const Run& run, pb::Run& out) {
  out.set_id(run.id.value);
  out.set_namespace_(run.workflow->namespace_name);
  out.set_workflow(run.definition().name);
  out.set_version(run.workflow->version);
  out.set_state(static_cast<std::uint32_t>(run.state));
  out.set_priority(static_cast<std::uint32_t>(run.priority));
  out.set_inputs(to_json(run.inputs));
  out.set_created_ms(run.created_ms);
  out.set_finished_ms(run.finished_ms);
  out.set_deadline_ms(run.deadline_ms);
  out.set_cost_microusd(run.cost_microusd);
  out.set_repository(run.repository);
  out.set_branch(run.branch);
  out.set_base(run.base);
  out.set_head(run.head);
  out.set_error_code(run.error.code);
  out.set_error_message(run.error.message);
  out.set_principal(run.principal);
  out.set_resumed_from(run.resumed_from.value);
  out.set_budget_microusd(run.budget_microusd);
  out.set_reserved_microusd(run.reserved_microusd);
  out.set_warned(run.warned);
  out.set_budget_paused(run.budget_paused);
  out.set_warn_ms(run.warn_ms);
  if (!run.concurrency_key.empty()) {
    out.set_concurrency_key(run.concurrency_key);
    out.set_admitted(run.admitted);
  }
  out.set_schedule(run.schedule);
  out.set_schedule_ms(run.schedule_ms);
  if (run.rollback) {
    pb::RollbackRecord& record = *out.mutable_rollback();
    for (const std::uint32_t index : run.rollback->order) record.add_order(index);
    record.set_next(run.rollback->next);
    record.set_over(run.rollback->over);
  }
  if (run.migrations) {
    for (const Migration& migration : *run.migrations) {
      pb::MigrationRecord* slot = out.add_migrations();
      slot->set_from_version(migration.from_version);
      slot->set_to_version(migration.to_version);
      slot->set_at_ms(migration.at_ms);
      slot->set_principal(migration.principal);
    }
  }
  if (run.costs) {
    for (const auto& [key, sum] : *run.costs) encode_cost(key, sum, *out.add_costs());
  }
  for (const auto& [name, value] : run.get_labels()) {
    pb::Label* label = out.add_labels();
    label->set_name(name);
    label->set_value(value);
  }
  for (const std::uint32_t index : run.merge_queue) out.add_merge_queue(index);
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) encode_task(run.tasks[i], *out.add_tasks());
  if (run.mail) encode_mail(*run.mail, out);
  if (run.lineage) {
    out.set_parent(run.lineage->parent.value);
    out.set_parent_task(run.lineage->task);
    out.set_depth(run.lineage->depth);
  }
  out.set_paused_by_parent(run.paused_by_parent);
  out.set_outputs(run.outputs);
  if (!run.seeds) return;
  for (const auto& [key, seed] : *run.seeds) {
    pb::SeedTask* slot = out.add_seeds();
    slot->set_task(key);
    slot->set_state(static_cast<std::uint32_t>(seed.state));
    slot->set_output(seed.output);
    slot->set_output_blob(seed.output_blob);
    encode_artifacts(seed.artifacts, slot->mutable_artifacts());
  }
}

Result<Run> decode_run(const pb::Run& in, const State& state) {
  Run run;
  run.id = RunId{in.id()};
  run.workflow = state.find_workflow(in.namespace_(), in.workflow(), in.version());
  if (!run.workflow) {
    return Error(Code::WorkflowNotFound, to_text(run.id) + " names workflow " + in.workflow() + " version " +
                                             std::to_string(in.version()) + ", which is not registered");
  }
  if (in.state() >= static_cast<std::uint32_t>(kRunStates) || in.priority() > 4) {
    return Error(Code::SnapshotDamaged,
                 "the record of " + to_text(run.id) + " has a state that does not exist");
  }
  run.state = static_cast<RunState>(in.state());
  run.priority = static_cast<orchestration::Priority>(in.priority());
  EZ_ASSIGN(run.inputs, parse_json(in.inputs()));
  run.created_ms = in.created_ms();
  run.finished_ms = in.finished_ms();
  run.deadline_ms = in.deadline_ms();
  run.cost_microusd = in.cost_microusd();
  run.repository = in.repository();
  run.branch = in.branch();
  run.base = in.base();
  run.head = in.head();
  run.error = {in.error_code(), in.error_message()};
  run.principal = in.principal();
  run.resumed_from = RunId{in.resumed_from()};
  run.budget_microusd = in.budget_microusd();
  run.reserved_microusd = in.reserved_microusd();
  run.warned = static_cast<std::uint8_t>(in.warned());
  run.budget_paused = in.budget_paused();
  run.warn_ms = in.warn_ms();
  run.concurrency_key = in.concurrency_key();
  run.admitted = run.concurrency_key.empty() || in.admitted();
  run.schedule = in.schedule();
  run.schedule_ms = in.schedule_ms();
  if (!in.labels().empty()) {
    auto labels = std::make_shared<orchestration::Labels>();
    for (const pb::Label& label : in.labels()) labels->emplace_back(label.name(), label.value());
    run.labels = std::move(labels);
  }
  run.merge_queue.assign(in.merge_queue().begin(), in.merge_queue().end());
  decode_costs(in, run);
  for (const pb::Task& task : in.tasks()) {
    EZ_ASSIGN(Task decoded, decode_task(task, run.definition()));
    ++run.counts[static_cast<int>(decoded.state)];
    if (!is_terminal(decoded.state)) ++run.open;
    run.tasks.add(std::move(decoded));
  }
  if (run.tasks.size() < run.definition().tasks.size()) {
    return Error(Code::SnapshotDamaged, "the record of " + to_text(run.id) + " has too few tasks");
  }
  run.mail = decode_mail(in);
  if (in.parent() != 0)
    run.lineage = std::make_shared<const Lineage>(Lineage{RunId{in.parent()}, in.parent_task(), in.depth()});
  run.paused_by_parent = in.paused_by_parent();
  run.outputs = in.outputs();
  if (in.has_rollback()) {
    Rollback rollback;
    rollback.order.assign(in.rollback().order().begin(), in.rollback().order().end());
    rollback.next = in.rollback().next();
    rollback.over = in.rollback().over();
    bool known = rollback.next <= rollback.order.size();
    for (const std::uint32_t index : rollback.order) known = known && index < run.definition().tasks.size();
    if (!known) return Error(Code::SnapshotDamaged, "the rollback of " + to_text(run.id) + " names no tasks");
    run.rollback = std::make_shared<const Rollback>(std::move(rollback));
  }
  if (!in.migrations().empty()) {
    auto migrations = std::make_shared<std::vector<Migration>>();
    for (const pb::MigrationRecord& migration : in.migrations()) {
      migrations->push_back(
          {migration.from_version(), migration.to_version(), migration.at_ms(), migration.principal()});
    }
    run.migrations = std::move(migrations);
  }
  if (!in.seeds().empty()) {
    auto seeds = std::make_shared<std::map<std::string, Seed>>();
    for (const pb::SeedTask& seed : in.seeds()) {
      (*seeds)[seed.task()] = {static_cast<TaskState>(seed.state()), seed.output(), seed.output_blob(),
                               decode_artifacts(seed.artifacts())};
    }
    run.seeds = std::move(seeds);
  }
  return run;
}

}  // namespace ez::core
