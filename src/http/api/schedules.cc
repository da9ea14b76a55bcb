// Schedules: set, list, show, pause, resume, trigger, backfill, delete.
#include "core/schedule.h"

#include "base/clock.h"
#include "base/json.h"
#include "core/schedule_view.h"
#include "http/api/context.h"
#include "http/api/fields.h"
#include "orchestration/cadence.h"
#include "orchestration/text.h"

namespace ez::http::api {
namespace {

using core::pb::ControlSchedule;
using security::Permission;

constexpr std::size_t kNextShown = 5;
constexpr std::int64_t kYearMs = 366LL * 24 * 3600 * 1000;
constexpr std::int64_t kFarMs = 10 * kYearMs;
constexpr std::uint64_t kSetBody = 4 * core::kMaxScheduleInputs;

Value next_view(const orchestration::Cadence& cadence, const orchestration::TimeZone& zone,
                std::int64_t after_ms) {
  Value::List next;
  const std::int64_t until_ms = after_ms + kFarMs;
  while (next.size() < kNextShown) {
    const auto found = cadence.next_ms(after_ms, until_ms, zone);
    if (!found) break;
    after_ms = *found;
    next.emplace_back(orchestration::format_moment(after_ms, zone));
  }
  return Value(std::move(next));
}

// With the instants that come next; none while it is paused, or when its zone cannot be read.
Value full_view(Context& context, const core::Schedule& schedule) {
  Value view = core::schedule_view(schedule);
  view.set("next", Value(Value::List{}));
  const auto cadence = orchestration::Cadence::parse(schedule.cadence);
  const auto zone = context.services.engine.zones().find(schedule.zone);
  if (!schedule.paused && cadence.ok() && zone.ok())
    view.set("next", next_view(*cadence, **zone, context.services.clock.now_ms()));
  return view;
}

Error no_schedule(const std::string& name) {
  return Error(Code::ScheduleNotFound, "no schedule '" + name.substr(0, 64) + "' in this namespace");
}

// Goes on with the schedule that the path names, on the render thread.
void with_schedule(Context& context, const DeferredPtr& answer, const std::string& name_space,
                   const std::string& name, std::function<void(const Cow<core::Schedule>&)> found) {
  context.services.engine.read(
      [&context, answer, name_space, name, found = std::move(found)](const core::State& state) {
        const auto at = state.schedules.find(core::schedule_key(name_space, name));
        if (at == state.schedules.end()) {
          answer->problem(no_schedule(name));
          return;
        }
        render(context, answer, [found, schedule = at->second] { found(schedule); });
      });
}

void answer_schedule(Context& context, const DeferredPtr& answer, const std::string& name_space,
                     const std::string& name, int status) {
  with_schedule(context, answer, name_space, name,
                [&context, answer, status](const Cow<core::Schedule>& schedule) {
                  answer->json(status, full_view(context, *schedule));
                });
}

// In order of name; the cursor is the last name itself.
Status list_schedules(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "limit", "cursor"}));
  EZ_ASSIGN(const std::size_t limit, list_limit(request));
  std::string after;
  if (const std::string* given = request.query.find("cursor")) after = *given;
  const std::string name_space(request.name_space());
  context.services.engine.read([&context, answer, limit, after, name_space](const core::State& state) {
    std::vector<Cow<core::Schedule>> page;
    const std::string prefix = core::schedule_key(name_space, "");
    for (auto at = state.schedules.upper_bound(prefix + after);
         at != state.schedules.end() && at->first.starts_with(prefix) && page.size() <= limit; ++at) {
      page.push_back(at->second);
    }
    render(context, answer, [&context, answer, limit, page] {
      Value::List items;
      for (std::size_t i = 0; i < std::min(limit, page.size()); ++i)
        items.push_back(full_view(context, *page[i]));
      answer->list(items, page.size() > limit ? page[limit - 1]->name : "");
    });
  });
  return {};
}

Status show_schedule(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace"}));
  answer_schedule(context, answer, std::string(request.name_space()), request.parameter("name"), 200);
  return {};
}

// "cron" or "every_ms", as the cadence that core keeps.
std::string read_cadence(Fields& fields) {
  const std::string cron = fields.line("cron", orchestration::kMaxCronBytes);
  const std::int64_t every_ms =
      fields.number("every_ms", 0, orchestration::kMinEveryMs, orchestration::kMaxDurationMs);
  if (cron.empty() == (every_ms == 0)) fields.fail("cron", "give one of cron and every_ms");
  return every_ms == 0 ? cron : "@every " + orchestration::format_duration_ms(every_ms);
}

