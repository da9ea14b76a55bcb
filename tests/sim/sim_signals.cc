// Signals in the simulated world: sent early, late, twice and to the wrong run; each is taken at most once.
#include "world.h"

namespace ez::sim {
namespace {

constexpr std::size_t kMaxSignals = 40;
constexpr std::string_view kMark = R"({"signal":)";

}  // namespace

void World::send_signal(std::size_t number) {
  core::pb::Command command;
  auto* body = command.mutable_send_signal();
  body->set_run(signals_[number].run.value);
  body->set_name(signals_[number].name);
  body->set_payload(std::string(kMark) + std::to_string(number) + "}");
  body->set_id("signal-" + std::to_string(number));
  body->set_principal("client");
  kernel_->propose(std::move(command), [this, number](const Result<core::Reply>& reply) {
    if (!reply.ok()) return;  // it is sent again
    SimSignal& mine = signals_[number];
    mine.answered = true;
    if (reply->error) return;
    if (reply->created && ++mine.counted > 1) broken_ = "signal " + std::to_string(number) + " counted twice";
    if (!reply->task.empty()) ++tally_.signals;
  });
}

void World::signal_somebody() {
  // The same once more: because there was no answer, or although there was one.
  for (std::size_t i = 0; i < signals_.size(); ++i) {
    if (!signals_[i].answered || random_.chance(1, 30)) return send_signal(i);
  }
  if (runs_.empty() || signals_.size() >= kMaxSignals) return;
  const ClientRun& client = runs_[random_.below(runs_.size())];
  if (!client.id) return;
  signals_.push_back({*client.id, random_.chance(1, 2) ? "s0" : "s1", false, 0});
  send_signal(signals_.size() - 1);
}

// In peace everybody who waits for a signal gets one in the end.
void World::answer_waits() {
  const std::size_t before = signals_.size();
  kernel_->state().each_run([&](const Cow<core::Run>& run) {
    for (std::uint32_t i = 0; i < run->tasks.size(); ++i) {
      if (run->tasks[i].state != core::TaskState::kSignal) continue;
      signals_.push_back({run->id, run->definition_of(run->tasks[i]).wait->signal, false, 0});
      return false;
    }
    return true;
  });
  if (signals_.size() > before) send_signal(before);
}

void World::check_signals(const core::Run& run) {
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const core::Task& task = run.tasks[i];
    if (task.state == core::TaskState::kSucceeded && run.definition_of(task).wait) ++tally_.timers;
    const std::string& output = task.get().output;
    if (!output.starts_with(kMark)) continue;
    if (++taken_[output] > 1) broken_ = "the signal " + output + " was taken twice";
    const std::size_t number = std::stoul(output.substr(kMark.size()));
    if (number >= signals_.size() || signals_[number].run != run.id ||
        signals_[number].name != run.definition_of(task).wait->signal) {
      broken_ = to_text(run.id) + "/" + run.key_of(task) + " took a signal that was not sent to it";
    }
  }
}

}  // namespace ez::sim
