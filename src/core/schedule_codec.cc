#include "core/schedule_codec.h"

#include "core/snapshot.pb.h"

namespace ez::core {
namespace {

void encode_settings(const Schedule& schedule, pb::SetSchedule& out) {
  out.set_namespace_(schedule.name_space);
  out.set_name(schedule.name);
  out.set_workflow(schedule.workflow);
  out.set_version(schedule.version);
  out.set_inputs(schedule.inputs);
  out.set_priority(schedule.priority);
  out.set_cadence(schedule.cadence);
  out.set_zone(schedule.zone);
  out.set_jitter_ms(schedule.jitter_ms);
  out.set_overlap(static_cast<std::uint32_t>(schedule.overlap));
  out.set_catch_up_ms(schedule.catch_up_ms);
  out.set_comment(schedule.comment);
  out.set_principal(schedule.principal);
}

void decode_settings(const pb::SetSchedule& in, Schedule& schedule) {
  schedule.name_space = in.namespace_();
  schedule.name = in.name();
  schedule.workflow = in.workflow();
  schedule.version = in.version();
  schedule.inputs = in.inputs();
  schedule.priority = in.priority();
  schedule.cadence = in.cadence();
  schedule.zone = in.zone();
  schedule.jitter_ms = in.jitter_ms();
  schedule.overlap = static_cast<Overlap>(in.overlap());
  schedule.catch_up_ms = in.catch_up_ms();
  schedule.comment = in.comment();
  schedule.principal = in.principal();
}

}  // namespace

void encode_schedule(const Schedule& schedule, pb::ScheduleRecord& out) {
  out.set_number(schedule.number);
  encode_settings(schedule, *out.mutable_settings());
  out.set_revision(schedule.revision);
  out.set_created_ms(schedule.created_ms);
  out.set_updated_ms(schedule.updated_ms);
  out.set_paused(schedule.paused);
  out.set_paused_by(schedule.paused_by);
  out.set_pause_comment(schedule.pause_comment);
  for (const ScheduleTick& tick : schedule.ticks) {
    auto* slot = out.add_ticks();
    slot->set_instant_ms(tick.instant_ms);
    slot->set_due_ms(tick.due_ms);
  }
  out.set_through_ms(schedule.through_ms);
  out.set_again_ms(schedule.again_ms);
  out.set_stalled(schedule.stalled);
  out.set_problem(schedule.problem);
  for (const BacklogTick& tick : schedule.backlog) {
    auto* slot = out.add_backlog();
    slot->set_instant_ms(tick.instant_ms);
    slot->set_cause(static_cast<std::uint32_t>(tick.cause));
    slot->set_principal(tick.principal);
  }
  for (const RunId run : schedule.live) out.add_live(run.value);
  for (const ScheduleEvent& event : schedule.events) {
    auto* slot = out.add_events();
    slot->set_instant_ms(event.instant_ms);
    slot->set_at_ms(event.at_ms);
    slot->set_cause(static_cast<std::uint32_t>(event.cause));
    slot->set_outcome(static_cast<std::uint32_t>(event.outcome));
    slot->set_run(event.run.value);
    slot->set_text(event.text);
  }
  out.set_started(schedule.started);
  out.set_skipped(schedule.skipped);
  out.set_missed(schedule.missed);
  out.set_failed(schedule.failed);
}

Status decode_schedule(const pb::ScheduleRecord& in, State& state) {
  Schedule schedule;
  schedule.number = in.number();
  decode_settings(in.settings(), schedule);
  const auto damaged = [&](const std::string& what) {
    return Error(Code::SnapshotDamaged,
                 "schedule " + schedule.name_space + "/" + schedule.name.substr(0, 64) + " " + what);
  };
  if (schedule.overlap > Overlap::kAllow) return damaged("has an overlap that does not exist");
  if (schedule.number == 0 || state.schedule_numbers.contains(schedule.number) ||
      find_schedule(state, schedule.name_space, schedule.name) != nullptr) {
    return damaged("appears twice");
  }
  schedule.revision = in.revision();
  schedule.created_ms = in.created_ms();
  schedule.updated_ms = in.updated_ms();
  schedule.paused = in.paused();
  schedule.paused_by = in.paused_by();
  schedule.pause_comment = in.pause_comment();
  for (const auto& tick : in.ticks()) schedule.ticks.push_back({tick.instant_ms(), tick.due_ms()});
  schedule.through_ms = in.through_ms();
  schedule.again_ms = in.again_ms();
  schedule.stalled = in.stalled();
  schedule.problem = in.problem();
  for (const auto& tick : in.backlog()) {
    if (tick.cause() > static_cast<std::uint32_t>(TickCause::kTrigger))
      return damaged("has an unknown cause");
    schedule.backlog.push_back({tick.instant_ms(), static_cast<TickCause>(tick.cause()), tick.principal()});
  }
  for (const std::uint64_t run : in.live()) schedule.live.insert(RunId{run});
  for (const auto& event : in.events()) {
    if (event.cause() > static_cast<std::uint32_t>(TickCause::kTrigger) ||
        event.outcome() > static_cast<std::uint32_t>(TickOutcome::kFailed)) {
      return damaged("has an unknown cause");
    }
    schedule.events.push_back({event.instant_ms(), event.at_ms(), static_cast<TickCause>(event.cause()),
                               static_cast<TickOutcome>(event.outcome()), RunId{event.run()}, event.text()});
  }
  schedule.started = in.started();
  schedule.skipped = in.skipped();
  schedule.missed = in.missed();
  schedule.failed = in.failed();
  put_schedule(state, std::move(schedule));
  return {};
}

}  // namespace ez::core