Status read_settings(Request& request, const DeferredPtr& answer, core::pb::SetSchedule& out, bool& preview) {
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  out.set_namespace_(std::string(request.name_space()));
  out.set_name(request.parameter("name"));
  out.set_workflow(fields.need_line("workflow", 63));
  out.set_version(static_cast<std::uint32_t>(fields.number("version", 0, 1, UINT32_MAX)));
  out.set_inputs(to_json(fields.map("inputs")));
  const std::string priority = fields.line("priority", 16);
  if (const auto parsed = orchestration::parse_priority(priority)) {
    out.set_priority(static_cast<std::uint32_t>(*parsed) + 1);
  } else if (!priority.empty()) {
    fields.fail("priority", "must be critical, high, normal, low or deferred");
  }
  out.set_cadence(read_cadence(fields));
  const std::string zone = fields.line("zone", orchestration::kMaxZoneName);
  out.set_zone(zone.empty() ? "UTC" : zone);
  out.set_jitter_ms(fields.number("jitter_ms", 0, 0, core::kMaxJitterMs));
  const std::string overlap = fields.line("overlap", 16);
  if (overlap == "queue") out.set_overlap(static_cast<std::uint32_t>(core::Overlap::kQueue));
  if (overlap == "allow") out.set_overlap(static_cast<std::uint32_t>(core::Overlap::kAllow));
  if (!overlap.empty() && overlap != "skip" && overlap != "queue" && overlap != "allow")
    fields.fail("overlap", "must be skip, queue or allow");
  out.set_catch_up_ms(fields.number("catch_up_ms", kYearMs, 0, orchestration::kMaxDurationMs));
  out.set_comment(fields.text("comment", kMaxCommentBytes));
  preview = fields.flag("preview", false);
  out.set_principal(answer->principal());
  return fields.done();
}

Status set_schedule(Context& context, Request& request, const DeferredPtr& answer) {
  core::pb::Command command;
  core::pb::SetSchedule& settings = *command.mutable_set_schedule();
  bool preview = false;
  EZ_TRY(read_settings(request, answer, settings, preview));
  EZ_ASSIGN(const auto cadence, orchestration::Cadence::parse(settings.cadence()));
  const std::string name = settings.name();
  const std::string name_space = settings.namespace_();
  // The zone's file may have to be read.
  render(context, answer, [&context, answer, command, cadence, name, name_space, preview] {
    const core::pb::SetSchedule& wanted = command.set_schedule();
    const auto zone = context.services.engine.zones().find(wanted.zone());
    if (!zone.ok()) {
      answer->problem(zone.error());
      return;
    }
    Value next = next_view(cadence, **zone, context.services.clock.now_ms());
    if (next.as_list().empty()) {
      answer->problem(Error(Code::InvalidArgument, "cron: '" + wanted.cadence() + "' never comes",
                            "No day of the next ten years matches."));
      return;
    }
    if (preview) {
      answer->json(200, Value(Value::Map{{"name", Value(name)},
                                         {"cadence", Value(wanted.cadence())},
                                         {"zone", Value(wanted.zone())},
                                         {"next", std::move(next)},
                                         {"preview", Value(true)}}));
      return;
    }
    propose(context, answer, command, [&context, answer, name, name_space](const core::Reply& reply) {
      answer_schedule(context, answer, name_space, name, reply.created ? 201 : 200);
    });
  });
  return {};
}

template <ControlSchedule::Action action>
Status control_schedule(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  core::pb::Command command;
  ControlSchedule& control = *command.mutable_control_schedule();
  control.set_namespace_(std::string(request.name_space()));
  control.set_name(request.parameter("name"));
  control.set_action(action);
  control.set_principal(answer->principal());
  control.set_comment(fields.text("comment", kMaxCommentBytes));
  EZ_TRY(fields.done());
  const std::string name = control.name();
  const std::string name_space = control.namespace_();
  propose(context, answer, std::move(command), [&context, answer, name, name_space](const core::Reply&) {
    answer_schedule(context, answer, name_space, name, 200);
  });
  return {};
}

Status delete_schedule(Context& context, Request& request, const DeferredPtr& answer) {
  core::pb::Command command;
  ControlSchedule& control = *command.mutable_control_schedule();
  control.set_namespace_(std::string(request.name_space()));
  control.set_name(request.parameter("name"));
  control.set_action(ControlSchedule::DELETE);
  control.set_principal(answer->principal());
  const std::string name = control.name();
  propose(context, answer, std::move(command), [answer, name](const core::Reply&) {
    answer->json(200, Value(Value::Map{{"name", Value(name)}, {"deleted", Value(true)}}));
  });
  return {};
}

Status trigger_schedule(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  core::pb::Command command;
  ControlSchedule& control = *command.mutable_control_schedule();
  control.set_namespace_(std::string(request.name_space()));
  control.set_name(request.parameter("name"));
  control.set_action(ControlSchedule::TRIGGER);
  control.set_principal(answer->principal());
  control.set_idempotency_key(fields.line("idempotency_key", kMaxKeyBytes));
  EZ_TRY(fields.done());
  propose(context, answer, std::move(command), [answer](const core::Reply& reply) {
    answer->responder().header("Location", "/v1/runs/" + to_text(reply.run));
    answer->json(reply.created ? 201 : 200,
                 Value(Value::Map{{"created", Value(reply.created)}, {"run", Value(to_text(reply.run))}}));
  });
  return {};
}

