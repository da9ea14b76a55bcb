#include "core/schedule_view.h"

#include "base/clock.h"
#include "base/json.h"
#include "orchestration/definition.h"

namespace ez::core {
namespace {

Value number(std::uint64_t value) { return Value(static_cast<std::int64_t>(value)); }

std::string_view state_of(const Schedule& schedule) {
  if (schedule.paused) return "paused";
  return schedule.stalled ? "stalled" : "active";
}

// Why it does what it does, in one sentence.
std::string says(const Schedule& schedule) {
  if (schedule.paused) {
    return "paused by " + schedule.paused_by +
           (schedule.pause_comment.empty() ? std::string() : ": " + schedule.pause_comment) +
           "; instants that pass meanwhile are not made up for";
  }
  if (schedule.stalled)
    return "its next ticks are not known: " + schedule.problem + "; asked again every minute";
  const std::string waiting = std::to_string(schedule.backlog.size());
  if (schedule.live.empty()) return "waits for its next tick";
  const std::string run = to_text(*schedule.live.begin());
  const std::string others =
      schedule.live.size() == 1 ? "" : " and " + std::to_string(schedule.live.size() - 1) + " more";
  if (schedule.overlap == Overlap::kAllow) return run + others + " live; a tick starts another run";
  const std::string queued = schedule.backlog.empty() ? "" : "; " + waiting + " ticks wait for it";
  return run + others + " live" + queued +
         (schedule.overlap == Overlap::kSkip ? "; a tick before it ends is skipped"
                                             : "; a tick before it ends waits");
}

Value event_view(const ScheduleEvent& event) {
  return Value(Value::Map{{"instant", Value(format_time(event.instant_ms))},
                          {"at", Value(format_time(event.at_ms))},
                          {"cause", Value(to_text(event.cause))},
                          {"outcome", Value(to_text(event.outcome))},
                          {"run", event.run.valid() ? Value(to_text(event.run)) : Value()},
                          {"text", event.text.empty() ? Value() : Value(event.text)}});
}

}  // namespace

Value schedule_view(const Schedule& schedule) {
  Value::List live;
  for (const RunId run : schedule.live) {
    if (live.size() == 100) break;
    live.emplace_back(to_text(run));
  }
  Value::List events;
  for (auto at = schedule.events.rbegin(); at != schedule.events.rend(); ++at)
    events.push_back(event_view(*at));
  auto inputs = parse_json(schedule.inputs.empty() ? "{}" : schedule.inputs);
  const auto priority = static_cast<orchestration::Priority>(schedule.priority - 1);
  return Value(Value::Map{
      {"name", Value(schedule.name)},
      {"namespace", Value(schedule.name_space)},
      {"workflow", Value(schedule.workflow)},
      {"version", schedule.version == 0 ? Value() : number(schedule.version)},
      {"inputs", inputs.ok() ? std::move(inputs).value() : Value()},
      {"priority", schedule.priority == 0 ? Value() : Value(orchestration::to_text(priority))},
      {"cadence", Value(schedule.cadence)},
      {"zone", Value(schedule.zone)},
      {"jitter_ms", Value(schedule.jitter_ms)},
      {"overlap", Value(to_text(schedule.overlap))},
      {"catch_up_ms", Value(schedule.catch_up_ms)},
      {"comment", schedule.comment.empty() ? Value() : Value(schedule.comment)},
      {"set_by", Value(schedule.principal)},
      {"created_at", Value(format_time(schedule.created_ms))},
      {"updated_at", Value(format_time(schedule.updated_ms))},
      {"revision", number(schedule.revision)},
      {"state", Value(state_of(schedule))},
      {"says", Value(says(schedule))},
      {"live", Value(std::move(live))},
      {"queued", number(schedule.backlog.size())},
      {"started", number(schedule.started)},
      {"skipped", number(schedule.skipped)},
      {"missed", number(schedule.missed)},
      {"failed", number(schedule.failed)},
      {"events", Value(std::move(events))},
  });
}

}  // namespace ez::core
