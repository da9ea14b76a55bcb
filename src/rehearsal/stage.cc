#include "rehearsal/stage.h"

#include <algorithm>

#include "base/json.h"
#include "base/sha256.h"
#include "core/variables.h"
#include "orchestration/text.h"

namespace ez::rehearsal {

using core::pb::ControlRun;
using core::pb::ControlTask;
using core::pb::ReportResult;

namespace {

constexpr std::uint64_t kSeed = 1;
constexpr int kQuietSteps = 2;  // in a row without anything new: nothing more happens at this moment

std::string text(std::string_view view) { return std::string(view); }

}  // namespace

Stage::Stage(const orchestration::Workflow& workflow, const Test& test)
    : test_(test),
      workflow_(std::make_shared<orchestration::Workflow>(workflow)),
      random_(kSeed),
      cluster_(kSeed) {
  for (orchestration::Task& task : workflow_->tasks) {
    task.retry.jitter_permille = 0;
    if (!task.workflow) continue;
    // The other workflow has tests of its own: here the script says what it gives, as for any task.
    task.workflow.reset();
    task.run = *Template::parse("true");
    task.timeout.start_to_close_ms = orchestration::kMaxDurationMs;
  }
}

Stage::~Stage() = default;

Status Stage::open() {
  log_ = cluster_.open();
  kernel_ = std::make_unique<engine::Kernel>(engine::KernelOptions(), *log_, clock_, random_, *this);
  EZ_TRY(kernel_->recover(LogIndex{}));
  for (int i = 0; i < 100 && !kernel_->leading(); ++i) kernel_->step(std::chrono::microseconds(0));
  if (!kernel_->leading()) return Error(Code::Internal, "the stage has no log");
  core::pb::Command command;
  auto* body = command.mutable_register_workflow();
  body->set_namespace_(workflow_->namespace_name);
  body->set_canonical(orchestration::to_canonical(*workflow_));
  kernel_->propose(std::move(command), [this](const Result<core::Reply>& reply) {
    if (!reply.ok()) {
      broken_ = reply.error();
    } else if (reply->error) {
      broken_ = *reply->error;
    }
  });
  return {};
}

// One agent for each type, with whatever its tasks ask for.
void Stage::register_actors() {
  std::map<std::string, std::set<std::string>> types{{"exec", {}}};
  for (const orchestration::Task& task : workflow_->tasks) {
    auto& abilities = types[core::serving_type(task.agent.type)];
    abilities.insert(task.agent.capabilities.begin(), task.agent.capabilities.end());
  }
  actors_.resize(types.size());
  std::size_t number = 0;
  for (const auto& [type, abilities] : types) {
    core::pb::Command command;
    auto* body = command.mutable_register_agent();
    body->set_name("agent-" + type);
    body->set_type(type);
    body->set_capacity(test_.agents);
    for (const std::string& ability : abilities) body->add_capabilities(ability);
    kernel_->propose(std::move(command), [this, number](const Result<core::Reply>& reply) {
      if (!reply.ok()) {
        broken_ = reply.error();
      } else if (reply->error) {
        broken_ = *reply->error;
      } else {
        actors_[number].id = reply->agent;
      }
    });
    ++number;
  }
}

void Stage::start_run() {
  core::pb::Command command;
  auto* body = command.mutable_start_run();
  body->set_namespace_(workflow_->namespace_name);
  body->set_workflow(workflow_->name);
  body->set_inputs(to_json(test_.inputs));
  body->set_principal("tester");
  if (test_.priority) body->set_priority(static_cast<std::uint32_t>(*test_.priority) + 1);
  kernel_->propose(std::move(command), [this](const Result<core::Reply>& reply) {
    if (!reply.ok()) {
      broken_ = reply.error();
    } else if (reply->error) {
      outcome_.refused = *reply->error;
    } else {
      run_ = reply->run;
    }
  });
}

void Stage::at(std::int64_t at_ms, std::function<void()> what) {
  cues_.emplace(Cue{std::max(at_ms, clock_.at_ms), next_cue_++}, std::move(what));
}

void Stage::say(std::int64_t at_ms, const std::string& line) {
  ++moves_;
  if (outcome_.timeline.size() == kMaxTimeline) outcome_.timeline.emplace_back("and so on");
  if (outcome_.timeline.size() > kMaxTimeline) return;
  outcome_.timeline.push_back("+" + orchestration::format_duration_ms(at_ms - kStartMs) + "  " + line);
}

std::string Stage::key_of(RunId id, std::uint32_t task) const {
  const core::Run* run = kernel_->state().find_run(id);
  if (run == nullptr && outcome_.run) run = &*outcome_.run;
  return run != nullptr && task < run->tasks.size() ? run->key_of(run->tasks[task]) : std::string();
}

void Stage::changed(std::span<const core::RunEvent> events, std::uint64_t) {
  for (const core::RunEvent& event : events) {
    if (event.task != core::kNoInstance) {
      note_task(event);
    } else if (event.notice != core::RunNotice::kNone) {
      outcome_.notices.push_back(text(core::to_text(event.notice)));
      say(event.at_ms, "notice: " + outcome_.notices.back());
    } else {
      say(event.at_ms, "the run: " + text(core::to_text(static_cast<core::RunState>(event.state))));
    }
  }
}

void Stage::note_task(const core::RunEvent& event) {
  const std::string key = key_of(event.run, event.task);
  const auto state = static_cast<core::TaskState>(event.state);
  std::string line = key + ": " + text(core::to_text(state));
  if (state == core::TaskState::kRunning) line += " (attempt " + std::to_string(event.attempt) + ")";
  say(event.at_ms, line);
  const std::int64_t since_ms = event.at_ms - kStartMs;
  if (state == core::TaskState::kRunning && outcome_.starts_ms.emplace(key, since_ms).second)
    outcome_.order.push_back(key);
  if (core::is_terminal(state)) {
    outcome_.ends_ms[key] = since_ms;
    const bool did = state == core::TaskState::kSucceeded || state == core::TaskState::kFailed;
    if (did && outcome_.starts_ms.emplace(key, since_ms).second) outcome_.order.push_back(key);
  }
  if (core::waits_for_person(state)) ask(key);
}

// Who is asked decides as the script says; without a word in the script nobody does.
void Stage::ask(const std::string& key) {
  auto found = test_.decisions.find(key);
  if (found == test_.decisions.end()) found = test_.decisions.find(key.substr(0, key.rfind('.')));
  if (found == test_.decisions.end()) return;
  std::size_t& used = decided_[key];
  if (used == found->second.size()) return;
  const Decision& decision = found->second[used++];
  at(clock_.at_ms + decision.after_ms, [this, key, &decision] { decide(key, decision); });
}

void Stage::decide(const std::string& key, const Decision& decision) {
  constexpr ControlTask::Action kActions[] = {ControlTask::APPROVE, ControlTask::REJECT, ControlTask::RETRY,
                                              ControlTask::CANCEL};
  core::pb::Command command;
  ControlTask& body = *command.mutable_control_task();
  body.set_run(run_.value);
  body.set_task(key);
  body.set_action(kActions[static_cast<std::size_t>(decision.what)]);
  body.set_principal(decision.by);
  body.set_comment(decision.comment);
  propose(std::move(command), decision.place);
}

void Stage::act(const Action& action) {
  core::pb::Command command;
  switch (action.what) {
    case Action::What::kBudget: {
      auto& body = *command.mutable_adjust_budget();
      body.set_run(run_.value);
      body.set_add_microusd(action.add_microusd);
      body.set_extend_ms(action.extend_ms);
      body.set_principal("tester");
      break;
    }
    case Action::What::kRestart: {
      auto& body = *command.mutable_restart_task();
      body.set_run(run_.value);
      body.set_task(action.task);
      body.set_redo(action.redo);
      body.set_principal("tester");
      break;
    }
    case Action::What::kSignal: {
      auto& body = *command.mutable_send_signal();
      body.set_run(run_.value);
      body.set_name(action.signal);
      body.set_payload(action.payload);
      body.set_principal("tester");
      break;
    }
    default: {
      constexpr ControlRun::Action kActions[] = {ControlRun::PAUSE, ControlRun::RESUME, ControlRun::CANCEL,
                                                 ControlRun::RETRY};
      auto& body = *command.mutable_control_run();
      body.set_run(run_.value);
      body.set_action(kActions[static_cast<std::size_t>(action.what)]);
      body.set_principal("tester");
    }
  }
  propose(std::move(command), action.place);
}

void Stage::propose(core::pb::Command command, Place place) {
  ++moves_;
  kernel_->propose(std::move(command), [this, place](const Result<core::Reply>& reply) {
    ++moves_;
    if (!reply.ok()) {
      outcome_.refusals.push_back({place, reply.error()});
    } else if (reply->error) {
      outcome_.refusals.push_back({place, *reply->error});
    }
  });
}

void Stage::finished(const Cow<core::Run>& run, LogIndex) {
  ++moves_;
  outcome_.run = run;
}

void Stage::failed(const Error& error) { broken_ = error; }

// The agent stops at once and says so.
void Stage::cancel_work(const core::Lease& lease) {
  const auto found = work_.find(lease.fence);
  if (found == work_.end() || found->second.lost) return;
  found->second.result.Clear();
  found->second.result.set_outcome(ReportResult::CANCELLED);
  at(clock_.at_ms, [this, fence = lease.fence] {
    const auto work = work_.find(fence);
    if (work == work_.end()) return;
    core::pb::Command command;
    *command.mutable_report_result() = work->second.result;
    command.mutable_report_result()->set_fence(fence.value);
    command.mutable_report_result()->set_run(run_.value);
    --actors_[work->second.actor].held;
    work_.erase(work);
    ++moves_;
    kernel_->propose(std::move(command), [](const Result<core::Reply>&) {});
  });
}

const Attempt* Stage::script_of(const core::Run& run, const core::Lease& lease) const {
  const core::Task& task = run.tasks[lease.task];
  auto found = test_.tasks.find(run.key_of(task));
  if (found == test_.tasks.end()) found = test_.tasks.find(run.definition_of(task).id);
  if (found == test_.tasks.end() || found->second.empty()) return nullptr;
  const std::size_t number = lease.attempt == 0 ? 0 : lease.attempt - 1;
  return &found->second[std::min(number, found->second.size() - 1)];
}

void Stage::take_work(std::size_t actor, const core::Lease& lease) {
  static const Attempt kPlain;
  const core::Run* run = kernel_->state().find_run(lease.run);
  if (run == nullptr) return;
  const core::Task& task = run->tasks[lease.task];
  const Attempt* script = script_of(*run, lease);
  if (script == nullptr) script = &kPlain;
  Work work{lease, actor, {}, script->lost && !lease.merge};
  ReportResult& result = work.result;
  const std::string name = run->key_of(task) + "#" + std::to_string(lease.attempt);
  result.set_outcome(ReportResult::SUCCEEDED);
  if (lease.merge) {
    if (!script->conflict.empty() && conflicted_.emplace(lease.task, lease.attempt).second) {
      result.set_outcome(ReportResult::CONFLICT);
      result.set_conflict(script->conflict);
      result.set_error_code("MERGE_CONFLICT");
    } else {
      result.set_head("merge of " + name);
    }
  } else if (!script->code.empty()) {
    result.set_outcome(ReportResult::FAILED);
    result.set_error_code(script->code);
    result.set_error_message(script->message.empty() ? "as the script says" : script->message);
    result.set_exit_code(script->exit_code);
    result.set_final(script->final);
  } else {
    result.set_output(script->output);
    for (const std::string& artifact : script->artifacts) {
      auto* slot = result.add_artifacts();
      slot->set_name(artifact);
      slot->set_sha256(sha256_hex(name + "/" + artifact));
    }
    const bool writes = run->definition_of(task).workspace == orchestration::WorkspaceMode::kWrite;
    if (writes && script->changed_files > 0 && !run->repository.empty()) {
      result.set_commit("commit of " + name);
      result.set_branch("branch of " + name);
      result.set_changed_files(script->changed_files);
    }
  }
  if (!lease.merge) result.set_cost_microusd(script->cost_microusd);
  ++actors_[actor].held;
  ++moves_;
  const bool lost = work.lost;
  work_.emplace(lease.fence, std::move(work));
  if (lost) {
    // Nothing is heard of it until its heartbeat is missed.
    return at(clock_.at_ms + run->definition_of(task).timeout.heartbeat_ms, [] {});
  }
  at(clock_.at_ms + (lease.merge ? 0 : script->takes_ms), [this, fence = lease.fence] {
    const auto done = work_.find(fence);
    if (done == work_.end()) return;
    core::pb::Command command;
    *command.mutable_report_result() = std::move(done->second.result);
    command.mutable_report_result()->set_fence(fence.value);
    command.mutable_report_result()->set_run(run_.value);
    --actors_[done->second.actor].held;
    work_.erase(done);
    ++moves_;
    kernel_->propose(std::move(command), [](const Result<core::Reply>&) {});
  });
}

void Stage::offer_work() {
  for (std::size_t i = 0; i < actors_.size(); ++i) {
    Actor& actor = actors_[i];
    if (!actor.id.valid() || actor.demand || actor.held >= test_.agents) continue;
    auto offered = kernel_->offer(actor.id, test_.agents - actor.held,
                                  [this, i](const std::vector<core::Lease>& leases) {
                                    actors_[i].demand.reset();
                                    for (const core::Lease& lease : leases) take_work(i, lease);
                                  });
    if (offered.ok()) actor.demand = *offered;
  }
}

Status Stage::settle() {
  int quiet = 0;
  while (quiet < kQuietSteps) {
    if (broken_) return *broken_;
    if (++turns_ > kMaxTurns) return Error(Code::Internal, "the test does not come to an end");
    const std::uint64_t before = moves_;
    const LogIndex applied = kernel_->state().applied;
    while (!cues_.empty() && cues_.begin()->first.at_ms <= clock_.at_ms) {
      const auto what = std::move(cues_.begin()->second);
      cues_.erase(cues_.begin());
      what();
    }
    offer_work();
    kernel_->step(std::chrono::microseconds(0));
    const bool same = moves_ == before && kernel_->state().applied == applied && kernel_->pending() == 0 &&
                      (cues_.empty() || cues_.begin()->first.at_ms > clock_.at_ms);
    quiet = same ? quiet + 1 : 0;
  }
  return {};
}

bool Stage::jump() {
  std::int64_t next_ms = INT64_MAX;
  if (!cues_.empty()) next_ms = cues_.begin()->first.at_ms;
  const auto& timers = kernel_->state().timers;
  if (!timers.empty()) next_ms = std::min(next_ms, timers.begin()->due_ms);
  const bool silent = std::any_of(work_.begin(), work_.end(), [&](const auto& work) {
    return work.second.lost && kernel_->state().leases.contains(work.first);
  });
  if (silent) {
    const auto idle_ms = std::chrono::ceil<std::chrono::milliseconds>(kernel_->idle_time()).count();
    next_ms = std::min<std::int64_t>(next_ms, clock_.at_ms + std::max<std::int64_t>(idle_ms, 1));
  }
  if (next_ms == INT64_MAX) return false;
  if (next_ms > kStartMs + test_.until_ms) {
    outcome_.out_of_time = true;
    clock_.at_ms = kStartMs + test_.until_ms;
    return false;
  }
  clock_.at_ms = std::max(next_ms, clock_.at_ms);
  for (std::size_t i = 0; i < actors_.size(); ++i) {
    std::vector<Fence> fences;
    for (auto work = work_.begin(); work != work_.end();) {
      const bool over = work->second.lost && !kernel_->state().leases.contains(work->first);
      if (over) --actors_[work->second.actor].held;
      if (!over && work->second.actor == i && !work->second.lost) fences.push_back(work->first);
      work = over ? work_.erase(work) : std::next(work);
    }
    (void)kernel_->heartbeat(actors_[i].id, fences);
  }
  return true;
}

Result<Outcome> Stage::play() {
  EZ_TRY(open());
  EZ_TRY(settle());
  register_actors();
  EZ_TRY(settle());
  start_run();
  for (const Action& action : test_.actions) at(kStartMs + action.at_ms, [this, &action] { act(action); });
  EZ_TRY(settle());
  if (outcome_.refused) return std::move(outcome_);
  while (!outcome_.run && jump()) EZ_TRY(settle());
  outcome_.end_ms = clock_.at_ms - kStartMs;
  if (!outcome_.run) {
    outcome_.run = kernel_->state().share_run(run_);
  } else {
    outcome_.end_ms = outcome_.run->finished_ms - kStartMs;
  }
  if (!outcome_.run) return Error(Code::Internal, "the run is neither live nor finished");
  return std::move(outcome_);
}

}  // namespace ez::rehearsal