struct Backfill {
  std::string from, to;
  std::optional<bool> at_once;
  bool preview = false;
};

// The ticks of [from, to), oldest first. Errors: REQUEST_INVALID, INVALID_ARGUMENT.
Result<std::vector<std::int64_t>> find_ticks(Context& context, const core::Schedule& schedule,
                                             const Backfill& wanted) {
  EZ_ASSIGN(const auto cadence, orchestration::Cadence::parse(schedule.cadence));
  EZ_ASSIGN(const auto zone, context.services.engine.zones().find(schedule.zone));
  const auto from = orchestration::parse_moment_ms(wanted.from, *zone);
  const auto to = orchestration::parse_moment_ms(wanted.to, *zone);
  if (!from || !to) {
    return Error(Code::RequestInvalid, std::string(from ? "to" : "from") + ": is no time",
                 "Write 2026-03-01, 2026-03-01T03:00 (both in the schedule's zone) or 2026-03-01T03:00:00Z.");
  }
  if (*from >= *to || *to > context.services.clock.now_ms()) {
    return Error(Code::InvalidArgument,
                 "a backfill goes from a time to a later one, and not into the future");
  }
  std::vector<std::int64_t> ticks;
  std::int64_t at = *from - 1;
  while (const auto next = cadence.next_ms(at, *to - 1, *zone)) {
    at = *next;
    if (ticks.size() == core::kMaxBacklog) {
      return Error(Code::InvalidArgument,
                   "there are more than " + std::to_string(core::kMaxBacklog) + " ticks in that time",
                   "Backfill one piece after the other.");
    }
    ticks.push_back(*next);
  }
  return ticks;
}

Status backfill_schedule(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  Backfill wanted;
  wanted.from = fields.need_line("from", 40);
  wanted.to = fields.need_line("to", 40);
  if (body.find("at_once") != nullptr) wanted.at_once = fields.flag("at_once", false);
  wanted.preview = fields.flag("preview", false);
  EZ_TRY(fields.done());
  with_schedule(context, answer, std::string(request.name_space()), request.parameter("name"),
                [&context, answer, wanted](const Cow<core::Schedule>& schedule) {
                  const auto ticks = find_ticks(context, *schedule, wanted);
                  if (!ticks.ok()) {
                    answer->problem(ticks.error());
                    return;
                  }
                  Value::List instants;
                  for (const std::int64_t tick : *ticks) instants.emplace_back(format_time(tick));
                  const bool at_once = wanted.at_once.value_or(schedule->overlap == core::Overlap::kAllow);
                  Value view(Value::Map{{"name", Value(schedule->name)},
                                        {"count", Value(static_cast<std::int64_t>(ticks->size()))},
                                        {"instants", Value(std::move(instants))},
                                        {"at_once", Value(at_once)},
                                        {"preview", Value(wanted.preview)}});
                  if (wanted.preview || ticks->empty()) {
                    answer->json(200, view);
                    return;
                  }
                  core::pb::Command command;
                  core::pb::BackfillSchedule& backfill = *command.mutable_backfill_schedule();
                  backfill.set_namespace_(schedule->name_space);
                  backfill.set_name(schedule->name);
                  backfill.set_revision(schedule->revision);
                  backfill.set_at_once(at_once);
                  backfill.set_principal(answer->principal());
                  for (const std::int64_t tick : *ticks) backfill.add_instants_ms(tick);
                  propose(context, answer, std::move(command),
                          [answer, view](const core::Reply&) { answer->json(200, view); });
                });
  return {};
}

}  // namespace

void add_schedule_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/schedules", Permission::kRunRead, "List schedules",
            list_schedules);
  add_route(router, context, Method::kGet, "/v1/schedules/{name}", Permission::kRunRead, "Show a schedule",
            show_schedule);
  add_route(router, context, Method::kPost, "/v1/schedules/{name}", Permission::kRunStart,
            "Make or change a schedule", set_schedule, kSetBody);
  add_route(router, context, Method::kDelete, "/v1/schedules/{name}", Permission::kRunControl,
            "Delete a schedule", delete_schedule);
  add_route(router, context, Method::kPost, "/v1/schedules/{name}/pause", Permission::kRunControl,
            "Pause a schedule", control_schedule<ControlSchedule::PAUSE>);
  add_route(router, context, Method::kPost, "/v1/schedules/{name}/resume", Permission::kRunControl,
            "Resume a schedule", control_schedule<ControlSchedule::RESUME>);
  add_route(router, context, Method::kPost, "/v1/schedules/{name}/trigger", Permission::kRunStart,
            "Start a run of a schedule now", trigger_schedule);
  add_route(router, context, Method::kPost, "/v1/schedules/{name}/backfill", Permission::kRunStart,
            "Start the runs of a schedule for a time that has passed", backfill_schedule);
}

}  // namespace ez::http::api
