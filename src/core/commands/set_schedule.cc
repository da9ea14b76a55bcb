#include "base/json.h"
#include "core/commands/command.h"
#include "core/schedule.h"
#include "orchestration/cadence.h"
#include "orchestration/parse.h"
#include "orchestration/text.h"

namespace ez::core {
namespace {

std::optional<Error> check(const State& state, const pb::SetSchedule& command) {
  if (!orchestration::is_name(command.name())) {
    return Error(Code::InvalidArgument, "the name of a schedule cannot be '" + command.name() + "'",
                 "Small letters, digits, - and _, for example nightly.");
  }
  if (const auto cadence = orchestration::Cadence::parse(command.cadence()); !cadence.ok())
    return cadence.error();
  if (command.zone() != "UTC" && !orchestration::is_zone_name(command.zone())) {
    return Error(Code::InvalidArgument, "'" + command.zone() + "' cannot be the name of a time zone");
  }
  if (command.jitter_ms() < 0 || command.jitter_ms() > kMaxJitterMs) {
    return Error(Code::InvalidArgument, "the jitter of a schedule is at most a day");
  }
  if (command.catch_up_ms() < 0 || command.catch_up_ms() > orchestration::kMaxDurationMs) {
    return Error(Code::InvalidArgument, "catch_up is at most ten years");
  }
  if (command.overlap() > static_cast<std::uint32_t>(Overlap::kAllow)) {
    return Error(Code::RequestInvalid, "an overlap of an unknown kind");
  }
  if (command.inputs().size() > kMaxScheduleInputs) {
    return Error(Code::PayloadTooLarge,
                 "the inputs of a schedule have at most " + std::to_string(kMaxScheduleInputs) + " bytes");
  }
  const auto workflow = state.find_workflow(command.namespace_(), command.workflow(), command.version());
  if (!workflow) {
    return Error(
        Code::WorkflowNotFound,
        "no workflow " + command.workflow() +
            (command.version() == 0 ? std::string() : " version " + std::to_string(command.version())) +
            " in namespace " + command.namespace_());
  }
  const auto given = parse_json(command.inputs().empty() ? "{}" : command.inputs());
  if (!given.ok()) return given.error();
  if (const auto bound = orchestration::bind_inputs(*workflow->definition, *given); !bound.ok())
    return bound.error();
  if (find_schedule(state, command.namespace_(), command.name()) == nullptr &&
      state.schedules.size() >= kMaxSchedules) {
    return Error(Code::Overloaded, std::to_string(kMaxSchedules) + " schedules exist already");
  }
  return std::nullopt;
}

}  // namespace

void apply_set_schedule(Context& context, const pb::SetSchedule& command) {
  State& state = context.state;
  Reply& reply = context.effects.reply;
  reply.error = check(state, command);
  if (reply.error) return;
  const Schedule* known = find_schedule(state, command.namespace_(), command.name());
  Schedule next;
  if (known != nullptr) {
    next = *known;
    ++next.revision;
  } else {
    next.number = state.schedule_numbers.empty() ? 1 : state.schedule_numbers.rbegin()->first + 1;
    next.name_space = command.namespace_();
    next.name = command.name();
    next.created_ms = context.now_ms;
  }
  const bool same_times = next.cadence == command.cadence() && next.zone == command.zone() &&
                          next.jitter_ms == command.jitter_ms();
  next.workflow = command.workflow();
  next.version = command.version();
  next.inputs = command.inputs();
  next.priority = command.priority();
  next.cadence = command.cadence();
  next.zone = command.zone();
  next.jitter_ms = command.jitter_ms();
  next.overlap = static_cast<Overlap>(command.overlap());
  next.catch_up_ms = command.catch_up_ms();
  next.comment = command.comment().substr(0, 1024);
  next.principal = command.principal();
  next.updated_ms = context.now_ms;
  if (!same_times) {
    // Instants of the new times that lie before now are not made up for.
    next.ticks.clear();
    next.through_ms = context.now_ms;
    next.again_ms = 0;
    next.stalled = false;
    next.problem.clear();
  }
  reply.created = known == nullptr;
  // The timer of the old record goes with it.
  if (known != nullptr) remove_schedule(state, schedule_key(next.name_space, next.name));
  next.timer_ms = 0;
  put_schedule(state, std::move(next));
}

}  // namespace ez::core
