#include "core/budget.h"
#include "core/commands/command.h"
#include "core/ready.h"

namespace ez::core {
namespace {

constexpr std::size_t kMaxResolverText = 1'000;

std::string bounded(const std::string& text, std::size_t limit) {
  return text.size() <= limit ? text : text.substr(0, limit);
}

void take_artifacts(TaskDetail& detail, const pb::ReportResult& command) {
  detail.artifacts.clear();
  for (const pb::Artifact& artifact : command.artifacts()) {
    detail.artifacts.push_back({artifact.name(), artifact.sha256(), artifact.size()});
  }
}

void take_output(TaskDetail& detail, const pb::ReportResult& command) {
  detail.output = command.output();
  detail.output_blob = command.output_blob();
  detail.error = {};
  take_artifacts(detail, command);
  detail.branch = command.branch();
  detail.commit = command.commit();
  detail.base = command.base();
  detail.changed_files = command.changed_files();
  detail.conflict.clear();
  detail.resolution = nullptr;
}

// What the resolver did is kept with the task, its transcripts beside what the attempt left.
void take_resolution(TaskDetail& detail, const pb::ReportResult& command) {
  detail.resolution = nullptr;
  if (!command.has_resolution()) return;
  Resolution resolution{bounded(command.resolution().agent_type(), kMaxResolverText), {}};
  for (const auto& given : command.resolution().tries()) {
    if (resolution.tries.size() >= orchestration::kMaxResolverTries) break;
    resolution.tries.push_back(
        {bounded(given.error_code(), 64), bounded(given.error_message(), kMaxResolverText)});
  }
  detail.resolution = std::make_shared<const Resolution>(std::move(resolution));
  for (const pb::Artifact& artifact : command.artifacts()) {
    std::erase_if(detail.artifacts, [&](const Artifact& kept) { return kept.name == artifact.name(); });
    detail.artifacts.push_back({artifact.name(), artifact.sha256(), artifact.size()});
  }
}

TaskError error_of(const pb::ReportResult& command) {
  return {command.error_code().empty() ? "COMMAND_FAILED" : bounded(command.error_code(), 64),
          bounded(command.error_message(), 4096)};
}

// The attempt ended because its agent did, not because of the work: it does not count against max_attempts.
bool lost(const pb::ReportResult& command) {
  return command.outcome() == pb::ReportResult::CANCELLED || command.error_code() == "SHUTTING_DOWN";
}

void executed(Context& context, Run& run, std::uint32_t index, const pb::ReportResult& command) {
  if (command.outcome() != pb::ReportResult::SUCCEEDED) {
    if (command.keep_artifacts()) {
      Task& task = run.tasks.write(index);
      auto detail = task.edit();
      take_artifacts(*detail, command);
      task.detail = std::move(detail);
    }
    return attempt_failed(context, run, index, error_of(command), command.exit_code(), command.final(),
                          lost(command));
  }
  {
    Task& task = run.tasks.write(index);
    // Tasks that only answer need no detail record: it is the common case of a large fleet.
    if (task.detail || !command.output().empty() || !command.output_blob().empty() ||
        command.artifacts_size() > 0 || !command.commit().empty()) {
      auto detail = task.edit();
      take_output(*detail, command);
      task.detail = std::move(detail);
    }
  }
  const bool merges = run.definition_of(run.tasks[index]).workspace == orchestration::WorkspaceMode::kWrite &&
                      !command.commit().empty();
  if (merges) {
    queue_merge(context, run, index);
  } else {
    complete(context, run, index, TaskEvent::kSucceed);
  }
}

void merged(Context& context, Run& run, std::uint32_t index, const pb::ReportResult& command) {
  Task& task = run.tasks.write(index);
  if (lost(command) && ++task.losses < kMaxLosses) {
    move(context, run, index, TaskEvent::kQueueMerge);
    return queue_merge(context, run, index);
  }
  auto detail = task.edit();
  take_resolution(*detail, command);
  switch (command.outcome()) {
    case pb::ReportResult::SUCCEEDED:
      detail->head = command.head();
      detail->conflict.clear();
      run.head = command.head();
      task.detail = std::move(detail);
      complete(context, run, index, TaskEvent::kSucceed);
      return leave_merge_queue(context, run, index);
    case pb::ReportResult::CONFLICT:
      detail->conflict = bounded(command.conflict(), kMaxInlineBytes);
      detail->error = error_of(command);
      task.detail = std::move(detail);
      move(context, run, index, TaskEvent::kConflictFound);
      return leave_merge_queue(context, run, index);
    default:
      // The check failed on the merged tree (or git did): the work is done again from the new head.
      task.detail = std::move(detail);
      leave_merge_queue(context, run, index);
      return attempt_failed(context, run, index, error_of(command), command.exit_code(), command.final(),
                            false);
  }
}

void ended(Context& context, Run& run, const Lease& lease, const pb::ReportResult& command) {
  if (lease.merge) {
    merged(context, run, lease.task, command);
  } else {
    executed(context, run, lease.task, command);
  }
}

}  // namespace

void apply_report_result(Context& context, const pb::ReportResult& command) {
  State& state = context.state;
  Reply& reply = context.effects.reply;
  const Fence fence{command.fence()};
  const auto found = state.leases.find(fence);
  if (found == state.leases.end()) {
    // Either it was accepted before (the answer was lost) or the lease ended without it.
    reply.result = Reply::Result::kStale;
    if (const Run* run = state.find_run(RunId{command.run()})) {
      for (std::uint32_t i = 0; i < run->tasks.size(); ++i) {
        if (run->tasks[i].last_fence == fence) reply.result = Reply::Result::kDuplicate;
      }
    }
    return;
  }
  const Lease lease = found->second;
  reply.run = lease.run;
  const bool over = !lease.metered && lease.reserve_microusd != kNoReserve &&
                    command.cost_microusd() > lease.reserve_microusd;
  if (const auto agent = state.agents.find(lease.agent); agent != state.agents.end()) {
    ++(!over && command.outcome() == pb::ReportResult::SUCCEEDED ? agent->second.completed
                                                                 : agent->second.failed);
  }
  if (lease.cancelled) {
    state.remove_lease(fence);
    context.effects.ended.push_back(fence);
    reply.result = Reply::Result::kStale;
    // The work does not matter any more, what it cost does.
    if (Run* run = state.write_run(lease.run)) {
      (void)settle_reserve(context, *run, lease, command.cost_microusd());
      settle(context, *run);
    }
    return;
  }
  Run& run = *state.write_run(lease.run);
  run.tasks.write(lease.task).last_fence = fence;
  end_lease(context, run, lease.task, false);
  reply.result = Reply::Result::kAccepted;
  if (settle_reserve(context, run, lease, command.cost_microusd()) > 0) {
    pb::ReportResult refused = command;
    refused.set_outcome(pb::ReportResult::FAILED);
    refused.set_error_code("BUDGET_EXCEEDED");
    refused.set_error_message("the attempt cost " + dollars(command.cost_microusd()) + ", it might cost " +
                              dollars(lease.reserve_microusd));
    ended(context, run, lease, refused);
  } else {
    ended(context, run, lease, command);
  }
  settle(context, run);
}

void lose_lease(Context& context, Fence fence, const std::string& reason, bool undelivered) {
  State& state = context.state;
  const auto found = state.leases.find(fence);
  if (found == state.leases.end()) return;
  const Lease lease = found->second;
  const auto settle_lost = [&](Run& run) {
    if (undelivered) {
      (void)settle_reserve(context, run, lease, 0);  // it never began
    } else {
      forfeit_reserve(context, run, lease);
    }
  };
  if (lease.cancelled) {
    state.remove_lease(fence);
    context.effects.ended.push_back(fence);
    if (Run* run = state.write_run(lease.run)) {
      settle_lost(*run);
      settle(context, *run);
    }
    return;
  }
  Run& run = *state.write_run(lease.run);
  end_lease(context, run, lease.task, false);
  settle_lost(run);
  if (undelivered && !lease.merge) {
    // It never began: no attempt failed, and there is nothing to wait for.
    release_places(state, run, run.tasks.write(lease.task), lease.task, context.freed_keys);
    move(context, run, lease.task, TaskEvent::kBackOff);
    enqueue(context, run, lease.task);
    return settle(context, run);
  }
  pb::ReportResult lost;
  lost.set_outcome(pb::ReportResult::CANCELLED);
  lost.set_error_code("LEASE_EXPIRED");
  lost.set_error_message(reason);
  ended(context, run, lease, lost);
  settle(context, run);
}

}  // namespace ez::core
