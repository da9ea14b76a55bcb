#include "world.h"

#include <algorithm>

#include "core/apply.h"
#include "core/invariants.h"
#include "core/snapshot.h"
#include "orchestration/parse.h"

namespace ez::sim {
namespace {

constexpr std::size_t kMaxRuns = 14;

log::FakeLogOptions troubled() {
  log::FakeLogOptions options;
  options.lose_leadership = 6;
  options.max_delay_polls = 3;
  options.max_election_polls = 4;
  return options;
}

}  // namespace

World::World(std::uint64_t seed)
    : random_(seed), kernel_random_(seed ^ 0x5eed), cluster_(seed ^ 0x109, troubled()), replica_(cluster_) {
  const std::uint64_t kinds = 2 + random_.below(3);
  for (std::uint64_t i = 0; i < kinds; ++i)
    workflows_.push_back(random_workflow(random_, static_cast<int>(i), workflows_));
  const std::uint64_t agents = 2 + random_.below(4);
  for (std::uint64_t i = 0; i < agents; ++i) {
    SimAgent agent;
    agent.name = "agent-" + std::to_string(i);
    agent.type = "exec";
    agent.capacity = 1 + static_cast<std::uint32_t>(random_.below(3));
    agents_.push_back(agent);
  }
  open();
}

World::~World() = default;

void World::open() {
  log_ = cluster_.open();
  engine::KernelOptions options;
  options.agent_timeout_ms = 60'000;
  kernel_ = std::make_unique<engine::Kernel>(options, *log_, clock_, kernel_random_, *this);
  const Status status = kernel_->recover(history_);
  if (!status.ok()) broken_ = "recovery failed: " + status.error().to_string();
}

void World::crash() {
  ++tally_.crashes;
  ++life_;
  kernel_.reset();
  log_.reset();
  // Connections are gone with the server; the agents still hold their work.
  for (SimAgent& agent : agents_) {
    agent.demand.reset();
    agent.registering = false;
  }
  if (random_.chance(1, 3)) clock_.advance(static_cast<std::int64_t>(random_.below(30'000)));
  open();
}

void World::step() { kernel_->step(std::chrono::microseconds(0)); }

// Called after each command, with the state that it left.
void World::changed(std::span<const core::RunEvent> events, std::uint64_t) {
  const core::State& state = kernel_->state();
  for (const core::RunEvent& event : events) {
    const auto task = static_cast<core::TaskState>(event.state);
    const bool given = event.task != core::kNoInstance &&
                       (task == core::TaskState::kRunning || task == core::TaskState::kMerging);
    const core::Run* run = given ? state.find_run(event.run) : nullptr;
    if (run == nullptr || run->state == core::RunState::kRunning) continue;
    broken_ = "a task of " + to_text(event.run) + " was given out while its run is " +
              std::string(core::to_text(run->state));
  }
}

// The time of a state may only grow with the log; a restart goes back in both.
std::string World::check_time() {
  const core::State& state = kernel_->state();
  const bool back = state.applied >= timed_ && state.now_ms < time_ms_;
  timed_ = state.applied;
  time_ms_ = state.now_ms;
  return back ? "time went back to " + std::to_string(state.now_ms) : "";
}

void World::finished(const Cow<core::Run>& run, LogIndex) {
  const std::string record = core::encode_run(*run);
  const auto [slot, added] = finished_.try_emplace(run->id, record);
  if (!added && slot->second != record) broken_ = to_text(run->id) + " ended differently after a replay";
  if (!added) return;
  ++tally_.finished;
  check_signals(*run);
  check_children(*run);
  if (run->rollback) ++tally_.rolled_back;
}

void World::leadership(Epoch, bool leading) {
  if (leading) return;
  ++tally_.takeovers;
  for (SimAgent& agent : agents_) {
    agent.demand.reset();
    agent.registering = false;
  }
}

void World::failed(const Error& error) { broken_ = "the kernel failed: " + error.to_string(); }

void World::register_workflows() {
  for (const std::string& text : workflows_) {
    if (registered_.contains(text)) continue;
    const auto parsed = orchestration::parse_workflow(text);
    if (!parsed.ok()) {
      broken_ = "the generator wrote a bad workflow: " +
                (parsed.diagnostics.empty() ? text : parsed.diagnostics[0].to_string() + "\n" + text);
      return;
    }
    core::pb::Command command;
    auto* body = command.mutable_register_workflow();
    body->set_namespace_(parsed.workflow->namespace_name);
    body->set_canonical(orchestration::to_canonical(*parsed.workflow));
    body->set_source(text);
    kernel_->propose(std::move(command), [this, text](const Result<core::Reply>& reply) {
      if (reply.ok() && !reply->error) registered_.insert(text);
    });
    return;
  }
}

void World::start_run() {
  if (registered_.empty()) return;
  // A client that got no answer asks again with the same key; one that got it sometimes asks again too.
  ClientRun* client = nullptr;
  for (ClientRun& candidate : runs_) {
    if (candidate.refused) continue;
    if (!candidate.id || random_.chance(1, 20)) client = &candidate;
  }
  if (client == nullptr || (runs_.size() < kMaxRuns && random_.chance(1, 2))) {
    if (runs_.size() >= kMaxRuns) return;
    ClientRun fresh;
    fresh.key = "key-" + std::to_string(runs_.size());
    const auto& text =
        *std::next(registered_.begin(), static_cast<std::ptrdiff_t>(random_.below(registered_.size())));
    fresh.workflow = text.substr(6, text.find('\n') - 6);
    fresh.name_space = text.find("namespace: one") == std::string::npos ? "two" : "one";
    runs_.push_back(fresh);
    client = &runs_.back();
  }
  core::pb::Command command;
  auto* body = command.mutable_start_run();
  body->set_namespace_(client->name_space);
  body->set_workflow(client->workflow);
  body->set_version(1);
  body->set_idempotency_key(client->key);
  body->set_inputs(client->key.back() % 2 == 0 ? R"({"flag": false})" : R"({"items": [1, 2]})");
  const std::size_t number = static_cast<std::size_t>(client - runs_.data());
  kernel_->propose(std::move(command), [this, number](const Result<core::Reply>& reply) {
    if (!reply.ok()) {
      ++tally_.unknown;
      return;
    }
    if (reply->error && reply->error->code() == Code::ConcurrencyFull) {
      runs_[number].refused = true;
      return;
    }
    if (reply->error) {
      broken_ = "a run was refused: " + reply->error->to_string();
      return;
    }
    ClientRun& mine = runs_[number];
    if (mine.id && *mine.id != reply->run) broken_ = "one idempotency key started two runs";
    if (!mine.id) ++tally_.acknowledged;
    mine.id = reply->run;
  });
}

void World::control() {
  if (runs_.empty()) return;
  const ClientRun& client = runs_[random_.below(runs_.size())];
  if (!client.id) return;
  core::pb::Command command;
  const core::Run* live = kernel_->state().find_run(*client.id);
  if (live != nullptr && random_.chance(1, 4)) {
    auto* restart = command.mutable_restart_task();
    restart->set_run(client.id->value);
    restart->set_task(
        live->key_of(live->tasks[static_cast<std::uint32_t>(random_.below(live->tasks.size()))]));
    restart->set_redo(random_.chance(1, 2));
    kernel_->propose(std::move(command), [this](const Result<core::Reply>& reply) {
      if (reply.ok() && !reply->error) ++tally_.restarts;
    });
    return;
  }
  if (random_.chance(1, 6)) {
    auto* adjust = command.mutable_adjust_budget();
    adjust->set_run(client.id->value);
    adjust->set_add_microusd(static_cast<std::int64_t>(random_.below(50)));
    adjust->set_extend_ms(static_cast<std::int64_t>(random_.below(2) * 10'000));
    kernel_->propose(std::move(command), [](const Result<core::Reply>&) {});
    return;
  }
  auto* body = command.mutable_control_run();
  body->set_run(client.id->value);
  constexpr core::pb::ControlRun::Action kActions[] = {
      core::pb::ControlRun::PAUSE, core::pb::ControlRun::RESUME, core::pb::ControlRun::RESUME,
      core::pb::ControlRun::RETRY, core::pb::ControlRun::CANCEL};
  body->set_action(kActions[random_.below(random_.chance(1, 10) ? 5 : 4)]);
  body->set_principal("client");
  kernel_->propose(std::move(command), [](const Result<core::Reply>&) {});
}

void World::set_namespace() {
  core::pb::Command command;
  auto* body = command.mutable_set_namespace();
  body->set_name(random_.chance(1, 2) ? "one" : "two");
  body->set_weight(static_cast<std::uint32_t>(random_.below(4)));
  body->set_set_max_running(random_.chance(1, 2));
  body->set_max_running(static_cast<std::uint32_t>(random_.below(4)));
  kernel_->propose(std::move(command), [](const Result<core::Reply>&) {});
}

void World::decide(bool kindly) {
  std::vector<std::pair<RunId, std::string>> waiting;
  std::vector<core::TaskState> states;
  kernel_->state().each_run([&](const Cow<core::Run>& run) {
    for (std::uint32_t i = 0; i < run->tasks.size(); ++i) {
      if (!core::waits_for_person(run->tasks[i].state)) continue;
      waiting.emplace_back(run->id, run->key_of(run->tasks[i]));
      states.push_back(run->tasks[i].state);
    }
    return waiting.size() < 50;
  });
  if (waiting.empty()) return;
  const std::size_t pick = random_.below(waiting.size());
  core::pb::Command command;
  auto* body = command.mutable_control_task();
  body->set_run(waiting[pick].first.value);
  body->set_task(waiting[pick].second);
  body->set_principal("person");
  const bool approval = states[pick] == core::TaskState::kApproval;
  body->set_action(approval ? core::pb::ControlTask::APPROVE : core::pb::ControlTask::RETRY);
  if (!kindly && random_.chance(1, 6)) body->set_action(core::pb::ControlTask::REJECT);
  if (!kindly && random_.chance(1, 8)) body->set_action(core::pb::ControlTask::CANCEL);
  // What another workflow cannot do, it cannot do the next time either.
  const core::Run& asked = *kernel_->state().find_run(waiting[pick].first);
  if (kindly && !approval && random_.chance(1, 3) &&
      asked.definition_of(asked.tasks[asked.find(waiting[pick].second)]).workflow) {
    body->set_action(core::pb::ControlTask::REJECT);
  }
  if (states[pick] == core::TaskState::kConflict && random_.chance(1, 2)) {
    body->set_action(core::pb::ControlTask::APPROVE);
  }
  ++tally_.decisions;
  kernel_->propose(std::move(command), [](const Result<core::Reply>&) {});
}

void World::snapshot() {
  if (keeps_log_ || kernel_->snapshot_running() || kernel_->state().applied.value == 0) return;
  const core::Frozen frozen = core::freeze(kernel_->state());
  auto writer = log_->begin_snapshot(frozen.applied, kernel_->epoch());
  if (!writer.ok()) return;
  kernel_->snapshot_started();
  std::string bytes;
  Status status = core::encode_snapshot(frozen, [&](std::string_view piece) {
    bytes += piece;
    return (*writer)->write(piece);
  });
  if (status.ok() && random_.chance(9, 10)) {
    status = (*writer)->commit();
    if (status.ok()) {
      history_ = std::max(history_, frozen.applied);
      ++tally_.snapshots;
      if (random_.chance(1, 2)) replica_.restore(std::move(bytes), frozen.applied);
      return kernel_->snapshot_ended(frozen.applied, true);
    }
  }
  kernel_->snapshot_ended(frozen.applied, false);
}

void World::act() {
  switch (random_.below(12)) {
    case 0:
      register_workflows();
      break;
    case 1:
      start_run();
      break;
    case 2:
      if (random_.chance(1, 5)) control();
      if (random_.chance(1, 20)) set_namespace();
      if (random_.chance(1, 20)) set_pause(random_.chance(1, 2));
      if (random_.chance(1, 3)) signal_somebody();
      break;
    case 3:
      if (random_.chance(1, 2)) decide(false);
      if (random_.chance(1, 8)) migrate();
      break;
    case 4:
      if (random_.chance(1, 8)) act_on_schedules();
      clock_.advance(static_cast<std::int64_t>(random_.below(3'000)));
      break;
    case 5:
      if (random_.chance(1, 6)) snapshot();
      break;
    case 6:
      if (random_.chance(1, 12)) crash();
      if (random_.chance(1, 60)) disturb_log();
      if (random_.chance(1, 30)) repeat_record();
      break;
    case 7:
      // The wall clock of a machine may jump; nobody may be expired or fired early for good because of it.
      if (random_.chance(1, 10)) clock_.wall_ms += static_cast<std::int64_t>(random_.below(20'000)) - 10'000;
      break;
    default:
      agent_turn(agents_[random_.below(agents_.size())], false);
      break;
  }
}

std::string World::check_limits() {
  std::map<std::string, std::uint32_t> held;
  std::map<std::string, std::uint32_t> limits;
  kernel_->state().each_run([&](const Cow<core::Run>& run) {
    if (!run->concurrency_key.empty()) {
      const std::string key = run->workflow->namespace_name + "/runs/" + run->concurrency_key;
      bool begun = false;
      for (std::uint32_t i = 0; i < run->tasks.size(); ++i) {
        begun = begun || (run->tasks[i].state != core::TaskState::kWaiting &&
                          !run->definition_of(run->tasks[i]).compensates);
      }
      if (begun && !run->admitted) broken_ = to_text(run->id) + " has begun without its place";
      if (run->admitted) ++held[key];
      if (run->state == core::RunState::kQueued) ++tally_.queued;
      limits[key] = std::max(limits[key], run->definition().concurrency->limit);
    }
    for (std::uint32_t i = 0; i < run->tasks.size(); ++i) {
      const core::Task& task = run->tasks[i];
      const auto& definition = run->definition_of(task);
      const bool active = task.state == core::TaskState::kRunning ||
                          task.state == core::TaskState::kMerging || task.state == core::TaskState::kChild;
      if (!active) continue;
      if (definition.concurrency) {
        const std::string key = run->workflow->namespace_name + "/" + task.get().concurrency_key;
        ++held[key];
        limits[key] = std::max(limits[key], definition.concurrency->limit);
      }
      if (definition.max_parallel != 0 && task.instance != core::kNoInstance) {
        const std::string key = to_text(run->id) + "/" + definition.id;
        ++held[key];
        limits[key] = definition.max_parallel;
      }
    }
    return true;
  });
  for (const auto& [key, count] : held) {
    if (count > limits[key]) return "key " + key + " is held " + std::to_string(count) + " times";
  }
  return "";
}

void World::set_pause(bool paused) {
  core::pb::Command command;
  auto* body = command.mutable_set_pause();
  const std::uint64_t kind = 1 + random_.below(3);
  body->set_kind(static_cast<std::uint32_t>(kind));
  body->set_namespace_(random_.chance(1, 2) ? "one" : "two");
  body->set_name(kind == 1   ? "workflow-" + std::to_string(random_.below(workflows_.size()))
                 : kind == 2 ? "exec"
                             : body->namespace_());
  body->set_paused(paused);
  ++tally_.pauses;
  kernel_->propose(std::move(command), [](const Result<core::Reply>&) {});
}

// What is paused is let go, until the server says that nothing is.
void World::resume_all() {
  for (const core::Pause& pause : *kernel_->state().pause_board) {
    core::pb::Command command;
    auto* body = command.mutable_set_pause();
    body->set_kind(static_cast<std::uint32_t>(pause.kind));
    body->set_namespace_(pause.name_space);
    body->set_name(pause.name);
    kernel_->propose(std::move(command), [](const Result<core::Reply>&) {});
  }
}

// More may run than the limit only because the limit was lowered; then nothing new starts.
std::string World::check_namespaces() {
  for (const core::Namespace& now : kernel_->state().namespaces) {
    core::Namespace& before = seen_[now.name];
    const bool unlimited = now.max_running == 0 || before.max_running == 0;
    const std::uint64_t most = std::max<std::uint64_t>({now.max_running, before.max_running, before.running});
    if (!unlimited && now.running > most) {
      return "namespace " + now.name + " has " + std::to_string(now.running) + " tasks running";
    }
    if (now.is_full()) ++tally_.limited;
    before = now;
  }
  return "";
}

std::string World::check() {
  if (!broken_.empty()) return broken_;
  const auto findings = core::find_broken_invariants(kernel_->state());
  if (!findings.empty()) return findings[0];
  if (auto found = check_time(); !found.empty()) return found;
  if (auto found = check_limits(); !found.empty()) return found;
  if (auto found = check_namespaces(); !found.empty()) return found;
  if (auto found = check_schedules(); !found.empty()) return found;
  return check_shares();
}

std::string World::trouble(int steps) {
  for (int i = 0; i < steps; ++i) {
    if (log_trouble_ > 0 && --log_trouble_ == 0) {
      cluster_.set_options(troubled());
      cluster_.set_disk_full(false);
    }
    act();
    step();
    if (i % 40 == 0) {
      if (auto found = check_replica(); !found.empty()) return "step " + std::to_string(i) + ": " + found;
    }
    if (auto found = check(); !found.empty()) return "step " + std::to_string(i) + ": " + found;
  }
  return "";
}

std::string World::peace() {
  faults_ = false;
  cluster_.set_options({});
  cluster_.set_disk_full(false);
  for (SimAgent& agent : agents_) agent.deaf_until_us = 0;
  for (int i = 0; i < 60'000; ++i) {
    if (registered_.size() < workflows_.size()) register_workflows();
    bool unanswered = false;
    for (const ClientRun& run : runs_) unanswered = unanswered || (!run.id && !run.refused);
    if (unanswered) start_run();
    if (i % 7 == 0) decide(true);
    if (i % 13 == 0) resume_all();
    if (i % 9 == 0) answer_waits();
    if (i % 11 == 0) end_schedules();
    if (i % 5 == 0) clock_.advance(static_cast<std::int64_t>(200 + random_.below(2'000)));
    if (i % 11 == 0) raise_budgets();
    agent_turn(agents_[static_cast<std::size_t>(i) % agents_.size()], true);
    step();
    if (auto found = check_shares(); !found.empty()) return "peace " + std::to_string(i) + ": " + found;
    if (i % 16 == 0) {
      if (auto found = check(); !found.empty()) return "peace " + std::to_string(i) + ": " + found;
    }
    if (!unanswered && kernel_->leading() && kernel_->state().live_runs == 0 &&
        kernel_->state().leases.empty() && kernel_->state().schedules.empty() && kernel_->pending() == 0) {
      for (const ClientRun& run : runs_) {
        if (run.id && !finished_.contains(*run.id))
          return "acknowledged " + to_text(*run.id) + " is neither live nor finished";
      }
      if (auto found = check_replica(); !found.empty()) return found;
      return compare_replay();
    }
  }
  std::string stuck = "not everything came to an end:";
  kernel_->state().each_run([&](const Cow<core::Run>& run) {
    stuck += " " + to_text(run->id) + "(" + std::string(core::to_text(run->state)) + ")";
    for (std::uint32_t i = 0; i < run->tasks.size(); ++i) {
      if (!core::is_terminal(run->tasks[i].state)) {
        stuck += " " + run->key_of(run->tasks[i]) + "=" + std::string(core::to_text(run->tasks[i].state));
      }
    }
    return true;
  });
  return stuck;
}

std::vector<std::string> World::records() const {
  std::vector<std::string> records;
  for (const auto& entry : cluster_.entries()) records.push_back(entry.bytes);
  return records;
}

// Whoever reads the same log, from the start or from a snapshot, holds the same state.
std::string World::compare_replay() {
  const std::string mine = core::state_hash(kernel_->state());
  core::State copy;
  std::string bytes;
  Status status = core::encode_snapshot(core::freeze(kernel_->state()), [&](std::string_view piece) {
    bytes += piece;
    return Status();
  });
  if (!status.ok()) return status.error().to_string();
  bool given = false;
  status = core::decode_snapshot(
      [&]() -> Result<std::string> {
        if (given) return std::string();
        given = true;
        return bytes;
      },
      copy);
  if (!status.ok()) return "its own snapshot does not read back: " + status.error().to_string();
  if (core::state_hash(copy) != mine) return "the state differs after a snapshot and restore";
  if (cluster_.first_index() != 1) return "";
  core::State replayed;
  core::Effects effects;
  std::uint64_t index = cluster_.first_index();
  for (const auto& entry : cluster_.entries()) {
    core::pb::Batch batch;
    if (!batch.ParseFromString(entry.bytes)) return "a committed record does not parse";
    for (const auto& command : batch.commands()) {
      effects.clear();
      core::apply(replayed, command, LogIndex{index}, effects);
    }
    ++index;
  }
  // Records without commands (of other leaders) move the index but not the state.
  replayed.applied = kernel_->state().applied;
  return core::state_hash(replayed) == mine ? "" : "the state differs after a replay of the whole log";
}

}  // namespace ez::sim
