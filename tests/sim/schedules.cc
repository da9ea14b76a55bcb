// Schedules in the simulated world. "clock" is set once and left alone, so that every instant of it can be
// accounted for; "wild" is changed, paused, triggered, backfilled and deleted.
#include "core/schedule.h"

#include <algorithm>

#include "world.h"

namespace ez::sim {
namespace {

constexpr std::int64_t kEveryMs = 20'000;

}  // namespace

void World::set_schedule(const std::string& name, const std::string& overlap) {
  if (registered_.empty()) return;
  const auto& text =
      *std::next(registered_.begin(), static_cast<std::ptrdiff_t>(random_.below(registered_.size())));
  core::pb::Command command;
  auto* body = command.mutable_set_schedule();
  body->set_namespace_(text.find("namespace: one") == std::string::npos ? "two" : "one");
  body->set_name(name);
  body->set_workflow(text.substr(6, text.find('\n') - 6));
  body->set_cadence(name == "clock" ? "@every 20s" : random_.chance(1, 2) ? "* * * * *" : "@every 45s");
  body->set_zone("UTC");
  body->set_jitter_ms(static_cast<std::int64_t>(random_.below(60'000)));
  body->set_overlap(overlap == "skip" ? 0 : overlap == "queue" ? 1 : 2);
  body->set_catch_up_ms(random_.chance(1, 3) ? 0 : 3'600'000);
  kernel_->propose(std::move(command), [this](const Result<core::Reply>& reply) {
    if (reply.ok() && reply->error) broken_ = "a schedule was refused: " + reply->error->to_string();
  });
}

void World::act_on_schedules() {
  const auto& schedules = kernel_->state().schedules;
  bool clock = false;
  const core::Schedule* wild = nullptr;
  for (const auto& [key, schedule] : schedules) {
    clock = clock || schedule->name == "clock";
    if (schedule->name == "wild") wild = &*schedule;
  }
  if (!clock && !clock_set_ && random_.chance(1, 4)) {
    clock_set_ = true;  // once: its instants are counted from its record alone
    return set_schedule("clock", random_.chance(1, 2) ? "skip" : "queue");
  }
  if (wild == nullptr) return set_schedule("wild", "allow");
  core::pb::Command command;
  const std::uint64_t choice = random_.below(7);
  if (choice == 0) return set_schedule("wild", random_.chance(1, 2) ? "queue" : "skip");
  if (choice == 1) {
    auto* body = command.mutable_backfill_schedule();
    body->set_namespace_(wild->name_space);
    body->set_name("wild");
    body->set_revision(wild->revision);
    body->set_at_once(random_.chance(1, 2));
    for (std::int64_t i = 1; i <= 3; ++i) body->add_instants_ms(i * 60'000);
  } else {
    auto* body = command.mutable_control_schedule();
    body->set_namespace_(wild->name_space);
    body->set_name("wild");
    using Control = core::pb::ControlSchedule;
    body->set_action(choice == 2                            ? Control::DELETE
                     : choice == 3                          ? Control::TRIGGER
                     : wild->paused || random_.chance(1, 2) ? Control::RESUME
                                                            : Control::PAUSE);
  }
  kernel_->propose(std::move(command), [](const Result<core::Reply>&) {});
}

// Every instant of "clock" up to where it is planned was started, skipped, missed, refused, or waits.
std::string World::check_schedules() {
  for (const auto& [key, schedule] : kernel_->state().schedules) {
    tally_.ticks = std::max(tally_.ticks, schedule->started);
    tally_.missed = std::max(tally_.missed, schedule->missed);
    if (schedule->name != "clock" || schedule->through_ms == 0) continue;
    const auto instants =
        static_cast<std::uint64_t>(schedule->through_ms / kEveryMs - schedule->created_ms / kEveryMs);
    const std::uint64_t seen = schedule->started + schedule->skipped + schedule->missed + schedule->failed +
                               schedule->ticks.size() + schedule->backlog.size();
    if (seen != instants) {
      return "schedule " + key + " had " + std::to_string(instants) + " instants and accounts for " +
             std::to_string(seen);
    }
  }
  std::string twice;
  std::set<std::int64_t> instants;
  kernel_->state().each_run([&](const Cow<core::Run>& run) {
    if (run->schedule == "clock" && !instants.insert(run->schedule_ms).second)
      twice = "an instant of a schedule started two runs, " + to_text(run->id) + " is the second";
    return twice.empty();
  });
  return twice;
}

// For the peace: no new runs, and those of schedules go on like those of clients.
void World::end_schedules() {
  for (const auto& [key, schedule] : kernel_->state().schedules) {
    core::pb::Command command;
    command.mutable_control_schedule()->set_namespace_(schedule->name_space);
    command.mutable_control_schedule()->set_name(schedule->name);
    command.mutable_control_schedule()->set_action(core::pb::ControlSchedule::DELETE);
    kernel_->propose(std::move(command), [](const Result<core::Reply>&) {});
  }
  std::vector<core::pb::Command> commands;
  kernel_->state().each_run([&](const Cow<core::Run>& run) {
    if (run->schedule.empty() || run->state != core::RunState::kPaused) return true;
    core::pb::Command& command = commands.emplace_back();
    if (run->budget_paused) {
      command.mutable_adjust_budget()->set_run(run->id.value);
      command.mutable_adjust_budget()->set_add_microusd(100);
    } else {
      command.mutable_control_run()->set_run(run->id.value);
      command.mutable_control_run()->set_action(core::pb::ControlRun::RESUME);
    }
    return true;
  });
  for (core::pb::Command& command : commands)
    kernel_->propose(std::move(command), [](const Result<core::Reply>&) {});
}

}  // namespace ez::sim
