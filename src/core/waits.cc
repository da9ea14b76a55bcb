#include "core/waits.h"

#include <algorithm>
#include <optional>

#include "base/rfc3339.h"
#include "core/variables.h"
#include "orchestration/text.h"

namespace ez::core {
namespace {

const orchestration::Wait& wait_of(const Run& run, std::uint32_t index) {
  return *run.definition_of(run.tasks[index]).wait;
}

// When the wait for time is over; nullopt after the task has failed.
std::optional<std::int64_t> end_of(Context& context, Run& run, std::uint32_t index) {
  const orchestration::Wait& wait = wait_of(run, index);
  if (!wait.until) return context.now_ms + wait.for_ms;
  const auto text = render(run, &run.tasks[index], *wait.until, Template::Quoting::kPlain);
  if (!text.ok()) {
    fail_task(context, run, index,
              {std::string(text.error().name()), "wait.until: " + text.error().message()});
    return std::nullopt;
  }
  const auto end = parse_rfc3339(*text);
  if (!end) {
    fail_task(context, run, index,
              {"EXPRESSION_FAILED", "wait.until gives `" + text->substr(0, 100) +
                                        "`, which is no time like 2026-12-24T08:00:00+01:00"});
    return std::nullopt;
  }
  if (*end > context.now_ms + orchestration::kMaxDurationMs) {
    fail_task(context, run, index,
              {"EXPRESSION_FAILED", "wait.until gives " + *text + ", which is more than ten years away"});
    return std::nullopt;
  }
  return end;
}

void take(Context& context, Run& run, std::uint32_t index, const Signal& signal) {
  Task& task = run.tasks.write(index);
  auto detail = task.edit();
  detail->output = signal.payload;
  detail->error = {};
  detail->decided_by = signal.principal;
  task.detail = std::move(detail);
  complete(context, run, index, TaskEvent::kSucceed);
}

void set_timeout(Context& context, Run& run, std::uint32_t index) {
  const std::int64_t timeout = wait_of(run, index).timeout_ms;
  if (timeout != 0)
    context.state.set_timer(run.id, index, run.tasks.write(index).due_ms, context.now_ms + timeout);
}

}  // namespace

void begin_wait(Context& context, Run& run, std::uint32_t index) {
  const orchestration::Wait& wait = wait_of(run, index);
  std::optional<std::int64_t> end;
  if (wait.signal.empty()) {
    end = end_of(context, run, index);
    if (!end) return;
  }
  {
    Task& task = run.tasks.write(index);
    if (task.scheduled_ms == 0) task.scheduled_ms = context.now_ms;
    task.ready_ms = context.now_ms;
    task.started_ms = context.now_ms;
    ++task.attempt;
  }
  if (end) {
    move(context, run, index, TaskEvent::kSleep);
    if (*end <= context.now_ms) return fire_wait(context, run, index);
    return context.state.set_timer(run.id, index, run.tasks.write(index).due_ms, *end);
  }
  move(context, run, index, TaskEvent::kAwaitSignal);
  set_timeout(context, run, index);
  if (run.state == RunState::kPaused || !run.mail) return;
  const auto& kept = run.mail->kept;
  const auto first = std::find_if(kept.begin(), kept.end(),
                                  [&](const Signal& signal) { return signal.name == wait.signal; });
  if (first == kept.end()) return;
  const Signal signal = *first;
  auto& writable = run.mail.write().kept;
  writable.erase(writable.begin() + (first - kept.begin()));
  take(context, run, index, signal);
}

void fire_wait(Context& context, Run& run, std::uint32_t index) {
  if (run.state == RunState::kPaused) return;  // resume_waits() sees that it is over
  if (run.tasks[index].state == TaskState::kTimer) return complete(context, run, index, TaskEvent::kSucceed);
  const orchestration::Wait& wait = wait_of(run, index);
  attempt_failed(context, run, index,
                 {"TASK_TIMEOUT", "no signal " + wait.signal + " came within " +
                                      orchestration::format_duration_ms(wait.timeout_ms)},
                 0, true, false);
}

void resume_waits(Context& context, Run& run) {
  if (run.counts[static_cast<int>(TaskState::kTimer)] + run.counts[static_cast<int>(TaskState::kSignal)] == 0)
    return;
  if (run.mail && !run.mail->kept.empty()) {
    std::vector<Signal> waiting;
    waiting.swap(run.mail.write().kept);
    for (Signal& signal : waiting) {
      if (hand_over(context, run, signal) == kNoInstance) run.mail.write().kept.push_back(std::move(signal));
    }
  }
  for (std::uint32_t i = 0; i < run.tasks.size() && !is_terminal(run.state); ++i) {
    const Task& task = run.tasks[i];
    if (task.due_ms != 0) continue;
    if (task.state == TaskState::kTimer) complete(context, run, i, TaskEvent::kSucceed);
    if (task.state == TaskState::kSignal) set_timeout(context, run, i);
  }
}

std::uint32_t hand_over(Context& context, Run& run, const Signal& signal) {
  if (run.state != RunState::kRunning || run.counts[static_cast<int>(TaskState::kSignal)] == 0)
    return kNoInstance;
  std::uint32_t oldest = kNoInstance;
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    if (run.tasks[i].state != TaskState::kSignal || wait_of(run, i).signal != signal.name) continue;
    if (oldest == kNoInstance || run.tasks[i].ready_ms < run.tasks[oldest].ready_ms) oldest = i;
  }
  if (oldest != kNoInstance) take(context, run, oldest, signal);
  return oldest;
}

}  // namespace ez::core
